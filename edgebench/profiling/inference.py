"""Shapes and types, one node at a time, by ONNX's own inference."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from math import prod

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.graph import Node, Value
from edgebench.profiling.limits import check_attributes, check_operands, check_shape, check_window

TYPE_NAMES = {value: name.lower() for name, value in TensorProto.DataType.items()}
TYPE_NAMES |= {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}
WINDOWS = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"})
_SIZED_BY_FIRST = frozenset({"DequantizeLinear", "QuantizeLinear"})
_SIZED_BY_FLOATS = frozenset({"Range", "Resize", "Upsample"})
NEWEST = onnx.defs.onnx_opset_version()
KNOWN = 1_024  # elements of a constant that inference reads: shapes, axes, bounds
_CODES = {name: code for code, name in TYPE_NAMES.items()}
Type = tuple[tuple[int, ...], str]
"""A shape and the name of an element type."""


@dataclass(frozen=True)
class Declared:
    """What a model declares: its opsets by domain, its IR version, and the types of its values."""

    opsets: Mapping[str, int]
    ir_version: int
    types: Mapping[str, onnx.TypeProto]
    inferred: dict[Hashable, list[Type]] = field(default_factory=dict)
    """What was inferred, by all that it follows from: deep networks repeat their operators."""

    def version(self, node: Node) -> int:
        """Return the opset that describes the operator of ``node``."""
        version = self.opsets.get("", NEWEST)
        if node.rewritten and schema_of(node.op, version) is None:
            return NEWEST  # a contrib operator may be older than its standard name
        return version

    def schema(self, node: Node) -> onnx.defs.OpSchema | None:
        """Return ONNX's description of the operator of ``node``, or None where it has none."""
        return schema_of(node.op, self.version(node)) if node.known else None


@functools.cache
def schema_of(op: str, version: int) -> onnx.defs.OpSchema | None:
    """Return ONNX's description of a standard operator at an opset, or None where it has none."""
    return onnx.defs.get_schema(op, version) if onnx.defs.has(op, version) else None


def type_name(code: int, what: str) -> str:
    """Return the name of an element type; raises EdgebenchError where ``what`` has none."""
    if code == TensorProto.UNDEFINED or code not in TYPE_NAMES:
        raise EdgebenchError(f"{what} has the element type {code}, which is unknown")
    name: str = TYPE_NAMES[code]
    return name


def output_types(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], model: Declared
) -> dict[str, Type]:
    """Return the shape and type of each output of ``node``, the batch read as 1.

    Raises:
        EdgebenchError: The inputs do not fit the operator, or a shape can neither be inferred nor
            is declared in the model.
    """
    known = _known(node, inputs)
    plain = node.known and not node.rewritten and not known
    key = _key(node, proto, inputs, model) if plain else None
    names = [name for name in node.outputs if name]
    if key is not None and key in model.inferred:
        return dict(zip(names, model.inferred[key], strict=True))
    found: dict[str, Type] = {}
    types = _inferred(node, proto, inputs, known, model)
    first = names[0]
    for name in node.outputs:
        kind = types.get(name) or model.types.get(name)
        shape = _static(kind, batch_open=name not in types) if kind is not None else None
        if shape is None or kind is None:
            if name != first:
                continue  # an optional output that nothing needs
            raise EdgebenchError(
                f"the shape of '{name}' is missing: it cannot be inferred from the operator "
                f"'{node.op}' ('{node.name}'); export with fixed image sizes"
            )
        check_shape(f"'{name}'", shape)
        found[name] = (shape, node.result_dtype or _dtype_of(name, kind, inputs))
    if key is not None and list(found) == names and all(name in types for name in names):
        model.inferred[key] = list(found.values())
    return found


def _known(node: Node, inputs: list[Value]) -> dict[str, TensorProto]:
    """Return the constants that the shapes of the results may follow from."""
    if node.op in _SIZED_BY_FIRST:
        return {}
    return {
        value.name: numpy_helper.from_array(array, value.name)
        for value in inputs
        if value.constant and value.name and prod(value.shape) <= KNOWN
        and (value.dtype in ("int64", "int32") or node.op in _SIZED_BY_FLOATS)
        and (array := value.data()) is not None
    }  # fmt: skip


def _inferred(
    node: Node,
    proto: onnx.NodeProto,
    inputs: list[Value],
    known: dict[str, TensorProto],
    model: Declared,
) -> dict[str, onnx.TypeProto]:
    schema = model.schema(node)
    if schema is None:
        node.known = False
        return {}
    check_operands(node, schema, inputs)
    check_attributes(node, proto, schema)
    if node.op in WINDOWS:
        check_window(node, inputs)
    types = {value.name: _type_of(value, node) for value in inputs if value.name}
    try:
        inferred: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema,
            _rewritten(node, proto, schema),
            types,
            known,
            opset_imports=[helper.make_opsetid("", model.version(node))],
            ir_version=min(max(model.ir_version, 3), onnx.IR_VERSION),
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        reason = (str(error).strip().splitlines() or ["no reason is given"])[0]
        raise EdgebenchError(
            f"the operator '{node.name}' ({node.op}) does not fit its inputs "
            f"{[list(value.shape) for value in inputs if value.name]}: {reason}"
        ) from error
    return inferred


def _key(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], model: Declared
) -> Hashable | None:
    """Return all that the types of the outputs follow from, or None where a name comes twice."""
    named = [value for value in inputs if value.name]
    if len({value.name for value in named}) < len(named):
        return None
    attributes = tuple(one.SerializeToString() for one in proto.attribute)
    read = tuple((bool(one.name), one.dtype, one.shape, one.dequantized) for one in inputs)
    return node.op, model.version(node), attributes, read, tuple(map(bool, node.outputs))


def _rewritten(node: Node, proto: onnx.NodeProto, schema: onnx.defs.OpSchema) -> onnx.NodeProto:
    """Return ``proto`` with the inputs and, where it was rewritten, the operator of ``node``."""
    if node.rewritten:
        plain = {k: v for k, v in node.attributes.items() if k in schema.attributes}
        return helper.make_node(node.op, node.inputs, node.outputs, **plain)
    rewritten = onnx.NodeProto()
    rewritten.CopyFrom(proto)
    rewritten.domain = ""
    del rewritten.input[:], rewritten.output[:]
    rewritten.input.extend(node.inputs)
    rewritten.output.extend(node.outputs)
    return rewritten


def _static(kind: onnx.TypeProto, *, batch_open: bool) -> tuple[int, ...] | None:
    """Return the dimensions, or None where one is unknown; an unknown batch is 1."""
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims]
    if sizes and sizes[0] == -1 and batch_open:
        sizes[0] = 1
    return None if -1 in sizes else tuple(sizes)


def _dtype_of(name: str, kind: onnx.TypeProto, inputs: list[Value]) -> str:
    code = kind.tensor_type.elem_type
    if code:
        return type_name(code, f"'{name}'")
    return next((v.dtype for v in inputs if v.name), "float32")


def _type_of(value: Value, node: Node) -> onnx.TypeProto:
    """Return the type that inference sees; the integers of a rewritten operator pass as floats."""
    code = _CODES[value.dtype]
    if (node.rewritten and value.dtype in ("int8", "uint8", "int32")) or value.dequantized:
        code = TensorProto.FLOAT
    return helper.make_tensor_type_proto(code, value.shape)
