"""MobileNet: depthwise separable convolutions (Howard et al., 2017, table 1), for small images."""

from __future__ import annotations

from torch import nn

from edgebench.models import MODELS
from edgebench.models.layers import (
    BATCH_NORM,
    DEFAULT_INIT,
    RELU,
    ActivationOption,
    DropoutScaling,
    Fraction,
    Initialized,
    Layers,
    NormOption,
    NormPosition,
    WidthMultiplier,
    dropouts,
    scaled,
)

FIRST = 32  # filters of the first convolution
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2),
    (1024, 1),
)  # fmt: skip
"""Filters and stride of each separable convolution, as in the table."""


@MODELS.register
def mobilenet(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width_multiplier: WidthMultiplier = 1.0,
    norm: NormOption = BATCH_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build MobileNet: Conv3x3, 13 separable convolutions, global average pooling, Linear.

    A separable convolution is a depthwise Conv3x3 and a Conv1x1, each with norm and activation.
    ``width_multiplier`` scales all filters. The first convolution has stride 1, not the paper's 2:
    32x32 pixels are a seventh of its 224x224. ``dropout`` is the share of the pooled features that
    training drops. Takes ``[N, *input_shape]``, returns logits ``[N, classes]``.
    """
    layers = Layers(norm=norm, activation=activation, norm_position=norm_position)
    channels = scaled(FIRST, width_multiplier)
    features = layers.conv(input_shape[0], channels, 3, padding=1)
    for count, stride in BLOCKS:
        filters = scaled(count, width_multiplier)
        features += layers.conv(channels, channels, 3, stride=stride, padding=1, groups=channels)
        features += layers.conv(channels, filters, 1)
        channels = filters
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropouts(dropout, dropout_scaling)]
    network: nn.Module = init(nn.Sequential(*features, *head, nn.Linear(channels, classes)))
    return network
