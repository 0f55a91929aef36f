"""The graph while it is being simplified: nodes and values, every shape known.

Shapes come from ONNX's own inference, one node at a time, with the values of shape arithmetic
carried along; a dynamic batch is read as 1. Whatever depends on constants alone becomes a constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.contrib import standard

Array = npt.NDArray[Any]
SMALL = 16_384  # elements; a constant up to this size may be folded by value

_NAMES = {value: name.lower() for name, value in TensorProto.DataType.items()}
_NAMES |= {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}
_CODES = {name: code for code, name in _NAMES.items()}
_PASSED_ON = frozenset({"Identity", "Dropout", "CastLike"})


@dataclass
class Value:
    """A tensor of the graph; ``tensor`` is the initializer where it is a stored constant.

    ``dtype`` is the type it is held in: a dequantised weight keeps the integers it is stored as,
    and ``reference`` the initializer that holds them. ``scale``, ``zero_point`` and ``axis`` are
    its quantisation parameters.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    tensor: TensorProto | None = None
    array: Array | None = None
    reference: str | None = None
    scale: str | None = None
    zero_point: str | None = None
    axis: int | None = None
    dequantised: bool = False  # held in integers, a float to the operators that read it

    def data(self) -> Array | None:
        """Return the value of a small constant, or None where it is not stored or is large."""
        stored = self.tensor is not None and self.tensor.data_location != TensorProto.EXTERNAL
        if self.array is None and stored and self.tensor and np.prod(self.shape) <= SMALL:
            try:
                self.array = numpy_helper.to_array(self.tensor)
            except (ValueError, TypeError):  # a sketch names the dimensions and stores nothing
                self.tensor = None
        return self.array


@dataclass
class Node:
    """One operator of the graph; ``folded`` names the nodes that were merged into it."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    known: bool = True


@dataclass
class Graph:
    """Nodes in an order they can run in, and the values between them."""

    name: str
    nodes: list[Node]
    values: dict[str, Value]
    inputs: list[str]
    outputs: list[str]

    def producers(self) -> dict[str, Node]:
        """Map each computed value to the node that writes it."""
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Map each value to the nodes that read it, once per read."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def is_constant(self, name: str) -> bool:
        """Tell whether ``name`` is known before the graph runs."""
        return name != "" and self.values[name].constant

    def data(self, name: str) -> Array | None:
        """Return the value of a small constant, or None."""
        return self.values[name].data() if name else None

    def activations(self, node: Node) -> list[str]:
        """Return the inputs of ``node`` that are computed, not constant."""
        return [name for name in node.inputs if name and not self.values[name].constant]

    def replace(self, old: str, new: str) -> None:
        """Let every reader of ``old``, and the graph's outputs, read ``new``."""
        for node in self.nodes:
            node.inputs = [new if name == old else name for name in node.inputs]
        self.outputs = [new if name == old else name for name in self.outputs]

    def remove(self, nodes: Iterable[Node]) -> None:
        """Drop ``nodes``."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]


def build(model: onnx.ModelProto, input_shape: tuple[int, ...] | None = None) -> Graph:
    """Return the graph of ``model`` with all shapes known and constants folded.

    Args:
        model: Weights may be absent; their dimensions suffice.
        input_shape: Binds the dimensions after the batch where the model leaves them open.

    Raises:
        EdgebenchError: The model has not exactly one input, or leaves a shape open.
    """
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    builder = _Builder(model)
    builder.read_constants()
    builder.read_input(input_shape)
    for proto in _in_order(model.graph, set(builder.values)):
        builder.add(proto)
    return builder.finished()


class _Builder:
    """Walks the nodes of a model in order and collects the graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opsets = {one.domain.replace("ai.onnx", ""): one.version for one in model.opset_import}
        self.values: dict[str, Value] = {"": Value("", (), "", constant=True)}
        self.renamed: dict[str, str] = {}
        self.graph = Graph(model.graph.name, [], self.values, [], [])
        self.declared = {info.name: info.type for info in model.graph.value_info}
        self.declared |= {info.name: info.type for info in model.graph.output}

    def read_constants(self) -> None:
        """Take the initializers as constants, by reference."""
        for tensor in self.model.graph.initializer:
            self.values[tensor.name] = Value(
                tensor.name, tuple(tensor.dims), _NAMES[tensor.data_type], True, tensor
            )

    def read_input(self, input_shape: tuple[int, ...] | None) -> None:
        """Take the one graph input, its batch read as 1."""
        inputs = [info for info in self.model.graph.input if info.name not in self.values]
        if len(inputs) != 1:
            names = ", ".join(f"'{info.name}'" for info in inputs)
            raise EdgebenchError(
                f"the model has {len(inputs)} inputs ({names}); an image classifier has one"
            )
        info = inputs[0]
        shape = _input_shape(info, input_shape)
        dtype = _NAMES[info.type.tensor_type.elem_type]
        self.values[info.name] = Value(info.name, shape, dtype)
        self.graph.inputs.append(info.name)

    def add(self, proto: onnx.NodeProto) -> None:
        """Add one node: fold it, pass it on, or keep it with the shapes of its outputs."""
        node = standard(
            Node(
                proto.op_type,
                proto.name or (proto.output[0] if proto.output else proto.op_type),
                [self.renamed.get(name, name) for name in proto.input],
                list(proto.output),
                {one.name: helper.get_attribute_value(one) for one in proto.attribute},
            ),
            proto.domain,
        )
        if node.op == "Constant":
            self._constant(node)
        elif node.op in _PASSED_ON or self._casts_to_same(node):
            self.renamed[node.outputs[0]] = node.inputs[0]
            for extra in node.outputs[1:]:
                self.renamed[extra] = ""
        else:
            self._infer(node, proto)

    def _constant(self, node: Node) -> None:
        key, value = next(iter(node.attributes.items()))
        name = node.outputs[0]
        if isinstance(value, TensorProto):
            self.values[name] = Value(name, tuple(value.dims), _NAMES[value.data_type], True, value)
        else:
            kind = np.float32 if "float" in key else np.int64
            array = np.asarray(value, dtype=None if "string" in key else kind)
            self.values[name] = Value(name, array.shape, str(array.dtype), True, array=array)

    def _casts_to_same(self, node: Node) -> bool:
        return node.op == "Cast" and self._value(node.inputs[0], node).dtype == _NAMES.get(
            node.attributes["to"]
        )

    def _value(self, name: str, node: Node) -> Value:
        if name not in self.values:
            raise EdgebenchError(f"the operator '{node.name}' reads '{name}', which nothing writes")
        return self.values[name]

    def _infer(self, node: Node, proto: onnx.NodeProto) -> None:
        inputs = [self._value(name, node) for name in node.inputs]
        if node.op == "Shape" and self._shape_of(node, inputs[0]):
            return
        constant = all(value.constant for value in inputs)
        if constant and self._fold(node, proto, inputs):
            return
        node.outputs = [name for name in node.outputs if name]
        for name, (shape, dtype) in self._output_types(node, proto, inputs).items():
            self.values[name] = Value(name, shape, dtype, constant)
        if constant:  # large data: its dimensions are known, its values stay unread
            _pass_reference(node, self.values)
        else:
            self.graph.nodes.append(node)

    def _shape_of(self, node: Node, value: Value) -> bool:
        start, end = node.attributes.get("start", 0), node.attributes.get("end")
        array = np.asarray(value.shape[start:end], dtype=np.int64)
        name = node.outputs[0]
        self.values[name] = Value(name, array.shape, "int64", True, array=array)
        return True

    def _fold(self, node: Node, proto: onnx.NodeProto, inputs: list[Value]) -> bool:
        """Compute a node whose inputs are small constants; False where they are not."""
        if node.op in ("DequantizeLinear", "QuantizeLinear") or not node.known:
            return False
        feeds: dict[str, Array] = {}
        for value in inputs:
            array = value.data()
            if value.name and array is None:
                return False
            if array is not None:
                feeds[value.name] = array
        if node.op in ("ConstantOfShape", "Expand", "Tile") and _grows(node, feeds):
            return False
        from onnx.reference import ReferenceEvaluator

        copy = onnx.NodeProto()
        copy.CopyFrom(proto)
        del copy.input[:]
        copy.input.extend(node.inputs)
        try:
            results = ReferenceEvaluator(_model_of(copy, feeds, self.opsets)).run(None, feeds)
        except Exception:  # noqa: BLE001 - the evaluator lacks an operator: shapes will do
            return False
        for name, result in zip(copy.output, results, strict=True):
            array = np.asarray(result)
            self.values[name] = Value(name, array.shape, str(array.dtype), True, array=array)
        return True

    def _output_types(
        self, node: Node, proto: onnx.NodeProto, inputs: list[Value]
    ) -> dict[str, tuple[tuple[int, ...], str]]:
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        types = self._inferred(node, proto, inputs) if node.known else {}
        for name in node.outputs:
            kind = types.get(name) or self.declared.get(name)
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
        self, node: Node, proto: onnx.NodeProto, inputs: list[Value]
    ) -> dict[str, onnx.TypeProto]:
        newest = onnx.defs.onnx_opset_version()
        version = self.opsets.get("", newest)
        if "_canonical" in node.attributes and not onnx.defs.has(node.op, version):
            version = newest  # a contrib operator may be older than its standard name
        if not onnx.defs.has(node.op, version):
            node.known = False
            return {}
        schema = onnx.defs.get_schema(node.op, version)
        rewritten = onnx.NodeProto()
        if "_canonical" in node.attributes:
            rewritten = helper.make_node(
                node.op,
                node.inputs,
                node.outputs,
                **{k: v for k, v in node.attributes.items() if not k.startswith("_")},
            )
        else:
            rewritten.CopyFrom(proto)
            rewritten.domain = ""
            del rewritten.input[:], rewritten.output[:]
            rewritten.input.extend(node.inputs)
            rewritten.output.extend(node.outputs)
        types = {value.name: _type_of(value, node) for value in inputs if value.name}
        known = {
            value.name: numpy_helper.from_array(array, value.name)
            for value in inputs
            if value.constant and value.name and (array := value.data()) is not None
        }
        try:
            inferred: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
                schema,
                rewritten,
                types,
                known,
                opset_imports=[helper.make_opsetid("", version)],
                ir_version=self.model.ir_version or 8,
            )
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
            reason = str(error).strip().splitlines()[0]
            raise EdgebenchError(
                f"the operator '{node.name}' ({node.op}) does not fit its inputs "
                f"{[list(value.shape) for value in inputs if value.name]}: {reason}"
            ) from error
        return inferred

    def finished(self) -> Graph:
        """Return the graph with its outputs, less what no output depends on."""
        for info in self.model.graph.output:
            name = self.renamed.get(info.name, info.name)
            if name not in self.values:
                raise EdgebenchError(f"the model's output '{info.name}' is written by no operator")
            self.graph.outputs.append(name)
        needed = set(self.graph.outputs)
        kept = []
        for node in reversed(self.graph.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.graph.nodes = kept[::-1]
        return self.graph


def _in_order(graph: onnx.GraphProto, known: set[str]) -> Iterable[onnx.NodeProto]:
    """Yield the nodes so that each comes after those it reads, keeping the file's order."""
    waiting = list(graph.node)
    ready = known | {info.name for info in graph.input} | {""}
    while waiting:
        later = []
        for proto in waiting:
            if ready.issuperset(proto.input):
                ready.update(proto.output)
                yield proto
            else:
                later.append(proto)
        if len(later) == len(waiting):
            missing = next(name for name in later[0].input if name not in ready)
            raise EdgebenchError(
                f"the operator '{later[0].name or later[0].op_type}' reads '{missing}', "
                "which nothing writes before it"
            )
        waiting = later


def _grows(node: Node, feeds: dict[str, Array]) -> bool:
    """Tell whether the result of a node that repeats its input would be large."""
    shape = feeds[node.inputs[-1]]
    return abs(float(np.prod(shape.astype(np.float64)))) > SMALL


def _input_shape(info: onnx.ValueInfoProto, given: tuple[int, ...] | None) -> tuple[int, ...]:
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
    return _NAMES[code] if code else next((v.dtype for v in inputs if v.name), "float32")


def _type_of(value: Value, node: Node) -> onnx.TypeProto:
    """Return the type that inference sees; the integers of a canonical operator pass as floats."""
    code = _CODES[value.dtype]
    canonical = "_canonical" in node.attributes and value.dtype in ("int8", "uint8", "int32")
    if canonical or value.dequantised:
        code = TensorProto.FLOAT
    return helper.make_tensor_type_proto(code, value.shape)


def _pass_reference(node: Node, values: dict[str, Value]) -> None:
    """Let a constant that is another one rearranged or dequantised remember its origin."""
    source, result = values[node.inputs[0]], values[node.outputs[0]]
    result.reference = source.reference or source.name
    if node.op == "DequantizeLinear":
        result.dtype = source.dtype
        result.scale = node.inputs[1]
        result.zero_point = node.inputs[2] if len(node.inputs) > 2 else None
        result.axis = node.attributes.get("axis", 1)
        result.dequantised = True
    elif node.op in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        result.dtype, result.scale = source.dtype, source.scale
        result.zero_point, result.axis = source.zero_point, source.axis
        result.dequantised = source.dequantised


def _model_of(
    node: onnx.NodeProto, feeds: dict[str, Array], opsets: dict[str, int]
) -> onnx.ModelProto:
    """Wrap one node in a model that the reference evaluator runs."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "fold", inputs, outputs)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()]
    )
