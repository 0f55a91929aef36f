"""The rules of the sketch: how the exporter writes each layer down."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from edgebench.export.untrained.writer import NoRuleError, Rules, Writer


def _pair(value: Any) -> list[int]:
    return [int(one) for one in value] if isinstance(value, (tuple, list)) else [int(value)] * 2


def _conv(writer: Writer, step: fx.Node, module: nn.Module) -> None:
    assert isinstance(module, nn.Conv2d)  # noqa: S101 - the table's key
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise NoRuleError
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


def _batch_norm(writer: Writer, step: fx.Node, module: nn.Module) -> None:
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
        raise NoRuleError
    name = writer.next_name(step, "BatchNormalization")
    parts = ("scale", "bias", "mean", "var")
    constants = [writer.weight(f"{name}.{part}", [module.num_features]) for part in parts]
    writer.emit(step, "BatchNormalization", [writer.source(step), *constants])


def _linear(writer: Writer, step: fx.Node, module: nn.Module) -> None:
    assert isinstance(module, nn.Linear)  # noqa: S101 - the table's key
    if writer.ranks[step] != 2 or module.bias is None:
        raise NoRuleError
    name = writer.next_name(step, "Gemm")
    weight = writer.weight(f"{name}.weight", module.weight.shape)
    bias = writer.weight(f"{name}.bias", module.bias.shape)
    writer.emit(step, "Gemm", [writer.source(step), weight, bias], transB=1)


def _pool(op: str) -> Callable[[Writer, fx.Node, nn.Module], None]:
    def rule(writer: Writer, step: fx.Node, module: nn.Module) -> None:
        if getattr(module, "return_indices", False) or getattr(module, "divisor_override", None):
            raise NoRuleError
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


def _global_pool(writer: Writer, step: fx.Node, module: nn.Module) -> None:
    if module.output_size not in (1, (1, 1)):
        raise NoRuleError
    writer.emit(step, "GlobalAveragePool", [writer.source(step)])


def _flatten_module(writer: Writer, step: fx.Node, module: nn.Module) -> None:
    if module.start_dim != 1 or module.end_dim != -1:
        raise NoRuleError
    _flatten(writer, step)


def _flatten(writer: Writer, step: fx.Node) -> None:
    rest = (*step.args[1:], *step.kwargs.values())
    if step.op != "call_module" and rest not in ((1,), (1, -1)):
        raise NoRuleError
    writer.emit(step, "Flatten", [writer.source(step)], axis=1)
    writer.ranks[step] = 2


def _elementwise(op: str, slope: str = "") -> Callable[[Writer, fx.Node, nn.Module], None]:
    """Return the rule of an activation; ``slope`` is the module's option that becomes ``alpha``."""

    def rule(writer: Writer, step: fx.Node, module: nn.Module) -> None:
        attributes: dict[str, Any] = {"alpha": float(getattr(module, slope))} if slope else {}
        writer.emit(step, op, [writer.source(step)], **attributes)

    return rule


def _relu6(writer: Writer, step: fx.Node, module: nn.Module) -> None:  # noqa: ARG001 - no options
    name = writer.next_name(step, "Clip")
    limits = [writer.scalar(f"{name}.constant{i}", value) for i, value in ((1, 0.0), (2, 6.0))]
    writer.emit(step, "Clip", [writer.source(step), *limits])


def _silu(writer: Writer, step: fx.Node, module: nn.Module) -> None:  # noqa: ARG001 - no options
    source = writer.source(step)
    gate = writer.emit(step, "Sigmoid", [source])
    writer.emit(step, "Mul", [source, gate])


def _gelu(writer: Writer, step: fx.Node, module: nn.Module) -> None:
    """Write x * 0.5 * (1 + erf(x / sqrt 2)), as opset 18 has no GELU."""
    if module.approximate != "none":
        raise NoRuleError
    source = writer.source(step)
    root = writer.scalar(f"{writer.next_name(step, 'Div')}.constant1", math.sqrt(2.0))
    value = writer.emit(step, "Div", [source, root])
    value = writer.emit(step, "Erf", [value])
    one = writer.scalar(f"{writer.next_name(step, 'Add')}.constant1", 1.0)
    value = writer.emit(step, "Add", [value, one])
    half = writer.scalar(f"{writer.next_name(step, 'Mul')}.constant0", 0.5)
    value = writer.emit(step, "Mul", [half, value])
    writer.emit(step, "Mul", [source, value])


def _add(writer: Writer, step: fx.Node) -> None:
    left, right = (writer.step_of(argument) for argument in step.args)
    writer.ranks[step] = max(writer.ranks[left], writer.ranks[right])
    writer.emit(step, "Add", [writer.values[left], writer.values[right]])


def _concat(writer: Writer, step: fx.Node) -> None:
    parts = step.args[0]
    axis = step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0)
    if not isinstance(parts, (list, tuple)) or not isinstance(axis, int):
        raise NoRuleError
    sources = [writer.step_of(part) for part in parts]
    writer.ranks[step] = writer.ranks[sources[0]]
    writer.emit(step, "Concat", [writer.values[one] for one in sources], axis=axis)


def _relu_function(writer: Writer, step: fx.Node) -> None:
    writer.ranks[step] = writer.ranks[writer.step_of(step.args[0])]
    writer.emit(step, "Relu", [writer.source(step)])


RULES = Rules(
    modules={
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
    },
    functions={
        operator.add: _add,
        torch.add: _add,
        torch.cat: _concat,
        torch.relu: _relu_function,
        functional.relu: _relu_function,
        torch.flatten: _flatten,
        "flatten": _flatten,
    },
)
