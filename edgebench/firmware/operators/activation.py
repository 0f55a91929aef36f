"""Activations that stand by themselves: element by element, in place where the plan has it so."""

from __future__ import annotations

from edgebench.firmware.activations import ACTIVATIONS, expression, table
from edgebench.firmware.layer import Layer, ctype, number
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.rowwise import rowwise
from edgebench.firmware.values import Unsupported
from edgebench.profiling import Constant


def activation(layer: Layer) -> str:
    """Write an activation of each element; of integers, by a table."""
    source = layer.activation()
    ctype(source)
    parts = rowwise(layer)
    if source.quantized != layer.result.quantized:
        raise Unsupported("it reads integers and writes floats, or the other way round")
    if source.quantized:
        name = table(layer, (layer.main,))
        least = -128 if source.dtype == "int8" else 0
        index = "x[i]" if least == 0 else "x[i] + 128"
        return parts.loop(f"y[i] = {name}[{index}];")
    slope = layer.operand(1) if layer.main.op == "PRelu" else None
    if isinstance(slope, Constant) and slope.elements > 1:
        return _by_channel(layer, slope)
    code = expression(layer, layer.main)
    return parts.loop("const float v = x[i];", f"y[i] = {code};")


def _by_channel(layer: Layer, slope: Constant) -> str:
    """Write a PReLU with a slope for each channel of an image that lies channels last."""
    channels = slope.elements
    shape = layer.result.shape
    layout = layer.layout(layer.result.name)
    if len(shape) < 2 or shape[1] != channels or layout.strides[1] != 1:
        raise Unsupported("its slopes are not one for each channel")
    name = layer.array("slopes", layer.real(slope), "float")
    parts = rowwise(layer)
    return parts.loop(
        "const float v = x[i];", f"y[i] = v < {number(0.0)} ? v * {name}[i % {channels}] : v;"
    )


for _name in (*ACTIVATIONS, "Clip", "PRelu"):
    GENERATORS.add(_name, Generator(activation))
