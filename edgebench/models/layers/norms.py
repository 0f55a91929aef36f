"""Norms by name: each takes the number of features and of the axes behind them.

``axes`` is 2 for images ``[N, C, H, W]`` and 0 for vectors ``[N, C]``. All train a scale and a
shift per feature, which begin at 1 and 0.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.models import NORMS


@NORMS.register
def batch(features: int, axes: int) -> nn.Module:
    """Normalize each feature over the batch (Ioffe and Szegedy, Batch Normalization, 2015)."""
    return nn.BatchNorm2d(features) if axes else nn.BatchNorm1d(features)


@NORMS.register
def none(features: int, axes: int) -> nn.Module:  # noqa: ARG001 - the norms' signature
    """Leave the features as they are; a family builds no layer for it."""
    return nn.Identity()


@NORMS.register
def layer(features: int, axes: int) -> nn.Module:
    """Normalize each image over all its features (Ba et al., Layer Normalization, 2016)."""
    return nn.GroupNorm(1, features) if axes else nn.LayerNorm(features)


@NORMS.register
def group(features: int, axes: int, *, norm_groups: Annotated[int, Ge(1)] = 8) -> nn.Module:  # noqa: ARG001 - the norms' signature
    """Normalize each image over groups of features (Wu and He, Group Normalization, 2018).

    Where ``norm_groups`` does not divide the features, the largest smaller number that does.
    """
    fitting = next(n for n in range(min(norm_groups, features), 0, -1) if features % n == 0)
    return nn.GroupNorm(fitting, features)


@NORMS.register
def instance(features: int, axes: int) -> nn.Module:
    """Normalize each feature of each image (Ulyanov et al., Instance Normalization, 2016).

    Raises:
        EdgebenchError: The features are vectors: one number has no deviation.
    """
    if not axes:
        raise EdgebenchError("model.norm: 'instance' normalizes images; vectors take 'layer'")
    return nn.InstanceNorm2d(features, affine=True)
