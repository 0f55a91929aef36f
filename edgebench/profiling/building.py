"""From an ONNX model to the graph: every shape known, what is constant folded.

A dynamic batch is read as 1. Values of shape arithmetic are carried along, so that reshapes by
computed shapes are known too; whatever depends on constants alone becomes a constant.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.constants import Folder, computed, pass_reference
from edgebench.profiling.contrib import standard
from edgebench.profiling.graph import Array, Graph, Node, Scale, Value
from edgebench.profiling.inference import Declared, output_types, type_name
from edgebench.profiling.inputs import Shapes, read_inputs
from edgebench.profiling.limits import MOST_OPERATORS, check_functions, check_names, check_shape

_LITE = frozenset({"tflite", "tf2onnx"})
"""Who writes the graphs of TFLite files: the reader of this room, and the usual converter."""
_PASSED_ON = frozenset({"Identity", "Dropout"})


def build(
    model: onnx.ModelProto, image: tuple[int, ...] | None = None, stated: Shapes | None = None
) -> Graph:
    """Return the graph of ``model`` with all shapes known and constants folded.

    Args:
        model: Weights may be absent; their dimensions suffice.
        image: Binds the dimensions after the batch where the model leaves them open.
        stated: The whole shapes of inputs by name; None freezes one.

    Raises:
        EdgebenchError: The model has not exactly one input that is not stated, leaves a shape
            open, or asks for what no device has.
    """
    check_functions(model)
    if model.functions:
        model = _inlined(model)
    builder = _Builder(model)
    builder.read_constants()
    builder.read_inputs(image, stated or {})
    for proto in _in_order(model.graph, set(builder.values)):
        builder.add(proto)
    return builder.finished()


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx.inliner import inline_local_functions

    try:
        return inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["no reason is given"])[0]
        raise EdgebenchError(f"the functions of the model cannot be inlined: {reason}") from error


class _Builder:
    """Walks the nodes of a model in order and collects the graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        imports = model.opset_import
        self.opsets = {"" if i.domain == "ai.onnx" else i.domain: i.version for i in imports}
        self.values: dict[str, Value] = {"": Value("", (), "", constant=True)}
        self.renamed: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        self.folder = Folder(self.opsets)
        infos = [*model.graph.value_info, *model.graph.output]
        types = {info.name: info.type for info in infos}
        self.declared = Declared(self.opsets, model.ir_version, types)

    def read_constants(self) -> None:
        """Take the initializers as constants, by reference."""
        for tensor in self.model.graph.initializer:
            self._store(tensor.name, tensor)
        for sparse in self.model.graph.sparse_initializer:
            name, shape = sparse.values.name, tuple(sparse.dims)
            check_shape(f"the initializer '{name}'", shape)
            dtype = type_name(sparse.values.data_type, f"the initializer '{name}'")
            self.values[name] = Value(name, shape, dtype, constant=True)

    def _store(self, name: str, tensor: TensorProto) -> None:
        check_names(name)
        shape = tuple(tensor.dims)
        check_shape(f"the constant '{name}'", shape)
        dtype = type_name(tensor.data_type, f"the constant '{name}'")
        self.values[name] = Value(name, shape, dtype, constant=True, tensor=tensor)

    def read_inputs(self, image: tuple[int, ...] | None, stated: Shapes) -> None:
        """Take the graph's inputs, the batch read as 1."""
        infos = [info for info in self.model.graph.input if info.name not in self.values]
        for value in read_inputs(infos, image, stated):
            self.values[value.name] = value
            if not value.constant:
                self.inputs.append(value.name)

    def add(self, proto: onnx.NodeProto) -> None:
        """Add one node: fold it, pass it on, or keep it with the shapes of its outputs."""
        outputs = list(proto.output)
        if not any(outputs):
            return  # nothing can depend on it
        for name in filter(None, outputs):
            if name in self.values or name in self.renamed:
                raise EdgebenchError(f"the value '{name}' is written twice")
        node = standard(
            Node(
                proto.op_type,
                proto.name or next(filter(None, outputs)),
                [self.renamed.get(name, name) for name in proto.input],
                outputs,
                _attributes(proto),
            ),
            proto.domain,
        )
        if node.op == "Constant" and node.known:
            self._constant(node)
            return
        inputs = [self._value(name, node) for name in node.inputs]
        if self._passes_on(node, inputs):
            self.renamed[node.outputs[0]] = node.inputs[0]
            self.renamed |= {extra: "" for extra in node.outputs[1:] if extra}
        elif node.op != "Shape" or not self._shape_of(node, inputs):
            self._infer(node, proto, inputs)

    def _constant(self, node: Node) -> None:
        if len(node.attributes) != 1:
            raise EdgebenchError(f"the constant '{node.name}' has {len(node.attributes)} values")
        key, value = next(iter(node.attributes.items()))
        name = node.outputs[0]
        if isinstance(value, TensorProto):
            self._store(name, value)
        elif key.startswith("value_string"):
            self.values[name] = Value(name, np.shape(value), "string", constant=True)
        elif key.startswith(("value_float", "value_int")):
            array = np.asarray(value, np.float32 if "float" in key else np.int64)
            self.values[name] = Value(name, array.shape, str(array.dtype), True, array=array)
        else:
            raise EdgebenchError(f"the constant '{name}' has a '{key}', which is not known")

    def _passes_on(self, node: Node, inputs: list[Value]) -> bool:
        """Tell whether ``node`` gives on its first input unchanged."""
        if not inputs or not inputs[0].name or not node.outputs[0] or not node.known:
            return False
        if node.op == "Cast":
            if "to" not in node.attributes:
                raise EdgebenchError(f"the operator '{node.name}' (Cast) has no attribute 'to'")
            code = node.attributes["to"]
            if not isinstance(code, int):
                raise EdgebenchError(f"the attribute 'to' of '{node.name}' (Cast) is no type")
            asked = type_name(code, f"the result of '{node.name}' (Cast)")
            return inputs[0].dtype == asked and not inputs[0].dequantized
        if node.op == "CastLike" and len(inputs) > 1:
            return inputs[0].dtype == inputs[1].dtype
        return node.op in _PASSED_ON

    def _value(self, name: str, node: Node) -> Value:
        if name not in self.values:
            raise EdgebenchError(f"the operator '{node.name}' reads '{name}', which nothing writes")
        return self.values[name]

    def _infer(self, node: Node, proto: onnx.NodeProto, inputs: list[Value]) -> None:
        self._complete_scales(node)
        constant = all(value.constant for value in inputs) and node.known
        if constant and node.op == "NonZero" and self._positions(node, inputs):
            return
        types = output_types(node, proto, inputs, self.declared)
        constant = constant and node.known
        values = [Value(name, *types[name], constant) for name in types]
        self.values |= {value.name: value for value in values}
        if not constant:
            node.outputs = [name for name in node.outputs if name]
            self._append(node)
        elif not self.folder.fold(node, proto, inputs, values):
            make = computed(node, proto, inputs, self.opsets)
            for index, value in enumerate(values):
                value.compute = lambda index=index: make(index)
            if inputs:
                pass_reference(node, proto, inputs, values[0], self.opsets)

    def _append(self, node: Node) -> None:
        """Keep a node; an activation that it carries becomes one of its own again."""
        self.nodes.append(node)
        if node.fused is None:
            return
        result, activation = node.outputs[0], node.fused
        inner = f"{result}.before_{activation.op}"
        self.values[inner] = replace(self.values[result], name=inner)
        activation.inputs, activation.outputs, node.outputs = [inner], node.outputs, [inner]
        self.nodes.append(activation)

    def _complete_scales(self, node: Node) -> None:
        """Take the type and the axes of an integer operator from its scales and zero points."""
        zero = node.output_scale.zero_point if node.output_scale else None
        if zero is not None and zero in self.values:
            node.result_dtype = self.values[zero].dtype
        named = [*node.scales.values(), *([node.output_scale] if node.output_scale else [])]
        for name in (name for scale in named for name in (scale.scale, scale.zero_point)):
            if name is not None:
                self._value(name, node)
        weight = node.scales.get(1)
        if weight is not None and node.op in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
            node.scales[1] = replace(weight, axis=_weight_axis(node))
            if len(node.inputs) > 2 and node.inputs[2] and weight.scale is not None:
                node.scales[2] = Scale(self._bias_scale(node, weight.scale), None, 0)

    def _bias_scale(self, node: Node, weight: str) -> str:
        """Add the scale of an integer operator's bias: that of its input times that of its weight.

        ONNX Runtime does not name it.
        """
        first, second = self.values[node.scales[0].scale or ""], self.values[weight]
        name = f"{node.name}.bias_scale"

        def product() -> Array:
            found: Array = (first.content().reshape(-1) * second.content()).reshape(-1)
            return found

        shape = (int(np.prod(second.shape)),)
        self.values[name] = Value(name, shape, "float32", constant=True, compute=product)
        return name

    def _positions(self, node: Node, inputs: list[Value]) -> bool:
        """Fold a NonZero, whose shape depends on the data; tell whether its data is known."""
        array = inputs[0].data() if inputs else None
        if array is None:
            return False
        name = node.outputs[0]
        found = np.asarray(np.nonzero(np.atleast_1d(array)))
        self.values[name] = Value(name, found.shape, "int64", True, array=found)
        return True

    def _shape_of(self, node: Node, inputs: list[Value]) -> bool:
        if len(inputs) != 1 or not inputs[0].name or not node.known:
            return False
        start, end = node.attributes.get("start", 0), node.attributes.get("end")
        array = np.asarray(inputs[0].shape[start:end], dtype=np.int64)
        name = node.outputs[0]
        self.values[name] = Value(name, array.shape, "int64", True, array=array)
        return True

    def finished(self) -> Graph:
        """Return the graph with its outputs, less what no output depends on."""
        outputs = []
        for info in self.model.graph.output:
            name = self.renamed.get(info.name, info.name)
            if name not in self.values or not name:
                raise EdgebenchError(f"the model's output '{info.name}' is written by no operator")
            outputs.append(name)
        needed = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        found = Graph(
            self.model.graph.name,
            self.values,
            self.declared,
            nodes=kept[::-1],
            inputs=self.inputs,
            outputs=outputs,
        )
        found.lite = self.model.producer_name in _LITE
        return found


def _weight_axis(node: Node) -> int:
    """Return the axis of a weight that its scales lie along: that of the output channels."""
    if node.op == "MatMul":
        return -1
    if node.op == "Gemm":
        return 0 if node.attributes.get("transB") else 1
    return 1 if node.op == "ConvTranspose" else 0


def _attributes(proto: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    try:
        return {one.name: helper.get_attribute_value(one) for one in proto.attribute}
    except ValueError as error:
        raise EdgebenchError(
            f"the operator '{proto.name or proto.op_type}' has an attribute of an unknown type"
        ) from error


def _in_order(graph: onnx.GraphProto, known: set[str]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes so that each comes after those it reads, keeping the file's order."""
    if len(graph.node) > MOST_OPERATORS:
        raise EdgebenchError(
            f"the model has {len(graph.node):,} operators; no more than {MOST_OPERATORS:,} are read"
        )
    nodes = list(graph.node)
    for proto in nodes:
        check_names(proto.op_type, proto.name, proto.domain, *proto.input, *proto.output)
    there = known | {info.name for info in graph.input} | {""}
    yield from nodes if _stand_in_order(nodes, set(there)) else _sorted(nodes, there)


def _stand_in_order(nodes: Sequence[onnx.NodeProto], there: set[str]) -> bool:
    """Tell whether each node reads only what is ``there`` or written before it: nearly always."""
    for proto in nodes:
        if not there.issuperset(proto.input):
            return False
        there.update(proto.output)
    return True


def _sorted(nodes: Sequence[onnx.NodeProto], there: set[str]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes in an order they can run in; what they read first is ``there``.

    Of those whose inputs are there, the first in the file comes first (Kahn's algorithm).
    """
    missing: dict[int, set[str]] = {}
    waiting: dict[str, list[int]] = {}
    ready: list[int] = []
    for index, proto in enumerate(nodes):
        missing[index] = {name for name in proto.input if name not in there}
        for name in missing[index]:
            waiting.setdefault(name, []).append(index)
        if not missing[index]:
            ready.append(index)
    while ready:
        index = heapq.heappop(ready)
        del missing[index]
        yield nodes[index]
        for name in nodes[index].output:
            for reader in waiting.pop(name, ()):
                missing[reader].discard(name)
                if not missing[reader]:
                    heapq.heappush(ready, reader)
    if missing:
        index, names = next(iter(missing.items()))
        proto = nodes[index]
        raise EdgebenchError(
            f"the operator '{proto.name or proto.op_type}' reads '{min(names)}', "
            "which nothing writes before it"
        )
