"""Sums, products and the like of two or more operands, broadcast as in ONNX."""

from __future__ import annotations

from edgebench.firmware.elements import load, loops, ordered, read, store
from edgebench.firmware.layer import Layer, ctype
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.rowwise import rowwise
from edgebench.firmware.values import Unsupported

CODE = {
    "Add": "{} + {}", "Sum": "{} + {}", "Sub": "{} - {}", "Mul": "{} * {}", "Div": "{} / {}",
    "Max": "maximum_f32({}, {})", "Min": "minimum_f32({}, {})",
}  # fmt: skip


def eltwise(layer: Layer) -> str:
    """Write an operator of each element; row by row where all operands have the result's shape."""
    operands = [one for one in layer.main.operands if one is not None]
    ctype(layer.result)
    if len(operands) < 2:
        raise Unsupported("it has one operand")
    if layer.stage.window is not None:
        parts = rowwise(layer)
        terms = [load(layer, one).format("i") for one in operands]
        return parts.loop(*_statements(layer, terms, "i"))
    order, strides = ordered(layer, layer.result)
    rank = len(layer.result.shape)
    reads = [read(layer, one, rank, f"operand{place}") for place, one in enumerate(operands)]
    steps = [[one.strides[axis] for axis in order] for one in reads]
    walk = loops(
        [layer.result.shape[axis] for axis in order],
        [*steps, [strides[axis] for axis in order]],
    )
    terms = [one.at(index) for one, index in zip(reads, walk.indices, strict=False)]
    return walk.around(*_statements(layer, terms, walk.indices[-1]))


def _statements(layer: Layer, terms: list[str], index: str) -> list[str]:
    value = terms[0]
    code = CODE[layer.main.op]
    for term in terms[1:]:
        value = code.format(value, term) if value is terms[0] else code.format(f"({value})", term)
    return [f"const float result = {value};", store(layer, index, "result")]


for _name in CODE:
    GENERATORS.add(_name, Generator(eltwise, limits=True))
