"""Convolutions of signed bytes."""

from __future__ import annotations

import numpy as np

from edgebench.firmware.integers import integers, packed
from edgebench.firmware.layer import Layer, pad_name
from edgebench.firmware.operators.convolution import (
    blocked_bias,
    geometry,
    is_depthwise,
    side,
    struct,
    weights_of,
)
from edgebench.firmware.values import Array

PIECE, RESULTS = 48, 64
"""Inputs of a pixel and channels of the result that are multiplied at once, on the stack."""


def integer_convolution(layer: Layer) -> str:
    """Write a convolution of signed bytes, by channel or in blocks of two."""
    fields = geometry(layer)
    found = integers(layer, weights_of(layer))
    _, out_width, out_channels = side(layer.target.shape)
    out_rows = layer.rows(layer.stage.target)
    limits = {"zero": found.zero, "low": found.low, "high": found.high}
    if is_depthwise(layer):
        data = {
            "weights": layer.array("weights", found.weights[:, 0].transpose(1, 2, 0), "int8_t"),
            "bias": layer.array("bias", found.bias, "int32_t"),
            "scales": layer.array("scales", found.scales, "float"),
        }
        placed = {"out_width": out_width, "out_rows": out_rows, "in_zero": found.in_zero}
        body = struct("depthwise_s8_t", {**fields, **placed, **limits, **data})
        return f"{body}\ndepthwise_s8(&k, x, y, step);"
    groups = layer.attributes["group"]
    group_in = fields["channels"] // groups
    pads = layer.source.pads
    key = ("int8_t", found.in_zero)
    pads[key] = max(pads.get(key, 0), group_in)
    layer.source.rows = max(layer.source.rows, fields["kernel_h"])
    inputs = -(-found.weights[0].size // 8) * 8
    layer.source.piece = max(layer.source.piece, min(inputs, PIECE))
    even = -(-out_channels // groups // 2) * 2
    layer.source.results = max(layer.source.results, min(even, RESULTS))
    pool = layer.stage.pool
    pool_h, pool_w = (1, 1) if pool is None else pool.attributes["kernel"]
    data = {
        "beside": pad_name(*key),
        "weights": layer.array("weights", _packed(found.weights, groups), "int8_t"),
        "bias": layer.array("bias", blocked_bias(found.folded, groups, 2), "int32_t"),
        "scales": layer.array("scales", blocked_bias(found.scales, groups, 2), "float"),
    }
    order = ("height", "width", "channels", "in_rows")
    first = {name: fields[name] for name in order}
    rest = {name: value for name, value in fields.items() if name not in order}
    shape = {"groups": groups, "group_in": group_in, "group_out": out_channels // groups}
    result = {"out_width": out_width, "out_channels": out_channels, "out_rows": out_rows,
              "pool_h": pool_h, "pool_w": pool_w, "inputs": inputs}  # fmt: skip
    body = struct("conv_s8_t", {**first, **shape, **rest, **result, **limits, **data})
    return f"{body}\nconv_s8(&k, x, y, step);"


def _packed(weights: Array, groups: int) -> Array:
    """Return weights in the order in which ``conv_s8`` reads them, filled up with zeros.

    By group, `RESULTS` results of it, `PIECE` inputs of a pixel, two of these results and four of
    these inputs.
    """
    out, inputs, height, width = weights.shape
    share, size = out // groups, height * width * inputs
    padded = np.zeros((groups, -(-share // 2) * 2, -(-size // 8) * 8), weights.dtype)
    padded[:, :share, :size] = weights.transpose(0, 2, 3, 1).reshape(groups, share, size)
    return np.concatenate(
        [
            packed(one[first : first + RESULTS, at : at + PIECE], 2)
            for one in padded
            for first in range(0, padded.shape[1], RESULTS)
            for at in range(0, padded.shape[2], PIECE)
        ]
    )
