"""From an ONNX model to the graph: every shape known, what is constant folded.

A dynamic batch is read as 1. Values of shape arithmetic are carried along, so that reshapes by
computed shapes are known too; whatever depends on constants alone becomes a constant.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.constants import computed, pass_reference
from edgebench.profiling.contrib import standard
from edgebench.profiling.graph import Graph, Node, Value
from edgebench.profiling.inference import TYPE_NAMES, Declared, input_sizes, output_types

_PASSED_ON = frozenset({"Identity", "Dropout", "CastLike"})


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
        infos = [*model.graph.value_info, *model.graph.output]
        types = {info.name: info.type for info in infos}
        self.declared = Declared(self.opsets, model.ir_version, types)

    def read_constants(self) -> None:
        """Take the initializers as constants, by reference."""
        for tensor in self.model.graph.initializer:
            self.values[tensor.name] = Value(
                tensor.name, tuple(tensor.dims), TYPE_NAMES[tensor.data_type], True, tensor
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
        shape = input_sizes(info, input_shape)
        dtype = TYPE_NAMES[info.type.tensor_type.elem_type]
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
            self.values[name] = Value(
                name, tuple(value.dims), TYPE_NAMES[value.data_type], True, value
            )
        else:
            kind = np.float32 if "float" in key else np.int64
            array = np.asarray(value, dtype=None if "string" in key else kind)
            self.values[name] = Value(name, array.shape, str(array.dtype), True, array=array)

    def _casts_to_same(self, node: Node) -> bool:
        return node.op == "Cast" and self._value(node.inputs[0], node).dtype == TYPE_NAMES.get(
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
        folded = computed(node, proto, inputs, self.opsets) if constant else None
        if folded is not None:
            self.values |= {value.name: value for value in folded}
            return
        node.outputs = [name for name in node.outputs if name]
        for name, (shape, dtype) in output_types(node, proto, inputs, self.declared).items():
            self.values[name] = Value(name, shape, dtype, constant)
        if constant:  # large data: its dimensions are known, its values stay unread
            pass_reference(node, self.values)
        else:
            self.graph.nodes.append(node)

    def _shape_of(self, node: Node, value: Value) -> bool:
        start, end = node.attributes.get("start", 0), node.attributes.get("end")
        array = np.asarray(value.shape[start:end], dtype=np.int64)
        name = node.outputs[0]
        self.values[name] = Value(name, array.shape, "int64", True, array=array)
        return True

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
