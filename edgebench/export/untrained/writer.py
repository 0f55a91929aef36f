"""Writes a trace down as ONNX: node names after the modules, weights by their dimensions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

from edgebench.export.untrained.trace import BATCH, Call, NoRuleError, Trace, Value

OPSET = 18
ROLES = {1: "weight", 2: "bias"}
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
TRANSPOSES = frozenset({"transpose", "permute", "t"})
ATTENTION = "scaled_dot_product_attention"  # which exchanges the last two dimensions of its keys

Rule = Callable[["Writer", Call], None]
Operand = Value | float | Sequence[float] | None
"""An input of a node: a value, a number or several (ints are indices, axes, a shape), or none."""


class Rules(dict[str, Rule]):
    """The rules of some operators, by their ATen names."""

    def add(self, function: Rule, *names: str) -> None:
        """Let ``function`` write the operators called ``names``."""
        self.update(dict.fromkeys(names, function))

    def rule(self, *names: str) -> Callable[[Rule], Rule]:
        """Add the decorated function as the rule of the operators called ``names``."""

        def register(function: Rule) -> Rule:
            self.add(function, *names)
            return function

        return register


class Writer:
    """Writes the calls of a trace down as ONNX nodes and initializers, one rule an operator."""

    def __init__(self, trace: Trace, rules: Mapping[str, Rule]) -> None:
        self.trace = trace
        self.rules = rules
        self.names: dict[Value, str] = {trace.input: "input"}
        self.origins: dict[Value, Value] = {}
        self.readers = _readers(trace)
        self.pads: dict[Value, list[int]] = {}
        self.turned: dict[Value, tuple[Value, list[int]]] = {}
        self.done: set[Call] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.numbers: dict[tuple[object, ...], str] = {}
        self.written: dict[tuple[object, ...], Sequence[Value]] = {}
        self.taken: Counter[str] = Counter()

    def write(self, input_shape: tuple[int, int, int], *, softmax: bool) -> onnx.ModelProto:
        """Return the model; raises NoRuleError where a call has no rule."""
        for call in self.trace.calls:
            used = any(self.readers[value] for value in call.outputs)
            if call in self.done or not used or all(value.constant for value in call.outputs):
                continue
            rule = self.rules.get(call.op)
            if rule is None:
                raise NoRuleError(call.op)
            rule(self, call)
        if not self.nodes:
            raise NoRuleError
        self._rename(self.names[self._origin(self.trace.output)], "logits")
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
            self.initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = new

    # What rules use ---------------------------------------------------------------------------

    def emit(
        self,
        call: Call,
        op: str,
        inputs: Sequence[Operand],
        results: Sequence[Value] | None = None,
        *,
        scope: str | None = None,
        **attributes: Any,
    ) -> Value:
        """Add one node, named after its module and operator; return the first value it writes.

        ``results`` are the values that the node writes: a new one where it is left out, for the
        steps in the middle of a rule. What is computed already is not computed again.
        """
        made = [Value(())] if results is None else list(results)
        key = (op, *map(self._identity, inputs), *map(repr, sorted(attributes.items())))
        if key in self.written:
            for value, before in zip(made, self.written[key], strict=True):
                self.same(value, before)
            return made[0]
        self.written[key] = made
        name = self._name(call.scope if scope is None else scope, op)
        for place, value in enumerate(made):
            self.names[value] = f"{name}:{place}" if place else name
        sources = [self._input(operand, name, op, place) for place, operand in enumerate(inputs)]
        outputs = [self.names[value] for value in made]
        self.nodes.append(helper.make_node(op, sources, outputs, name, **attributes))
        return made[0]

    def constant(self, call: Call, op: str, shape: Sequence[int]) -> None:
        """Let the result of ``call`` be a constant, named as the node ``op`` that would make it."""
        name = self._name(call.scope, op)
        self.names[call.output] = name
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        self.initializers.append(tensor)

    def _name(self, path: str, op: str) -> str:
        plain = f"{path}/{op}" if path else op
        self.taken[plain] += 1
        return plain if self.taken[plain] == 1 else f"{plain}_{self.taken[plain]}"

    def same(self, result: Value, source: Value) -> None:
        """Let ``result`` be ``source`` under another shape or name: nothing is computed."""
        self.origins[result] = self._origin(source)

    def transpose(self, call: Call, source: Value, order: Sequence[int], result: Value) -> None:
        """Add a Transpose, or leave it to the one that alone reads ``result``."""
        origin, before = self.turned.get(source, (source, list(range(len(order)))))
        whole = [before[axis] for axis in order]
        reader = self.only_reader(result)
        if reader is not None and (
            reader.op in TRANSPOSES or (reader.op == ATTENTION and reader["key"] is result)
        ):
            self.turned[result] = origin, whole
        elif whole == sorted(whole):
            self.same(result, origin)
        else:
            self.emit(call, "Transpose", [origin], [result], perm=whole)

    def only_reader(self, value: Value) -> Call | None:
        """Return the call that alone reads ``value``, or None."""
        readers = self.readers[value]
        return readers[0] if len(readers) == 1 and isinstance(readers[0], Call) else None

    def _origin(self, value: Value) -> Value:
        return self.origins.get(value, value)

    def _identity(self, operand: Operand) -> object:
        """Return what is equal for two inputs exactly where they are the same."""
        return self._origin(operand) if isinstance(operand, Value) else repr(operand)

    def _input(self, operand: Operand, node: str, op: str, place: int) -> str:
        """Return the name of an input; a constant is named after the node that reads it first."""
        if operand is None:
            return ""
        role = ROLES.get(place) if op in WEIGHTED else None
        name = f"{node}.{role or f'constant{place}'}"
        if not isinstance(operand, Value):
            return self._number(operand, name)
        value = self._origin(operand)
        if value not in self.names:
            if not value.constant:
                raise NoRuleError
            self.names[value] = name
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=value.shape)
            self.initializers.append(tensor)
        return self.names[value]

    def _number(self, number: float | Sequence[float], name: str) -> str:
        """Return the initializer that holds ``number``: one for all that use it."""
        values = list(number) if isinstance(number, Sequence) else [number]
        kind = TensorProto.FLOAT if isinstance(values[0], float) else TensorProto.INT64
        dims = [len(values)] if isinstance(number, Sequence) else []
        key = (kind, *dims, *values)
        if key not in self.numbers:
            self.numbers[key] = name
            self.initializers.append(helper.make_tensor(name, kind, dims, values))
        return self.numbers[key]


def _readers(trace: Trace) -> dict[Value, list[Call | None]]:
    """Return who reads each value: the calls, and None for the end of the graph."""
    found: dict[Value, list[Call | None]] = defaultdict(list)
    found[trace.output].append(None)
    for call in reversed(trace.calls):
        if any(found[value] for value in call.outputs):
            for source in call.sources():
                found[source].append(call)
    return found


def target_shape(value: Value) -> list[int]:
    """Return the shape that a Reshape asks for, -1 where the batch is in; raises NoRuleError."""
    shape = [-1 if size % BATCH == 0 else size for size in value.shape]
    if shape.count(-1) > 1 or 0 in value.shape:
        raise NoRuleError
    return shape
