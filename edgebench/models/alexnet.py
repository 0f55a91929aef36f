"""A small network in the manner of AlexNet (Krizhevsky, Sutskever and Hinton, 2012)."""

from __future__ import annotations

from torch import nn

from edgebench.models import MODELS
from edgebench.models.layers import (
    DEFAULT_INIT,
    NO_NORM,
    RELU,
    ActivationOption,
    DropoutScaling,
    Fraction,
    Initialized,
    Layers,
    NormOption,
    NormPosition,
    WidthMultiplier,
    check_image,
    dropouts,
    scaled,
)

SMALLEST = 8  # pixels: halved three times


@MODELS.register
def alexnet(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width_multiplier: WidthMultiplier = 1.0,
    norm: NormOption = NO_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build three times Conv5x5(pad 2) and MaxPool2, then Linear 1000 and Linear classes.

    The convolutions have 32, 64 and 64 filters; ``width_multiplier`` scales these and the hidden
    layer. ``dropout`` is the share of the hidden layer's outputs that training drops. Takes
    ``[N, *input_shape]``, returns logits ``[N, classes]``. The defaults on 3x32x32 have 1,191,170
    parameters.

    Raises:
        EdgebenchError: The images are smaller than 8x8.
    """
    check_image("alexnet", input_shape, SMALLEST)
    layers = Layers(norm=norm, activation=activation, norm_position=norm_position)
    channels, height, width = input_shape
    features: list[nn.Module] = []
    for filters in (scaled(count, width_multiplier) for count in (32, 64, 64)):
        features += [*layers.conv(channels, filters, 5, padding=2), nn.MaxPool2d(2)]
        channels, height, width = filters, height // 2, width // 2
    hidden = scaled(1000, width_multiplier)
    network: nn.Module = init(
        nn.Sequential(
            *features,
            nn.Flatten(),
            *layers.dense(channels * height * width, hidden),
            *dropouts(dropout, dropout_scaling),
            nn.Linear(hidden, classes),
        )
    )
    return network
