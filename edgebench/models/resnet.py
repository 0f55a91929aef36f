"""Residual networks for small images (He et al., Deep Residual Learning, 2016, section 4.2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from edgebench.models import MODELS
from edgebench.models.layers import (
    BATCH_NORM,
    DEFAULT_INIT,
    RELU,
    ActivationOption,
    Count,
    DropoutScaling,
    Fraction,
    Initialized,
    Layers,
    NormOption,
    dropouts,
    normalized_conv,
)


class Residual(nn.Module):
    """Adds what a branch computes to its input, then applies an activation.

    Where ``shortcut`` is None the branch's output is not added to anything: a plain block.
    """

    def __init__(
        self, branch: nn.Sequential, shortcut: nn.Module | None, activation: nn.Module
    ) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Take and return images ``[N, C, H, W]``."""
        found: Tensor = self.branch(images)
        if self.shortcut is not None:
            found = found + self.shortcut(images)
        activated: Tensor = self.activation(found)
        return activated


@MODELS.register
def resnet(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    depth: Literal[8, 14, 20, 32, 44, 56, 110] = 20,
    width: Count = 16,
    residual: bool = True,
    norm: NormOption = BATCH_NORM,
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build a residual network: Conv3x3, three stages of blocks, global average pooling, Linear.

    ``depth`` counts the layers with weights: 6 n + 2, with n blocks of two convolutions a stage.
    The stages have ``width``, 2 ``width`` and 4 ``width`` filters; the second and the third halve
    the image. Where a block changes the shape its shortcut is a 1x1 convolution (the paper's
    option B; its own networks for small images pad with zeros). ``residual: false`` leaves all
    shortcuts out. ``dropout`` is the share of the pooled features that training drops. Takes
    ``[N, *input_shape]``, returns logits ``[N, classes]``.
    """
    layers = Layers(norm=norm, activation=activation)
    features = layers.conv(input_shape[0], width, 3, padding=1)
    channels = width
    for stage in range(3):
        for block in range((depth - 2) // 6):
            filters, stride = width * 2**stage, 2 if stage and not block else 1
            branch = nn.Sequential(
                *layers.conv(channels, filters, 3, stride=stride, padding=1),
                *normalized_conv(filters, filters, 3, norm=norm, padding=1),
            )
            changed = channels != filters or stride != 1
            shortcut = (
                nn.Sequential(*normalized_conv(channels, filters, 1, norm=norm, stride=stride))
                if changed
                else nn.Identity()
            )
            features.append(Residual(branch, shortcut if residual else None, activation()))
            channels = filters
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropouts(dropout, dropout_scaling)]
    network: nn.Module = init(nn.Sequential(*features, *head, nn.Linear(channels, classes)))
    return network
