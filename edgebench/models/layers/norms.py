"""Norms by name: each takes the number of features and of the axes behind them.

``axes`` is 2 for images ``[N, C, H, W]`` and 0 for vectors ``[N, C]``. All train a scale and a
shift per feature, which begin at 1 and 0.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

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


class InstanceNorm(nn.InstanceNorm2d):
    """Says in our words that a map of one pixel has no deviation."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - PyTorch's name
        """Normalize ``[N, C, H, W]``; raises EdgebenchError where H and W are 1."""
        if input.shape[2] * input.shape[3] == 1:
            raise EdgebenchError(
                "model.norm: 'instance' cannot normalize maps of one pixel, to which this network "
                "shrinks its images; 'layer' can"
            )
        return super().forward(input)


@NORMS.register
def instance(features: int, axes: int) -> nn.Module:
    """Normalize each feature of each image (Ulyanov et al., Instance Normalization, 2016).

    Vectors stay as they are: one number has no deviation.
    """
    return InstanceNorm(features, affine=True) if axes else nn.Identity()
