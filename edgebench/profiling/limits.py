"""What a file may ask for: bounds that no network for a device comes near, and checks of it.

A file from a stranger may name any number; whatever would take time or memory out of proportion
to the file, or make ONNX's own code divide by zero, is refused here with its name.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import AttributeProto

from edgebench.errors import EdgebenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgebench.profiling.graph import Node, Value

MOST_OPERATORS = 100_000  # of a graph, its functions inlined
MOST_ELEMENTS = 2**31  # of one tensor
MOST_DIMENSIONS = 32
FOLDED_BYTES = 2**27  # of all constants that are folded by value
AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")

_TYPES = {code: name for name, code in AttributeProto.AttributeType.items()}
_Key = tuple[str, str, str]


def check_shape(what: str, shape: Sequence[int]) -> None:
    """Raise EdgebenchError where a tensor has no possible shape, or one that no device holds."""
    if len(shape) > MOST_DIMENSIONS:
        raise EdgebenchError(f"{what} has {len(shape):,} dimensions; {MOST_DIMENSIONS} are read")
    if any(size < 0 for size in shape):
        raise EdgebenchError(f"{what} has a negative dimension: {list(shape)}")
    if prod(shape) > MOST_ELEMENTS:
        raise EdgebenchError(
            f"{what} has {prod(shape):,} elements {list(shape)}; no device holds more than "
            f"{MOST_ELEMENTS:,}"
        )


def check_names(*names: str | bytes) -> None:
    """Raise EdgebenchError where a name is not UTF-8: protobuf gives such a one as bytes."""
    for name in names:
        if isinstance(name, bytes):
            raise EdgebenchError(f"a name in the model is not UTF-8: {name!r:.60}")


def check_functions(model: onnx.ModelProto) -> None:
    """Raise EdgebenchError where functions call themselves or inline to too many operators."""
    functions = {(one.domain, one.name, one.overload): one for one in model.functions}
    sizes: dict[_Key, int] = {}
    for key in functions:
        _sizes_of(key, functions, sizes)
    total = sum(sizes.get(_key(node), 1) for node in _all_nodes(model.graph.node))
    if total > MOST_OPERATORS:
        raise EdgebenchError(
            f"the model has {total:,} operators once its functions are inlined; no more than "
            f"{MOST_OPERATORS:,} are read"
        )


def _sizes_of(
    start: _Key, functions: Mapping[_Key, onnx.FunctionProto], sizes: dict[_Key, int]
) -> None:
    """Put the operators that each function inlines to into ``sizes``, callees first."""
    open_: set[_Key] = set()
    waiting = [start]
    while waiting:
        key = waiting[-1]
        called = [_key(node) for node in _all_nodes(functions[key].node)]
        if key not in open_ and key not in sizes:
            open_.add(key)
            inner = {one for one in called if one in functions and one not in sizes}
            if inner & open_:
                raise EdgebenchError(f"the function '{key[1]}' calls itself")
            waiting += sorted(inner)
            continue
        waiting.pop()
        if key not in sizes:
            sizes[key] = sum(sizes.get(one, 1) for one in called)
            open_.discard(key)


def _key(node: onnx.NodeProto) -> _Key:
    return node.domain, node.op_type, node.overload


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    """Yield the nodes and those of the graphs that they carry."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _all_nodes(graph.node)


def check_operands(node: Node, schema: onnx.defs.OpSchema, inputs: Sequence[Value]) -> None:
    """Raise EdgebenchError where a required operand is missing, or there are too many."""
    least, most = schema.min_input, schema.max_input
    if not least <= len(inputs) <= max(most, 3 if node.op == "MatMul" else most):
        raise EdgebenchError(
            f"the operator '{node.name}' ({node.op}) has {len(inputs)} inputs; it takes {least}"
            + ("" if most == least else f" to {most:,}" if most < 2**31 - 1 else " or more")
        )
    if any(not value.name for value in inputs[:least]):
        raise EdgebenchError(f"the operator '{node.name}' ({node.op}) misses one of its inputs")


def check_attributes(node: Node, proto: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    """Raise EdgebenchError where an attribute is missing or has another type than ONNX says."""
    known = schema.attributes
    for attribute in proto.attribute:
        expected = known.get(attribute.name)
        if expected is None:
            continue
        needed = str(expected.type).rpartition(".")[2]
        found = _TYPES.get(attribute.type, str(attribute.type))
        if found != needed:
            raise _wrong(node, attribute.name, f"is of type {found}, not {needed}")
    for name, expected in known.items():
        if expected.required and name not in node.attributes:
            raise _wrong(node, name, "is missing")


def check_window(node: Node, inputs: Sequence[Value]) -> None:
    """Raise EdgebenchError where a convolution's or pool's window is impossible."""
    shape = inputs[0].shape
    sides = len(shape) - 2
    if sides < 1:
        raise EdgebenchError(
            f"the operator '{node.name}' ({node.op}) reads {list(shape)}, which is no image"
        )
    for name, length, least in (
        ("kernel_shape", sides, 1), ("strides", sides, 1), ("dilations", sides, 1),
        ("pads", 2 * sides, 0), ("output_padding", sides, 0),
    ):  # fmt: skip
        values = node.attributes.get(name)
        if values is None:
            continue
        if not isinstance(values, list) or not all(isinstance(one, int) for one in values):
            raise _wrong(node, name, "is no list of whole numbers")
        if len(values) != length:
            raise _wrong(node, name, f"has {len(values)} values; {length} are needed")
        if any(not least <= value < MOST_ELEMENTS for value in values):
            raise _wrong(node, name, f"is {list(values)[:8]}; at least {least} each")
    if node.op.endswith("Pool") and "kernel_shape" not in node.attributes:
        raise _wrong(node, "kernel_shape", "is missing")
    mode = node.attributes.get("auto_pad", b"NOTSET").decode(errors="replace") or "NOTSET"
    if mode not in AUTO_PADS:
        raise _wrong(node, "auto_pad", f"is '{mode}'; known: {', '.join(AUTO_PADS)}")
    if node.op in ("Conv", "ConvTranspose"):
        _check_weight(node, shape, inputs[1].shape)


def _check_weight(node: Node, shape: Sequence[int], weight: Sequence[int]) -> None:
    """Raise EdgebenchError where weight, channels and groups do not fit together."""
    group = node.attributes.get("group", 1)
    if group < 1:
        raise _wrong(node, "group", f"is {group}; at least 1")
    if len(weight) != len(shape):
        raise EdgebenchError(
            f"the weight of '{node.name}' ({node.op}) is {list(weight)}; its input {list(shape)} "
            f"needs {len(shape)} dimensions"
        )
    transposed = node.op == "ConvTranspose"
    expected = weight[0] if transposed else weight[1] * group
    divided = weight[0] % group == 0
    if expected != shape[1] or not divided:
        raise EdgebenchError(
            f"the weight {list(weight)} of '{node.name}' ({node.op}) with group {group} does not "
            f"fit the {shape[1]} channels of its input"
        )
    kernel = node.attributes.get("kernel_shape")
    if kernel is not None and list(kernel) != list(weight[2:]):
        raise _wrong(node, "kernel_shape", f"is {list(kernel)}, its weight is {list(weight)}")
    if min(weight, default=0) < 1:
        raise EdgebenchError(f"the weight of '{node.name}' ({node.op}) is empty: {list(weight)}")


def _wrong(node: Node, attribute: str, what: str) -> EdgebenchError:
    return EdgebenchError(f"the attribute '{attribute}' of '{node.name}' ({node.op}) {what}")
