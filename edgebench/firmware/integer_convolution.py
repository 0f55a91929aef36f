"""Convolutions of signed bytes."""

from __future__ import annotations

import numpy as np

from edgebench.firmware.integers import integers, packed_taps
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

LARGEST_PATCH = 256
"""Inputs of a pixel that are gathered on the stack, so that they are read four at once."""


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
    inputs = found.weights[0].size
    patch = -(-inputs // 4) * 4 if group_in % 4 and groups == 1 and inputs <= LARGEST_PATCH else 0
    layer.source.patch = max(layer.source.patch, patch)
    pool = layer.stage.pool
    pool_h, pool_w = (1, 1) if pool is None else pool.attributes["kernel"]
    data = {
        "beside": pad_name(*key),
        "weights": layer.array("weights", _packed(found.weights, groups, patch), "int8_t"),
        "bias": layer.array("bias", blocked_bias(found.folded, groups, 2), "int32_t"),
        "scales": layer.array("scales", blocked_bias(found.scales, groups, 2), "float"),
    }
    order = ("height", "width", "channels", "in_rows")
    first = {name: fields[name] for name in order}
    rest = {name: value for name, value in fields.items() if name not in order}
    shape = {"groups": groups, "group_in": group_in, "group_out": out_channels // groups}
    result = {"out_width": out_width, "out_channels": out_channels, "out_rows": out_rows,
              "pool_h": pool_h, "pool_w": pool_w, "patch": patch}  # fmt: skip
    body = struct("conv_s8_t", {**first, **shape, **rest, **result, **limits, **data})
    return f"{body}\nconv_s8(&k, x, y, step);"


def _packed(weights: Array, groups: int, patch: int) -> Array:
    """Return weights in blocks of two results of a group, the last one filled with zeros.

    With a ``patch`` the taps are one run of that many inputs, zeros at its end.
    """
    out, inputs, height, width = weights.shape
    share = out // groups
    full = -(-share // 2) * 2
    padded = np.zeros((groups, full, inputs, height, width), weights.dtype)
    padded[:, :share] = weights.reshape(groups, share, inputs, height, width)
    blocks = padded.reshape(-1, 2, inputs, height * width).transpose(0, 3, 1, 2)
    if patch:
        runs = blocks.transpose(0, 2, 1, 3).reshape(len(blocks), 1, 2, -1)
        blocks = np.pad(runs, ((0, 0), (0, 0), (0, 0), (0, patch - runs.shape[3])))
    return packed_taps(blocks, 2)
