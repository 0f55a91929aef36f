"""A multilayer perceptron: dense layers alone (Rumelhart, Hinton and Williams, 1986)."""

from __future__ import annotations

import math
import re

from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.models import MODELS
from edgebench.models.layers import (
    DEFAULT_INIT,
    NO_NORM,
    RELU,
    ActivationOption,
    Count,
    Depth,
    DropoutScaling,
    Fraction,
    Initialized,
    Layers,
    NormOption,
    NormPosition,
    dropouts,
)


@MODELS.register
def mlp(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: Count = 100,
    depth: Depth = 2,
    layers: str = "",
    norm: NormOption = NO_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build a multilayer perceptron: flatten, hidden dense layers, Linear classes.

    ``depth`` hidden layers of ``width`` features each, or those that ``layers`` lists, as in
    ``50-30-20``; ``dropout`` is the share of each hidden layer's outputs that training drops.
    Takes ``[N, *input_shape]``, returns logits ``[N, classes]``.

    Raises:
        EdgebenchError: ``layers`` is no list of numbers.
    """
    features = math.prod(input_shape)
    build = Layers(norm=norm, activation=activation, norm_position=norm_position)
    found: list[nn.Module] = [nn.Flatten()]
    for size in _sizes(layers) or [width] * depth:
        found += [*build.dense(features, size), *dropouts(dropout, dropout_scaling)]
        features = size
    network: nn.Module = init(nn.Sequential(*found, nn.Linear(features, classes)))
    return network


def _sizes(layers: str) -> list[int]:
    if not re.fullmatch(r"([1-9]\d*(-[1-9]\d*)*)?", layers):
        raise EdgebenchError(
            f"model.layers: '{layers}' should be sizes joined by dashes, as in 50-30-20"
        )
    return [int(size) for size in layers.split("-")] if layers else []
