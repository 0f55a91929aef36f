"""VGG, the networks of the paper's table 1, for small images (Simonyan and Zisserman, 2015)."""

from __future__ import annotations

from typing import Literal

from torch import nn

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
    NormPosition,
    WidthMultiplier,
    dropouts,
    scaled,
)

Configuration = Literal["A", "A-LRN", "B", "C", "D", "E"]

FILTERS = (64, 128, 256, 512, 512)  # of the five blocks
KERNELS: dict[Configuration, tuple[tuple[int, ...], ...]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
"""The kernels of each block's convolutions, by column of the table."""


@MODELS.register
def vgg_net(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    configuration: Configuration = "A",
    width_multiplier: WidthMultiplier = 1.0,
    hidden: Count = 512,
    norm: NormOption = BATCH_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build a VGG network: five blocks of convolutions, two hidden dense layers, Linear classes.

    ``configuration`` is the column of the paper's table 1 (``A-LRN`` normalizes the first layer's
    local responses, ``C`` has 1x1 convolutions); ``width_multiplier`` scales the filters. A block
    ends in a MaxPool2 while the image is larger than a pixel. The dense layers have ``hidden``
    features instead of 4,096: small images leave 512 values to read. ``norm`` follows the
    convolutions; the paper has none. ``dropout`` is the share of each hidden layer's outputs that
    training drops. Takes ``[N, *input_shape]``, returns logits ``[N, classes]``.
    """
    layers = Layers(norm=norm, activation=activation, norm_position=norm_position)
    channels, height, width = input_shape
    features: list[nn.Module] = []
    for filters, kernels in zip(FILTERS, KERNELS[configuration], strict=True):
        for kernel in kernels:
            count = scaled(filters, width_multiplier)
            features += layers.conv(channels, count, kernel, padding=kernel // 2)
            channels = count
            if configuration == "A-LRN" and len(features) <= 3:
                # The paper takes the constants of AlexNet.
                features.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0))
        if min(height, width) > 1:
            features.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    head: list[nn.Module] = [nn.Flatten()]
    inputs = channels * height * width
    for _ in range(2):
        head += [nn.Linear(inputs, hidden), activation(), *dropouts(dropout, dropout_scaling)]
        inputs = hidden
    network: nn.Module = init(
        nn.Sequential(nn.Sequential(*features), *head, nn.Linear(inputs, classes))
    )
    return network
