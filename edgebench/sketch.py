"""The gate: the ONNX graph that an untrained model will export to, in milliseconds.

An export takes a second or more, a footprint needs the graph alone. So the model is traced
symbolically and each layer is written down as the exporter would write it: batch norms folded,
names after the modules, weights by their dimensions without data. A test over every family proves
that the profile of the sketch is the profile of the export. What has no rule here is exported.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import fx, nn
from torch.nn import functional

from edgebench.export import to_onnx

OPSET = 18


class _NoRuleError(Exception):
    """The model does something that only the real export can write down."""


def sketch(
    model: nn.Module, input_shape: tuple[int, int, int], *, softmax: bool = False
) -> onnx.ModelProto:
    """Return the graph that ``model`` exports to, without weight data; ``model`` is not changed.

    Args:
        model: Takes ``[N, *input_shape]``, returns logits; it is read as in evaluation.
        input_shape: Channels, height and width.
        softmax: Append a softmax to the logits.
    """
    try:
        graph = fx.Tracer().trace(model)
        return _Writer(model, graph).write(input_shape, softmax)
    except (_NoRuleError, fx.proxy.TraceError, TypeError):
        return to_onnx(model, input_shape, softmax=softmax)


class _Writer:
    """Writes a traced model down as ONNX nodes and initializers."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.modules = dict(model.named_modules())
        self.graph = graph
        self.values: dict[fx.Node, str] = {}
        self.ranks: dict[fx.Node, int] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.scalars: dict[float, str] = {}
        self.taken: dict[str, int] = {}

    def write(self, input_shape: tuple[int, int, int], softmax: bool) -> onnx.ModelProto:
        """Return the model; raises _NoRuleError where a step has no rule."""
        result = ""
        for step in self.graph.nodes:
            if step.op == "placeholder":
                self.values[step], self.ranks[step] = "input", 4
            elif step.op == "output":
                result = self.values[self._one(step.args[0])]
            elif step.op == "call_module":
                self._module(step, self.modules[str(step.target)])
            else:
                self._function(step)
        if len(self.graph.find_nodes(op="placeholder")) != 1 or not self.nodes:
            raise _NoRuleError
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
        source = self._one(step.args[0])
        if step.kwargs or len(step.args) != 1:
            raise _NoRuleError
        self.ranks[step] = self.ranks[source]
        if isinstance(module, (nn.Dropout, nn.Dropout2d, nn.Identity)):
            self.values[step] = self.values[source]
            return
        rule = _MODULES.get(type(module))
        if rule is None:
            raise _NoRuleError
        rule(self, step, module)

    def _function(self, step: fx.Node) -> None:
        rule = _FUNCTIONS.get(step.target)
        if rule is None:
            raise _NoRuleError
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

    def _one(self, argument: object) -> fx.Node:
        if not isinstance(argument, fx.Node) or argument not in self.values:
            raise _NoRuleError
        return argument

    def source(self, step: fx.Node) -> str:
        """Return the value of the first argument of ``step``."""
        return self.values[self._one(step.args[0])]

    def folded_norm(self, step: fx.Node) -> fx.Node | None:
        """Return the batch norm that alone reads ``step``, which the exporter folds into it."""
        readers = list(step.users)
        if len(readers) != 1 or readers[0].op != "call_module":
            return None
        module = self.modules[str(readers[0].target)]
        return readers[0] if isinstance(module, nn.BatchNorm2d) else None


# Rules: one a layer -----------------------------------------------------------------------------


def _pair(value: Any) -> list[int]:
    return [int(one) for one in value] if isinstance(value, (tuple, list)) else [int(value)] * 2


def _conv(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
    assert isinstance(module, nn.Conv2d)  # noqa: S101 - the table's key
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise _NoRuleError
    norm = writer.folded_norm(step)
    scope = str((norm or step).target)
    name = f"{scope}/Conv"
    inputs = [writer.source(step), writer.weight(f"{name}.weight", module.weight.shape)]
    if module.bias is not None or norm is not None:
        inputs.append(writer.weight(f"{name}.bias", [module.out_channels]))
    writer.emit(
        step,
        "Conv",
        inputs,
        scope,
        kernel_shape=_pair(module.kernel_size),
        strides=_pair(module.stride),
        pads=_pair(module.padding) * 2,
        dilations=_pair(module.dilation),
        group=module.groups,
    )


def _batch_norm(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
    assert isinstance(module, nn.BatchNorm2d)  # noqa: S101 - the table's key
    before = step.args[0]
    folded = (
        isinstance(before, fx.Node)
        and before.op == "call_module"
        and isinstance(writer.modules[str(before.target)], nn.Conv2d)
        and len(before.users) == 1
    )
    if folded:
        writer.values[step] = writer.source(step)
        return
    if not module.affine or not module.track_running_stats:
        raise _NoRuleError
    name = writer.next_name(step, "BatchNormalization")
    parts = ("scale", "bias", "mean", "var")
    constants = [writer.weight(f"{name}.{part}", [module.num_features]) for part in parts]
    writer.emit(step, "BatchNormalization", [writer.source(step), *constants])


def _linear(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
    assert isinstance(module, nn.Linear)  # noqa: S101 - the table's key
    if writer.ranks[step] != 2 or module.bias is None:
        raise _NoRuleError
    name = writer.next_name(step, "Gemm")
    weight = writer.weight(f"{name}.weight", module.weight.shape)
    bias = writer.weight(f"{name}.bias", module.bias.shape)
    writer.emit(step, "Gemm", [writer.source(step), weight, bias], transB=1)


def _pool(op: str) -> Callable[[_Writer, fx.Node, nn.Module], None]:
    def rule(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
        if getattr(module, "return_indices", False) or getattr(module, "divisor_override", None):
            raise _NoRuleError
        attributes: dict[str, Any] = {"ceil_mode": int(bool(module.ceil_mode))}
        if op == "MaxPool":
            attributes["dilations"] = _pair(module.dilation)
        else:
            attributes["count_include_pad"] = int(bool(module.count_include_pad))
        writer.emit(
            step,
            op,
            [writer.source(step)],
            kernel_shape=_pair(module.kernel_size),
            strides=_pair(module.stride),
            pads=_pair(module.padding) * 2,
            **attributes,
        )

    return rule


def _global_pool(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
    if module.output_size not in (1, (1, 1)):
        raise _NoRuleError
    writer.emit(step, "GlobalAveragePool", [writer.source(step)])


def _flatten_module(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
    if module.start_dim != 1 or module.end_dim != -1:
        raise _NoRuleError
    _flatten(writer, step)


def _flatten(writer: _Writer, step: fx.Node) -> None:
    rest = (*step.args[1:], *step.kwargs.values())
    if step.op != "call_module" and rest not in ((1,), (1, -1)):
        raise _NoRuleError
    writer.emit(step, "Flatten", [writer.source(step)], axis=1)
    writer.ranks[step] = 2


def _elementwise(op: str, slope: str = "") -> Callable[[_Writer, fx.Node, nn.Module], None]:
    """Return the rule of an activation; ``slope`` is the module's option that becomes ``alpha``."""

    def rule(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
        attributes: dict[str, Any] = {"alpha": float(getattr(module, slope))} if slope else {}
        writer.emit(step, op, [writer.source(step)], **attributes)

    return rule


def _relu6(writer: _Writer, step: fx.Node, module: nn.Module) -> None:  # noqa: ARG001 - no options
    name = writer.next_name(step, "Clip")
    limits = [writer.scalar(f"{name}.constant{i}", value) for i, value in ((1, 0.0), (2, 6.0))]
    writer.emit(step, "Clip", [writer.source(step), *limits])


def _silu(writer: _Writer, step: fx.Node, module: nn.Module) -> None:  # noqa: ARG001 - no options
    source = writer.source(step)
    gate = writer.emit(step, "Sigmoid", [source])
    writer.emit(step, "Mul", [source, gate])


def _gelu(writer: _Writer, step: fx.Node, module: nn.Module) -> None:
    """Write x * 0.5 * (1 + erf(x / sqrt 2)), as opset 18 has no GELU."""
    if module.approximate != "none":
        raise _NoRuleError
    source = writer.source(step)
    root = writer.scalar(f"{writer.next_name(step, 'Div')}.constant1", math.sqrt(2.0))
    value = writer.emit(step, "Div", [source, root])
    value = writer.emit(step, "Erf", [value])
    one = writer.scalar(f"{writer.next_name(step, 'Add')}.constant1", 1.0)
    value = writer.emit(step, "Add", [value, one])
    half = writer.scalar(f"{writer.next_name(step, 'Mul')}.constant0", 0.5)
    value = writer.emit(step, "Mul", [half, value])
    writer.emit(step, "Mul", [source, value])


def _add(writer: _Writer, step: fx.Node) -> None:
    left, right = (writer._one(argument) for argument in step.args)  # noqa: SLF001 - one file
    writer.ranks[step] = max(writer.ranks[left], writer.ranks[right])
    writer.emit(step, "Add", [writer.values[left], writer.values[right]])


def _concat(writer: _Writer, step: fx.Node) -> None:
    parts = step.args[0]
    axis = step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0)
    if not isinstance(parts, (list, tuple)) or not isinstance(axis, int):
        raise _NoRuleError
    sources = [writer._one(part) for part in parts]  # noqa: SLF001 - one file
    writer.ranks[step] = writer.ranks[sources[0]]
    writer.emit(step, "Concat", [writer.values[one] for one in sources], axis=axis)


def _relu_function(writer: _Writer, step: fx.Node) -> None:
    writer.ranks[step] = writer.ranks[writer._one(step.args[0])]  # noqa: SLF001 - one file
    writer.emit(step, "Relu", [writer.source(step)])


_MODULES: dict[type[nn.Module], Callable[[_Writer, fx.Node, nn.Module], None]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: _linear,
    nn.MaxPool2d: _pool("MaxPool"),
    nn.AvgPool2d: _pool("AveragePool"),
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.Flatten: _flatten_module,
    nn.ReLU: _elementwise("Relu"),
    nn.ReLU6: _relu6,
    nn.LeakyReLU: _elementwise("LeakyRelu", "negative_slope"),
    nn.ELU: _elementwise("Elu", "alpha"),
    nn.Sigmoid: _elementwise("Sigmoid"),
    nn.Tanh: _elementwise("Tanh"),
    nn.Hardswish: _elementwise("HardSwish"),
    nn.SiLU: _silu,
    nn.GELU: _gelu,
}
_FUNCTIONS: dict[object, Callable[[_Writer, fx.Node], None]] = {
    operator.add: _add,
    torch.add: _add,
    torch.cat: _concat,
    torch.relu: _relu_function,
    functional.relu: _relu_function,
    torch.flatten: _flatten,
    "flatten": _flatten,
}
