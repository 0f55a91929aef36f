"""Convolution blocks, and the scale that the last norm before a dense layer begins with."""

from __future__ import annotations

from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.models.layers.composition import Layers
from edgebench.models.layers.options import LastNormScale


def conv_blocks(
    input_shape: tuple[int, int, int],
    *,
    width: int,
    blocks: int,
    convs_per_block: int,
    kernel: int = 3,
    layers: Layers,
) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """Build ``blocks`` times (convolution - norm - activation) x convs - MaxPool2.

    Convolutions have filters of ``kernel`` x ``kernel`` pixels and keep the image's size. The first
    block has ``width`` filters and each further block twice as many.

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
    found: list[nn.Module] = []
    for block in range(blocks):
        filters = width * 2**block
        for _ in range(convs_per_block):
            found += layers.conv(channels, filters, kernel, padding=kernel // 2)
            channels = filters
        found.append(nn.MaxPool2d(2))
        height, size = height // 2, size // 2
    return nn.Sequential(*found), (channels, height, size)


def check_image(family: str, input_shape: tuple[int, int, int], smallest: int) -> None:
    """Raise EdgebenchError where an image is lower or narrower than ``smallest`` pixels."""
    _, height, width = input_shape
    if min(height, width) < smallest:
        raise EdgebenchError(
            f"model.family: {family} takes images of at least {smallest}x{smallest} pixels, not "
            f"{height}x{width}"
        )


SUITED_FAN_IN = 256  # inputs of a dense layer that AdamW trains well at the recipe's 1e-3


def scale_last_norm(features: nn.Sequential, fan_in: int, begin: LastNormScale) -> None:
    """Set where the scale of the last norm in ``features`` begins, before a dense layer reads it.

    ``one`` leaves it at 1. ``fan_in`` begins at 256 / ``fan_in`` where the dense layer reads more
    than 256 values: an Adam step moves every weight by about the learning rate, and so a dense
    output by the rate times the sum of its inputs: with 4,096 inputs 16 times as far as with 256,
    too far at the start. Adam's rate should fall as 1 / fan-in (Yang et al., Tensor Programs V,
    2022); a recipe has one rate, so the inputs begin small instead, and are trained from there.
    Without a norm nothing is changed.
    """
    norms = [
        layer
        for layer in features
        if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d))
    ]
    if begin == "fan_in" and norms and fan_in > SUITED_FAN_IN:
        nn.init.constant_(norms[-1].weight, SUITED_FAN_IN / fan_in)
