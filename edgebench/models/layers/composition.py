"""How a layer is put together: convolution or dense layer, norm, activation, dropout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgebench.models import Activation, Norm
from edgebench.models.layers.options import DropoutScaling, NormPosition
from edgebench.registry import Choice


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Builds layers of one kind: each a list of modules, to be put in a row.

    Attributes:
        norm: Follows each convolution and dense layer; `none` builds no module.
        activation: Follows the norm.
        norm_position: ``after`` puts the norm behind the activation instead.
    """

    norm: Choice[Norm]
    activation: Choice[Activation]
    norm_position: NormPosition = "before"

    def conv(
        self,
        inputs: int,
        filters: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> list[nn.Module]:
        """Build a convolution ``kernel`` x ``kernel`` with its norm and activation."""
        if self.norm_position == "after":
            conv = nn.Conv2d(inputs, filters, kernel, stride, padding, groups=groups)
            return [conv, self.activation(), *norms(self.norm, filters, 2)]
        linear = normalized_conv(
            inputs, filters, kernel, norm=self.norm, stride=stride, padding=padding, groups=groups
        )
        return [*linear, self.activation()]

    def dense(self, inputs: int, features: int) -> list[nn.Module]:
        """Build a dense layer with its norm and activation."""
        if self.norm_position == "after":
            dense = nn.Linear(inputs, features)
            return [dense, self.activation(), *norms(self.norm, features, 0)]
        norm = norms(self.norm, features, 0)
        return [nn.Linear(inputs, features, bias=not _absorbs_bias(norm)), *norm, self.activation()]


def norms(norm: Choice[Norm], features: int, axes: int) -> list[nn.Module]:
    """Return the norm of ``features``, as a list that is empty where there is none."""
    layer: nn.Module = norm(features, axes)
    return [] if isinstance(layer, nn.Identity) else [layer]


def normalized_conv(
    inputs: int,
    filters: int,
    kernel: int,
    *,
    norm: Choice[Norm],
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> list[nn.Module]:
    """Build a convolution and its norm, without an activation.

    A convolution has no bias where the norm takes each feature's mean off and so would undo it.
    """
    layer = norms(norm, filters, 2)
    bias = not _absorbs_bias(layer)
    return [nn.Conv2d(inputs, filters, kernel, stride, padding, groups=groups, bias=bias), *layer]


def _absorbs_bias(norm: list[nn.Module]) -> bool:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)
    return any(isinstance(layer, kinds) for layer in norm)


class UnscaledDropout(nn.Module):
    """Sets a share of the values to zero in training and leaves the others as they are.

    `nn.Dropout` divides the others by the share that is kept, so that their sum is the same in
    training and in evaluation; this one does not, and evaluation sees larger sums.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Drop from values of any shape."""
        if not self.training:
            return values
        kept = torch.empty_like(values).bernoulli_(1 - self.share)
        return values * kept


def dropouts(share: float, scaling: DropoutScaling = "inverted") -> list[nn.Module]:
    """Return the dropout of ``share``, as a list that is empty where nothing is dropped."""
    if not share:
        return []
    return [nn.Dropout(share) if scaling == "inverted" else UnscaledDropout(share)]
