"""Every attribute of an operator, resolved: ONNX's defaults, and operands that are code, not data.

On a device the bounds of a slice, the axes of a reduction or the amounts of a pad are part of the
program; newer opsets pass them as constant operands, older ones as attributes. Here they are
attributes under one name whatever the opset.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.folding import explicit_pads, pad_amounts, window
from edgebench.profiling.graph import Array, Graph, Node
from edgebench.profiling.layout import reduced_axes, transpose_order

SHAPING: Mapping[str, Mapping[int, str]] = {
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    "Pad": {1: "pads", 2: "value", 3: "axes"},
    "Clip": {1: "min", 2: "max"},
    "Split": {1: "split"},
    "Expand": {1: "shape"},
    "Tile": {1: "repeats"},
    "Reshape": {1: "shape"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
    "Resize": {1: "roi", 2: "scales", 3: "sizes"},
    "Upsample": {1: "scales"},
}
"""Operands that shape what an operator does, by position, and the attribute that has them."""

_SINGLE = frozenset({"min", "max", "value"})
_WINDOWED = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool",
                       "GlobalAveragePool", "GlobalMaxPool"})  # fmt: skip
_ON_AXIS = frozenset({"Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "Concat",
                      "Gather", "GatherElements", "Split", "ArgMax", "ArgMin", "Flatten",
                      "LpNormalization"})  # fmt: skip
_FROM_AXIS_ON = frozenset({"Softmax", "LogSoftmax"})


def resolved(graph: Graph, node: Node) -> dict[str, Any]:
    """Return the attributes of ``node`` as a row has them; subgraphs and tensors are left out."""
    schema = graph.declared.schema(node)
    found = {} if schema is None else dict(_defaults(node.op, schema.since_version))
    found |= {name: _plain(value) for name, value in node.attributes.items() if _is_plain(value)}
    if not node.known:
        return found  # another domain's operator may have a standard one's name
    for position, name in SHAPING.get(node.op, {}).items():
        data = graph.data(node.inputs[position]) if position < len(node.inputs) else None
        if data is not None and data.dtype.kind in "biuf":
            found[name] = _numbers(data, single=name in _SINGLE)
    found |= _axes(graph, node, found, schema.since_version if schema is not None else 1)
    if node.op in _WINDOWED or node.pooled is not None:
        found |= _window(graph, node)
    if node.op == "Slice":
        found |= _bounds(graph, node, found)
    if node.op == "Split":
        found["split"] = _pieces(graph, node, int(found.get("axis", 0)))
    if node.op == "Pad":
        amounts = pad_amounts(graph, node)
        found["pads"] = None if amounts is None else tuple(amounts)
        found.pop("axes", None)
    return found


@functools.cache
def _defaults(op: str, version: int) -> Mapping[str, Any]:
    """Return the defaults of an operator's attributes, those that have one."""
    schema = onnx.defs.get_schema(op, version)
    return {
        name: _plain(helper.get_attribute_value(attribute.default_value))
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type
    }


def _is_plain(value: object) -> bool:
    items = value if isinstance(value, list) else [value]
    return not any(hasattr(one, "SerializeToString") for one in items)


def _plain(value: Any) -> Any:
    """Return an attribute's value as text, a number or a tuple of them."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str | int | float):
        return value
    return tuple(_plain(one) for one in value)


def _numbers(data: Array, *, single: bool) -> Any:
    """Return a constant as a tuple of numbers, or as the first of them."""
    kind = float if data.dtype.kind == "f" else int
    if single and data.size:
        return kind(data.reshape(-1)[0])
    return tuple(kind(one) for one in data.reshape(-1))


def _axes(graph: Graph, node: Node, found: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Return the axes counted from the front; a softmax before opset 13 takes all from its on."""
    rank = max(len(graph.values[node.inputs[0]].shape), 1) if node.inputs else 1
    if node.op.startswith("Reduce"):
        return {"axes": reduced_axes(graph, node)}
    if node.op == "Transpose":
        return {"perm": transpose_order(graph, node)}
    if node.op not in _ON_AXIS or "axis" not in found:
        return {}
    first = int(found["axis"])
    first = first if node.op == "Flatten" and first == rank else first % rank
    if node.op in _FROM_AXIS_ON:
        return {"axis": first, "axes": tuple(range(first, rank)) if version < 13 else (first,)}
    return {"axis": first}


def _window(graph: Graph, node: Node) -> dict[str, Any]:
    """Return kernel, strides, pads and dilations over height and width.

    An operator of one dimension has it as its height. A convolution of three keeps them all.
    """
    if node.pooled is not None:
        kernel = strides = list(node.pooled)
        dilations, pads = [1] * len(kernel), [0] * 2 * len(kernel)
    else:
        kernel, strides, dilations = window(graph, node)
        pads = explicit_pads(graph, node)
    if len(kernel) == 1:
        kernel, strides, dilations = [*kernel, 1], [*strides, 1], [*dilations, 1]
        pads = [pads[0], 0, pads[1], 0]
    return {
        "kernel": tuple(kernel),
        "strides": tuple(strides),
        "dilations": tuple(dilations),
        "pads": tuple(pads),
        "group": int(node.attributes.get("group", 1)),
    }


def _bounds(graph: Graph, node: Node, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return start, end and step of a slice for every axis, clamped as ONNX does.

    The end of a step back past the first element is -1, as in Python's ``range``.
    """
    shape = graph.values[node.inputs[0]].shape
    starts, ends = found.get("starts"), found.get("ends")
    if starts is None or ends is None:
        return {}  # computed while the graph runs
    axes = found.get("axes") or range(len(starts))
    steps = found.get("steps") or [1] * len(starts)
    whole = [(0, size, 1) for size in shape]
    if len({len(starts), len(ends), len(axes), len(steps)}) > 1 or 0 in steps:
        raise EdgebenchError(f"the bounds of '{node.name}' (Slice) do not belong together")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = shape[axis]
        last = end if end >= -size else None if step < 0 else 0
        whole[axis] = slice(start, last, step).indices(size)
    names = ("starts", "ends", "steps")
    bounds = {name: tuple(one[index] for one in whole) for index, name in enumerate(names)}
    return bounds | {"axes": tuple(range(len(shape)))}


def _pieces(graph: Graph, node: Node, axis: int) -> tuple[int, ...]:
    """Return the sizes that a split gives along its axis."""
    return tuple(np.asarray([graph.values[name].shape[axis] for name in node.outputs]).tolist())
