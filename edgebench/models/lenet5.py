"""LeNet-5, as it is taught today: ReLU and max pooling (LeCun et al., 1998)."""

from __future__ import annotations

from typing import Literal

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

SMALLEST = 16  # pixels: 16 - 4 = 12, halved 6, - 4 = 2, halved 1


@MODELS.register
def lenet5(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width_multiplier: WidthMultiplier = 1.0,
    norm: NormOption = NO_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_after: Literal["last", "both"] = "last",
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build LeNet-5: Conv5x5 6, pool, Conv5x5 16, pool, Linear 120, Linear 84, Linear classes.

    No padding; a pool is a MaxPool2; ``width_multiplier`` scales the four numbers. ``dropout`` is
    the share of the outputs of the ``last`` hidden dense layer, or of ``both``, that training
    drops. Takes ``[N, *input_shape]``, returns logits ``[N, classes]``. The defaults on 1x28x28
    have 44,426 parameters.

    Raises:
        EdgebenchError: The images are smaller than 16x16.
    """
    check_image("lenet5", input_shape, SMALLEST)
    first, second, hidden, last = (scaled(n, width_multiplier) for n in (6, 16, 120, 84))
    layers = Layers(norm=norm, activation=activation, norm_position=norm_position)
    height, width = (((size - 4) // 2 - 4) // 2 for size in input_shape[1:])
    network: nn.Module = init(
        nn.Sequential(
            *layers.conv(input_shape[0], first, 5),
            nn.MaxPool2d(2),
            *layers.conv(first, second, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *layers.dense(second * height * width, hidden),
            *(dropouts(dropout, dropout_scaling) if dropout_after == "both" else ()),
            *layers.dense(hidden, last),
            *dropouts(dropout, dropout_scaling),
            nn.Linear(last, classes),
        )
    )
    return network
