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


def window(layer: Layer) -> dict[str, int]:
    """Return the fields of a ``window_t``: the image that is read, and how the kernel moves."""
    attributes = layer.attributes
    source = layer.activation()
    height, width, channels = side(source.shape)
    (kernel_h, kernel_w), (stride_h, stride_w) = attributes["kernel"], attributes["strides"]
    dilation_h, dilation_w = attributes["dilations"]
    layer.source.needs(WINDOW_ROWS=kernel_h)
    return {
        "height": height, "width": width, "channels": channels,
        "in_rows": layer.rows(source.name),
        "kernel_h": kernel_h, "kernel_w": kernel_w, "stride_h": stride_h, "stride_w": stride_w,
        "dilation_h": dilation_h, "dilation_w": dilation_w,
        "pad_top": attributes["pads"][0], "pad_left": attributes["pads"][1],
    }  # fmt: skip


def geometry(layer: Layer) -> dict[str, Any]:
    """Return the fields that a kernel begins with: of each channel by itself, or of groups."""
    moved = window(layer)
    _, out_width, out_channels = side(layer.target.shape)
    out_rows = layer.rows(layer.stage.target)
    if is_depthwise(layer):
        layer.source.needs(WINDOW_TAPS=moved["kernel_h"] * moved["kernel_w"])
        return {"window": moved, "out_width": out_width, "out_rows": out_rows}
    groups, pool = layer.attributes["group"], layer.stage.pool
    pool_h, pool_w = (1, 1) if pool is None else pool.attributes["kernel"]
    return {
        "window": moved,
        "groups": groups, "group_in": moved["channels"] // groups,
        "group_out": out_channels // groups,
        "out_width": out_width, "out_channels": out_channels, "out_rows": out_rows,
        "pool_h": pool_h, "pool_w": pool_w,
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
    lines = "\n".join(_members(fields, "    "))
    return f"static const {kind} k = {{\n{lines}\n}};"


def _members(fields: dict[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            inner = _members(value, f"{indent}    ")
            lines += [f"{indent}{{", *inner, f"{indent}}}, /* {name} */"]
        else:
            lines.append(f"{indent}{value}, /* {name} */")
    return lines


def _float(layer: Layer) -> str:
    weights = weights_of(layer).astype(np.float32)
    bias = bias_of(layer, len(weights)).astype(np.float32)
    low, high = float_limits(layer)
    fields = {**geometry(layer), "low": number(low), "high": number(high)}
    if is_depthwise(layer):
        kernel = "depthwise_f32"
        packed, shifts = weights[:, 0].transpose(1, 2, 0), bias
    else:
        kernel, groups = "conv_f32", layer.attributes["group"]
        layer.source.zeros = max(layer.source.zeros, fields["group_in"])
        packed, shifts = blocked(weights, groups, 4), blocked_bias(bias, groups, 4)
    fields["weights"] = layer.array("weights", packed, "float")
    fields["bias"] = layer.array("bias", shifts, "float")
    return f"{struct(f'{kernel}_t', fields)}\n{kernel}(&k, x, y, step);"


GENERATORS.add("Conv", Generator(convolution, limits=True))
