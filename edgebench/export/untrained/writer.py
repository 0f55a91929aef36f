"""Writes a traced model down as ONNX: names, weights by dimension, and the value of each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper
from torch import fx, nn

OPSET = 18


class NoRuleError(Exception):
    """The model does something that only the real export can write down."""


@dataclass(frozen=True)
class Rules:
    """How each module and each function is written; a rule emits nodes for one traced step."""

    modules: Mapping[type[nn.Module], Callable[[Writer, fx.Node, Any], None]]
    functions: Mapping[object, Callable[[Writer, fx.Node], None]]


class Writer:
    """Writes a traced model down as ONNX nodes and initializers."""

    def __init__(self, model: nn.Module, graph: fx.Graph, rules: Rules) -> None:
        self.modules = dict(model.named_modules())
        self.graph = graph
        self.rules = rules
        self.values: dict[fx.Node, str] = {}
        self.ranks: dict[fx.Node, int] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.scalars: dict[float, str] = {}
        self.taken: dict[str, int] = {}

    def write(self, input_shape: tuple[int, int, int], softmax: bool) -> onnx.ModelProto:
        """Return the model; raises NoRuleError where a step has no rule."""
        result = ""
        for step in self.graph.nodes:
            if step.op == "placeholder":
                self.values[step], self.ranks[step] = "input", 4
            elif step.op == "output":
                result = self.values[self.step_of(step.args[0])]
            elif step.op == "call_module":
                self._module(step, self.modules[str(step.target)])
            else:
                self._function(step)
        if len(self.graph.find_nodes(op="placeholder")) != 1 or not self.nodes:
            raise NoRuleError
        self._rename(result, "logits")
        if softmax:
            node = helper.make_node("Softmax", ["logits"], ["probabilities"], "Softmax", axis=1)
            self.nodes.append(node)
        return self._model(input_shape, "probabilities" if softmax else "logits")

    def _model(self, input_shape: tuple[int, int, int], output: str) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *input_shape])
        graph = helper.make_graph(
            self.nodes,
            "edgebench",
            [image],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = new

    # Steps ----------------------------------------------------------------------------------

    def _module(self, step: fx.Node, module: nn.Module) -> None:
        source = self.step_of(step.args[0])
        if step.kwargs or len(step.args) != 1:
            raise NoRuleError
        self.ranks[step] = self.ranks[source]
        if isinstance(module, (nn.Dropout, nn.Dropout2d, nn.Identity)):
            self.values[step] = self.values[source]
            return
        rule = self.rules.modules.get(type(module))
        if rule is None:
            raise NoRuleError
        rule(self, step, module)

    def _function(self, step: fx.Node) -> None:
        rule = self.rules.functions.get(step.target)
        if rule is None:
            raise NoRuleError
        rule(self, step)

    def emit(
        self,
        step: fx.Node,
        op: str,
        inputs: Sequence[str],
        scope: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add one node, named after its module and operator; return the value it writes."""
        path = self._scope(step) if scope is None else scope
        plain = f"{path}/{op}" if path else op
        self.taken[plain] = self.taken.get(plain, 0) + 1
        name = plain if self.taken[plain] == 1 else f"{plain}_{self.taken[plain]}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        self.values[step] = name
        return name

    def weight(self, name: str, shape: Sequence[int]) -> str:
        """Add an initializer of ``shape`` without data."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=list(shape))
        self.weights.append(tensor)
        return name

    def scalar(self, name: str, value: float) -> str:
        """Return the initializer that holds ``value``: one for all that use it."""
        if value not in self.scalars:
            self.scalars[value] = name
            self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
        return self.scalars[value]

    def next_name(self, step: fx.Node, op: str) -> str:
        """Return the name that the next node of ``op`` in the module of ``step`` will get."""
        path = self._scope(step)
        plain = f"{path}/{op}" if path else op
        count = self.taken.get(plain, 0) + 1
        return plain if count == 1 else f"{plain}_{count}"

    def _scope(self, step: fx.Node) -> str:
        if step.op == "call_module":
            return str(step.target)
        stack = step.meta.get("nn_module_stack", {})
        paths = [path if isinstance(path, str) else path[0] for path in stack.values()]
        return str(paths[-1]) if paths else ""

    def step_of(self, argument: object) -> fx.Node:
        """Return the traced step that ``argument`` is; raises NoRuleError where it is none."""
        if not isinstance(argument, fx.Node) or argument not in self.values:
            raise NoRuleError
        return argument

    def source(self, step: fx.Node) -> str:
        """Return the value of the first argument of ``step``."""
        return self.values[self.step_of(step.args[0])]

    def folded_norm(self, step: fx.Node) -> fx.Node | None:
        """Return the batch norm that alone reads ``step``, which the exporter folds into it."""
        readers = list(step.users)
        if len(readers) != 1 or readers[0].op != "call_module":
            return None
        module = self.modules[str(readers[0].target)]
        return readers[0] if isinstance(module, nn.BatchNorm2d) else None
