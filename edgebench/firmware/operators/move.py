"""What moves elements: transposes and other layouts, slices, pads, concatenations, conversions."""

from __future__ import annotations

from edgebench.firmware.elements import loops, ordered, read, store
from edgebench.firmware.layer import Layer, ctype, number
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.values import Unsupported
from edgebench.footprint import Layout
from edgebench.profiling import Constant, Tensor


def _as_held(layer: Layer, tensor: Tensor) -> bool:
    """Tell whether elements can be copied as they are held."""
    alike = tensor.quantization == layer.result.quantization
    return tensor.dtype == layer.result.dtype and alike


def _copy(layer: Layer, tensor: Tensor, source: str, target: str) -> str:
    """Return the statement that copies one element, rescaled where it is held otherwise."""
    ctype(tensor)
    pointer = layer.pointer(tensor.name)
    if _as_held(layer, tensor):
        return f"y[{target}] = {pointer}[{source}];"
    value = read(layer, tensor, len(tensor.shape)).at(source)
    return f"const float moved = {value}; {store(layer, target, 'moved')}"


def transpose(layer: Layer) -> str:
    """Write the elements in another order: of axes, or of the same axes in memory."""
    source, result = layer.activation(), layer.result
    laid = layer.layout(source.name)
    if laid.shape != source.shape and layer.layout(result.name) == Layout.plain(result.shape):
        # A vector that lies as the image it was: the order of its elements is that of the image.
        walk = loops(laid.shape, [laid.strides, Layout.plain(laid.shape).strides])
        return walk.around(_copy(layer, source, walk.indices[0], walk.indices[1]))
    rank = len(source.shape)
    perm = layer.attributes.get("perm", range(rank))
    found = read(layer, source, rank).strides
    order, strides = ordered(layer, result)
    walk = loops([result.shape[axis] for axis in order],
                 [[found[perm[axis]] for axis in order],
                  [strides[axis] for axis in order]])  # fmt: skip
    return walk.around(_copy(layer, source, walk.indices[0], walk.indices[1]))


def convert(layer: Layer) -> str:
    """Write a quantization, its inverse, or a change of scale: each element where it stands."""
    source = layer.activation()
    statement = _copy(layer, source, "i", "i")
    return f"for (int i = 0; i < {source.elements}; ++i) {{\n    {statement}\n}}"


def cut(layer: Layer) -> str:
    """Write a slice."""
    source, result = layer.activation(), layer.result
    if "starts" not in layer.attributes:
        raise Unsupported("its bounds are computed")
    starts, steps = layer.attributes["starts"], layer.attributes["steps"]
    found = read(layer, source, len(source.shape)).strides
    _, strides = ordered(layer, result)
    walk = loops(result.shape, [[a * b for a, b in zip(found, steps, strict=True)], strides])
    first = sum(a * b for a, b in zip(found, starts, strict=True))
    return walk.around(_copy(layer, source, f"{walk.indices[0]} + {first}", walk.indices[1]))


def concat(layer: Layer) -> str:
    """Write each operand behind the one before, along one axis."""
    axis = layer.attributes["axis"]
    result = layer.result
    _, strides = ordered(layer, result)
    place, parts = 0, []
    for position, operand in enumerate(layer.main.operands):
        if operand is None:
            continue
        found = read(layer, operand, len(result.shape), f"operand{position}")
        walk = loops(operand.shape, [found.strides, strides])
        to = f"{walk.indices[1]} + {place * strides[axis]}"
        if isinstance(operand, Constant):
            parts.append(walk.around(store(layer, to, found.at(walk.indices[0]))))
        else:
            parts.append(walk.around(_copy(layer, operand, walk.indices[0], to)))
        place += operand.shape[axis]
    return "\n".join(parts)


def pad(layer: Layer) -> str:
    """Write a constant everywhere, then the input inside it."""
    source, result = layer.activation(), layer.result
    amounts, mode = layer.attributes["pads"], layer.attributes.get("mode", "constant")
    if amounts is None or mode != "constant" or min(amounts) < 0:
        raise Unsupported("it pads by something else than a constant")
    found = read(layer, source, len(source.shape)).strides
    _, strides = ordered(layer, result)
    value = number(float(layer.attributes.get("value", 0.0)))
    walk = loops(source.shape, [found, strides])
    first = sum(a * b for a, b in zip(amounts, strides, strict=False))
    fill = f"for (int i = 0; i < {result.elements}; ++i) {{\n    {store(layer, 'i', value)}\n}}"
    inside = _copy(layer, source, walk.indices[0], f"{walk.indices[1]} + {first}")
    return f"{fill}\n{walk.around(inside)}"


GENERATORS.add("Transpose", Generator(transpose))
GENERATORS.add("Identity", Generator(transpose))
GENERATORS.add("QuantizeLinear", Generator(convert))
GENERATORS.add("DequantizeLinear", Generator(convert))
GENERATORS.add("Slice", Generator(cut))
GENERATORS.add("Concat", Generator(concat))
GENERATORS.add("Pad", Generator(pad))
