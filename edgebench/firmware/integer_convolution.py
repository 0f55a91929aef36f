"""Convolutions of signed bytes."""

from __future__ import annotations

import numpy as np

from edgebench.firmware.integers import integers, packed
from edgebench.firmware.layer import Layer
from edgebench.firmware.operators.convolution import (
    blocked_bias,
    geometry,
    is_depthwise,
    struct,
    weights_of,
)
from edgebench.firmware.values import Array

PIECE, RESULTS = 48, 64
"""Inputs of a pixel and channels of the result that are multiplied at once, on the stack."""


def integer_convolution(layer: Layer) -> str:
    """Write a convolution of signed bytes: each channel by itself, or of groups."""
    found = integers(layer, weights_of(layer))
    fields = geometry(layer)
    channels = fields["window"]["channels"]
    if is_depthwise(layer):
        kernel, groups, block = "depthwise_s8", 1, 4
        beside, packed = channels, _by_fours(found.weights[:, 0])
    else:
        kernel, groups, block = "conv_s8", layer.attributes["group"], 2
        beside, packed = fields["group_in"], _packed(found.weights, groups)
        inputs = -(-found.weights[0].size // 8) * 8
        even = -(-fields["group_out"] // 2) * 2
        layer.source.needs(CONV_PIECE=min(inputs, PIECE), CONV_RESULTS=min(even, RESULTS))
        fields["inputs"] = inputs
    scales = blocked_bias(found.scales, groups, block)
    fields |= {
        "beside": layer.source.beside(found.in_zero, beside),
        "weights": layer.array("weights", packed, "int8_t"),
        "bias": layer.array("bias", blocked_bias(found.folded, groups, block), "int32_t"),
        "result": found.result(layer.array("scales", scales, "float")),
    }
    return f"{struct(f'{kernel}_t', fields)}\n{kernel}(&k, x, y, step);"


def _by_fours(weights: Array) -> Array:
    """Return weights ``[channels, height, width]`` four channels at a time, filled with zeros."""
    channels, height, width = weights.shape
    padded = np.zeros((-(-channels // 4) * 4, height * width), weights.dtype)
    padded[:channels] = weights.reshape(channels, -1)
    return padded.reshape(-1, 4, height * width).transpose(0, 2, 1)


def _packed(weights: Array, groups: int) -> Array:
    """Return weights in the order in which ``conv_s8`` reads them, filled up with zeros.

    By group, `RESULTS` results of it, `PIECE` inputs of a pixel, two of these results and four of
    these inputs: in their order where a pixel has fours of them, else the middle two exchanged.
    """
    out, inputs, height, width = weights.shape
    share, size = out // groups, height * width * inputs
    padded = np.zeros((groups, -(-share // 2) * 2, -(-size // 8) * 8), weights.dtype)
    padded[:, :share, :size] = weights.transpose(0, 2, 3, 1).reshape(groups, share, size)
    if inputs % 4:
        fours = padded.reshape(*padded.shape[:2], -1, 4)
        padded = fours[..., [0, 2, 1, 3]].reshape(padded.shape)
    return np.concatenate(
        [
            packed(one[first : first + RESULTS, at : at + PIECE], 2)
            for one in padded
            for first in range(0, padded.shape[1], RESULTS)
            for at in range(0, padded.shape[2], PIECE)
        ]
    )
