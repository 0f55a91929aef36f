"""Convolutions: any kernel, stride, padding, dilation and groups; a pool may be fused behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebench.firmware.clamps import float_limits
from edgebench.firmware.layer import Layer, ctype, number
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.values import Array, Unsupported


def convolution(layer: Layer) -> str:
    """Write a convolution in the arithmetic of its input."""
    source = layer.activation()
    ctype(source)
    if len(layer.attributes["kernel"]) != 2 or len(source.shape) not in (3, 4):
        raise Unsupported("it has three dimensions")
    if source.shape[0] != 1:
        raise Unsupported("its batch is not one")
    if len(layer.main.operands) > 3:
        raise Unsupported("it adds a second input to its result")
    if source.quantized:
        from edgebench.firmware.integer_convolution import integer_convolution

        return integer_convolution(layer)
    if layer.result.quantized:
        raise Unsupported("it reads floats and writes integers")
    return _float(layer)


def geometry(layer: Layer) -> dict[str, Any]:
    """Return the fields that every kernel of a convolution has."""
    attributes = layer.attributes
    source = layer.activation()
    height, width, channels = side(source.shape)
    (kernel_h, kernel_w), (stride_h, stride_w) = attributes["kernel"], attributes["strides"]
    dilation_h, dilation_w = attributes["dilations"]
    return {
        "height": height, "width": width, "channels": channels,
        "in_rows": layer.rows(source.name),
        "kernel_h": kernel_h, "kernel_w": kernel_w, "stride_h": stride_h, "stride_w": stride_w,
        "dilation_h": dilation_h, "dilation_w": dilation_w,
        "pad_top": attributes["pads"][0], "pad_left": attributes["pads"][1],
    }  # fmt: skip


def side(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return height, width and channels of an image or a signal, whose length is its height."""
    return shape[2], (shape[3] if len(shape) == 4 else 1), shape[1]


def weights_of(layer: Layer) -> Array:
    """Return the weights as ``[out, in of a group, kernel_h, kernel_w]``, as they are held."""
    weight = layer.constant(1)
    if weight is None:
        raise Unsupported("it has no weights")
    held = layer.data(weight)
    return held[..., None] if held.ndim == 3 else held


def bias_of(layer: Layer, channels: int) -> Array:
    """Return the bias as it is held, zeros where there is none."""
    bias = layer.constant(2)
    return np.zeros(channels, np.float32) if bias is None else layer.data(bias).reshape(-1)


def is_depthwise(layer: Layer) -> bool:
    """Tell whether each channel is convolved by itself, with one result."""
    group, shape = layer.attributes["group"], layer.activation().shape
    return bool(group > 1 and group == shape[1] == layer.result.shape[1])


def blocked(weights: Array, groups: int, block: int) -> Array:
    """Return weights in blocks of ``block`` results: [blocks, kernel_h, kernel_w, in, block].

    The last block of a group is filled with zeros.
    """
    out, inputs, height, width = weights.shape
    share = out // groups
    full = -(-share // block) * block
    padded = np.zeros((groups, full, inputs, height, width), weights.dtype)
    padded[:, :share] = weights.reshape(groups, share, inputs, height, width)
    parts = padded.reshape(groups * full // block, block, inputs, height, width)
    return parts.transpose(0, 3, 4, 2, 1)


def blocked_bias(bias: Array, groups: int, block: int) -> Array:
    """Return a bias in the blocks of `blocked`."""
    share = len(bias) // groups
    padded = np.zeros((groups, -(-share // block) * block), bias.dtype)
    padded[:, :share] = bias.reshape(groups, share)
    return padded.reshape(-1)


def struct(kind: str, fields: dict[str, Any]) -> str:
    """Return the C definition of a kernel's constants, each with its name beside it."""
    lines = [f"    {value}, /* {name} */" for name, value in fields.items()]
    return f"static const {kind} k = {{\n" + "\n".join(lines) + "\n};"


def _float(layer: Layer) -> str:
    fields = geometry(layer)
    weights = weights_of(layer).astype(np.float32)
    bias = bias_of(layer, len(weights)).astype(np.float32)
    low, high = float_limits(layer)
    _, out_width, out_channels = side(layer.target.shape)
    placed = {"out_width": out_width, "out_rows": layer.rows(layer.stage.target)}
    limits = {"low": number(low), "high": number(high)}
    if is_depthwise(layer):
        packed = layer.array("weights", weights[:, 0].transpose(1, 2, 0), "float")
        data = {"weights": packed, "bias": layer.array("bias", bias, "float")}
        body = struct("depthwise_f32_t", {**fields, **placed, **limits, **data})
        return f"{body}\ndepthwise_f32(&k, x, y, step);"
    groups = layer.attributes["group"]
    layer.source.zeros = max(layer.source.zeros, fields["channels"] // groups)
    layer.source.rows = max(layer.source.rows, fields["kernel_h"])
    pool = layer.stage.pool
    pool_h, pool_w = (1, 1) if pool is None else pool.attributes["kernel"]
    shape = {
        "groups": groups, "group_in": fields["channels"] // groups,
        "group_out": out_channels // groups,
    }  # fmt: skip
    data = {
        "weights": layer.array("weights", blocked(weights, groups, 4), "float"),
        "bias": layer.array("bias", blocked_bias(bias, groups, 4), "float"),
    }
    order = ("height", "width", "channels", "in_rows")
    first = {name: fields[name] for name in order}
    rest = {name: value for name, value in fields.items() if name not in order}
    result = {"out_width": out_width, "out_channels": out_channels,
              "out_rows": placed["out_rows"], "pool_h": pool_h, "pool_w": pool_w}  # fmt: skip
    body = struct("conv_f32_t", {**first, **shape, **rest, **result, **limits, **data})
    return f"{body}\nconv_f32(&k, x, y, step);"


GENERATORS.add("Conv", Generator(convolution, limits=True))
