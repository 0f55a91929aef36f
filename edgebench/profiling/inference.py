"""Shapes and types, one node at a time, by ONNX's own inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.graph import Node, Value

TYPE_NAMES = {value: name.lower() for name, value in TensorProto.DataType.items()}
TYPE_NAMES |= {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}
_CODES = {name: code for code, name in TYPE_NAMES.items()}


@dataclass(frozen=True)
class Declared:
    """What a model declares: its opsets by domain, its IR version, and the types of its values."""

    opsets: Mapping[str, int]
    ir_version: int
    types: Mapping[str, onnx.TypeProto]


def output_types(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], model: Declared
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and type of each output of ``node``, the batch read as 1.

    Raises:
        EdgebenchError: The inputs do not fit the operator, or a shape can neither be inferred nor
            is declared in the model.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    types = _inferred(node, proto, inputs, model) if node.known else {}
    for name in node.outputs:
        kind = types.get(name) or model.types.get(name)
        shape = _static(kind, batch_open=name not in types) if kind is not None else None
        if shape is None or kind is None:
            if name != node.outputs[0]:
                continue  # an optional output that nothing needs
            raise EdgebenchError(
                f"the shape of '{name}' is missing: it cannot be inferred from the operator "
                f"'{node.op}' ('{node.name}'); export with fixed image sizes"
            )
        found[name] = (shape, node.attributes.get("_dtype") or _dtype_of(kind, inputs))
    return found


def _inferred(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], model: Declared
) -> dict[str, onnx.TypeProto]:
    newest = onnx.defs.onnx_opset_version()
    version = model.opsets.get("", newest)
    if "_canonical" in node.attributes and not onnx.defs.has(node.op, version):
        version = newest  # a contrib operator may be older than its standard name
    if not onnx.defs.has(node.op, version):
        node.known = False
        return {}
    schema = onnx.defs.get_schema(node.op, version)
    types = {value.name: _type_of(value, node) for value in inputs if value.name}
    known = {
        value.name: numpy_helper.from_array(array, value.name)
        for value in inputs
        if value.constant and value.name and (array := value.data()) is not None
    }
    try:
        inferred: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema,
            _rewritten(node, proto),
            types,
            known,
            opset_imports=[helper.make_opsetid("", version)],
            ir_version=model.ir_version or 8,
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EdgebenchError(
            f"the operator '{node.name}' ({node.op}) does not fit its inputs "
            f"{[list(value.shape) for value in inputs if value.name]}: {reason}"
        ) from error
    return inferred


def _rewritten(node: Node, proto: onnx.NodeProto) -> onnx.NodeProto:
    """Return ``proto`` with the inputs and, where it was rewritten, the operator of ``node``."""
    if "_canonical" in node.attributes:
        plain = {k: v for k, v in node.attributes.items() if not k.startswith("_")}
        return helper.make_node(node.op, node.inputs, node.outputs, **plain)
    rewritten = onnx.NodeProto()
    rewritten.CopyFrom(proto)
    rewritten.domain = ""
    del rewritten.input[:], rewritten.output[:]
    rewritten.input.extend(node.inputs)
    rewritten.output.extend(node.outputs)
    return rewritten


def _static(kind: onnx.TypeProto, batch_open: bool) -> tuple[int, ...] | None:
    """Return the shape of a type; an open first dimension is the batch where that is allowed."""
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    sizes = [dim.dim_value for dim in kind.tensor_type.shape.dim]
    unknown = [
        index
        for index, dim in enumerate(kind.tensor_type.shape.dim)
        if not dim.HasField("dim_value") or dim.dim_value < 0
    ]
    if unknown == [0] and batch_open:
        sizes[0] = 1
    elif unknown:
        return None
    return tuple(sizes)


def _dtype_of(kind: onnx.TypeProto, inputs: list[Value]) -> str:
    code = kind.tensor_type.elem_type
    return TYPE_NAMES[code] if code else next((v.dtype for v in inputs if v.name), "float32")


def _type_of(value: Value, node: Node) -> onnx.TypeProto:
    """Return the type that inference sees; the integers of a canonical operator pass as floats."""
    code = _CODES[value.dtype]
    canonical = "_canonical" in node.attributes and value.dtype in ("int8", "uint8", "int32")
    if canonical or value.dequantised:
        code = TensorProto.FLOAT
    return helper.make_tensor_type_proto(code, value.shape)


def input_sizes(info: onnx.ValueInfoProto, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the input's shape with a batch of 1; ``given`` binds the open image dimensions."""
    kind = info.type.tensor_type
    if not kind.HasField("shape") or not kind.shape.dim:
        raise EdgebenchError(
            f"the input '{info.name}' declares no shape; export the model with one"
        )
    sizes = [max(0, dim.dim_value) for dim in kind.shape.dim]
    sizes[0] = sizes[0] or 1
    if given is not None:
        if len(given) != len(sizes) - 1 or any(
            fixed not in (0, asked) for fixed, asked in zip(sizes[1:], given, strict=True)
        ):
            raise EdgebenchError(
                f"the input '{info.name}' is {_dims(info)}; {'x'.join(map(str, given))} does not "
                "fit it"
            )
        sizes[1:] = given
    if 0 in sizes:
        raise EdgebenchError(
            f"the input '{info.name}' is {_dims(info)}: only the batch may be open; export with a "
            "fixed image size, or state it with --input"
        )
    return tuple(sizes)


def _dims(info: onnx.ValueInfoProto) -> str:
    dims = info.type.tensor_type.shape.dim
    return "[" + ", ".join(str(d.dim_value or d.dim_param or "?") for d in dims) + "]"
