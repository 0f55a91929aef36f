"""The parts that families share: convolution blocks and the named activations and norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Le, Lt
from torch import nn

from edgebench.errors import EdgebenchError

Count = Annotated[int, Ge(1)]
Fraction = Annotated[float, Ge(0.0), Lt(1.0)]
Depth = Annotated[int, Ge(1), Le(8)]
Norm = Literal["batch", "none"]
Activation = Literal[
    "relu", "leaky_relu", "relu6", "elu", "silu", "gelu", "hardswish", "sigmoid", "tanh"
]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def activation_layer(name: Activation) -> nn.Module:
    """Return a new activation module by its name in ``Activation``."""
    return _ACTIVATIONS[name]()


def conv_blocks(
    input_shape: tuple[int, int, int],
    *,
    width: int,
    blocks: int,
    convs_per_block: int,
    norm: Norm,
    activation: Activation,
) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """Build ``blocks`` times (Conv3x3(pad 1) - norm - activation) x convs - MaxPool2.

    The first block has ``width`` filters and each further block twice as many. A convolution that
    a batch norm follows has no bias, since the norm's shift would absorb it.

    Returns:
        The layers, and their output shape (C, H, W).

    Raises:
        EdgebenchError: The input is too small to be halved ``blocks`` times.
    """
    channels, height, size = input_shape[0], input_shape[1], input_shape[2]
    deepest = min(height, size).bit_length() - 1
    if blocks > deepest:
        raise EdgebenchError(
            f"model.blocks: {blocks} blocks halve the input {blocks} times, but "
            f"{height}x{size} pixels can be halved {deepest} times; the nearest valid value is "
            f"{deepest}"
        )
    layers: list[nn.Module] = []
    for block in range(blocks):
        filters = width * 2**block
        for _ in range(convs_per_block):
            layers.append(nn.Conv2d(channels, filters, 3, padding=1, bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(filters))
            layers.append(activation_layer(activation))
            channels = filters
        layers.append(nn.MaxPool2d(2))
        height, size = height // 2, size // 2
    return nn.Sequential(*layers), (channels, height, size)


SUITED_FAN_IN = 256  # inputs of a dense layer that AdamW trains well at the recipe's 1e-3


def soften(features: nn.Sequential, fan_in: int) -> None:
    """Let ``features`` begin small where a dense layer reads ``fan_in`` > 256 of them.

    An Adam step moves every weight by about the learning rate, and so a dense output by the rate
    times the sum of its inputs: with 4,096 inputs 16 times as far as with 256, too far at the
    start. Adam's rate should fall as 1 / fan-in (Yang et al., Tensor Programs V, 2022); a recipe
    has one rate, so the last norm's scale begins at 256 / ``fan_in`` instead, and is trained from
    there. Without a norm nothing is changed.
    """
    norms = [layer for layer in features if isinstance(layer, nn.BatchNorm2d)]
    if norms and fan_in > SUITED_FAN_IN:
        nn.init.constant_(norms[-1].weight, SUITED_FAN_IN / fan_in)


assert set(get_args(Activation)) == set(_ACTIVATIONS)  # noqa: S101 - one list, written twice for mypy
