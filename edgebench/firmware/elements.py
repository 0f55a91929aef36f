"""Element by element: how a generator reads an operand, writes a result, and walks over both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edgebench.firmware.clamps import float_limits, integer_limits
from edgebench.firmware.layer import Layer, ctype, number
from edgebench.firmware.values import C_TYPES
from edgebench.profiling import Constant, Tensor


@dataclass(frozen=True)
class Read:
    """An operand: the C expression of its element at ``{}``, and the stride of each axis."""

    expression: str
    strides: tuple[int, ...]

    def at(self, index: str) -> str:
        """Return the element at an index as a real number in C."""
        return self.expression.format(index)


def read(layer: Layer, tensor: Tensor, rank: int, role: str = "operand") -> Read:
    """Return how ``tensor`` is read by an operator whose result has ``rank`` axes.

    Axes of one are read again and again, as ONNX broadcasts them. A constant becomes an array of
    real numbers.
    """
    if isinstance(tensor, Constant):
        values = layer.real(tensor)
        if values.size == 1:
            return Read(number(float(values.reshape(-1)[0])), (0,) * rank)
        name = layer.array(role, values, "float")
        strides = _plain_strides(tensor.shape)
        return Read(f"{name}[{{}}]", _broadcast(tensor.shape, strides, rank))
    layout = layer.layout(tensor.name)
    strides = layout.strides if layout.shape == tensor.shape else _plain_strides(tensor.shape)
    return Read(load(layer, tensor), _broadcast(tensor.shape, strides, rank))


def load(layer: Layer, tensor: Tensor) -> str:
    """Return the C expression of an activation's element at ``{}`` as a real number."""
    ctype(tensor)
    pointer = layer.pointer(tensor.name)
    if not tensor.quantized:
        return f"{pointer}[{{}}]"
    scale, zero = layer.scale(tensor).one
    return f"((float)({pointer}[{{}}] - {_literal(zero)}) * {number(scale)})"


def _literal(value: int) -> str:
    return str(value) if value >= 0 else f"({value})"


def store(layer: Layer, index: str, value: str) -> str:
    """Return the C statement that writes a real number to the stage's result, within its limits.

    ``value`` is read once for floats without limits, more than once otherwise.
    """
    tensor = layer.result
    if not tensor.quantized:
        low, high = float_limits(layer)
        if np.isinf(low) and np.isinf(high):
            return f"y[{index}] = {value};"
        lines = f"const float v = {value};"
        clamped = f"v < {number(low)} ? {number(low)} : v"
        if not np.isinf(high):
            clamped = f"v > {number(high)} ? {number(high)} : {clamped}"
        return f"{lines} y[{index}] = {clamped};"
    scale, zero = layer.scale(tensor).one
    low_, high_ = integer_limits(layer)
    kind = C_TYPES[tensor.dtype]
    quotient = f"({value}) / {number(scale)}"
    return f"y[{index}] = ({kind})limited_f32({quotient}, {zero}, {low_}, {high_});"


def _plain_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _broadcast(shape: Sequence[int], strides: Sequence[int], rank: int) -> tuple[int, ...]:
    found = [0 if size == 1 else step for size, step in zip(shape, strides, strict=True)]
    return (0,) * (rank - len(found)) + tuple(found)


@dataclass(frozen=True)
class Loops:
    """Loops over the elements of a result, and the index of each operand inside them."""

    opening: tuple[str, ...]
    indices: tuple[str, ...]

    def around(self, *statements: str) -> str:
        """Return the loops with ``statements`` inside."""
        lines = [f"{'    ' * depth}{line}" for depth, line in enumerate(self.opening)]
        depth = len(self.opening)
        lines += [f"{'    ' * depth}{line}" for one in statements for line in one.split("\n")]
        lines += [f"{'    ' * one}}}" for one in range(depth - 1, -1, -1)]
        return "\n".join(lines)


def loops(sizes: Sequence[int], strides: Sequence[Sequence[int]], names: str = "abcdefgh") -> Loops:
    """Return loops over axes of ``sizes``, the first the slowest.

    ``strides`` has for each operand the step of each axis. Axes that every operand walks as one
    are one loop.
    """
    axes = [(size, [one[axis] for one in strides]) for axis, size in enumerate(sizes) if size != 1]
    merged: list[tuple[int, list[int]]] = []
    for size, steps in axes:
        if merged and all(
            before == step * size for before, step in zip(merged[-1][1], steps, strict=True)
        ):
            merged[-1] = (merged[-1][0] * size, steps)
        else:
            merged.append((size, steps))
    opening = tuple(
        f"for (int {name} = 0; {name} < {size}; ++{name}) {{"
        for name, (size, _) in zip(names, merged, strict=False)
    )
    indices = []
    for place in range(len(strides)):
        terms = [
            name if steps[place] == 1 else f"{name} * {steps[place]}"
            for name, (_, steps) in zip(names, merged, strict=False)
            if steps[place]
        ]
        indices.append(" + ".join(terms) or "0")
    return Loops(opening, tuple(indices))


def ordered(layer: Layer, tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes of a tensor from the slowest in memory on, and the stride of each axis."""
    layout = layer.layout(tensor.name)
    return layout.order, layout.strides
