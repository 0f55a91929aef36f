"""Activations and arithmetic."""

from __future__ import annotations

import math
from typing import Any

from edgebench.export.untrained.trace import Call, NoRuleError, Value
from edgebench.export.untrained.writer import Operand, Rules, Writer

RULES = Rules()


def _activation(aten: str, op: str, **options: str) -> None:
    """Register an activation that ONNX has; ``options`` name its attributes' ATen arguments."""

    def write(writer: Writer, call: Call) -> None:
        attributes: dict[str, Any] = {name: float(call[source]) for name, source in options.items()}
        writer.emit(call, op, [call["self"]], call.outputs, **attributes)

    RULES.add(write, aten)


_activation("relu", "Relu")
_activation("sigmoid", "Sigmoid")
_activation("tanh", "Tanh")
_activation("hardswish", "HardSwish")
_activation("mish", "Mish")
_activation("selu", "Selu")
_activation("celu", "Celu", alpha="alpha")
_activation("elu", "Elu", alpha="alpha")
_activation("leaky_relu", "LeakyRelu", alpha="negative_slope")
_activation("abs", "Abs")
_activation("exp", "Exp")
_activation("log", "Log")
_activation("sqrt", "Sqrt")
_activation("neg", "Neg")
_activation("erf", "Erf")


@RULES.rule("relu6")
def _relu6(writer: Writer, call: Call) -> None:
    writer.emit(call, "Clip", [call["self"], 0.0, 6.0], call.outputs)


@RULES.rule("hardtanh")
def _hardtanh(writer: Writer, call: Call) -> None:
    limits = [float(call["min_val"]), float(call["max_val"])]
    writer.emit(call, "Clip", [call["self"], *limits], call.outputs)


@RULES.rule("clamp")
def _clamp(writer: Writer, call: Call) -> None:
    low, high = call["min"], call["max"]
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        raise NoRuleError
    writer.emit(call, "Clip", [call["self"], float(low), float(high)], call.outputs)


@RULES.rule("hardsigmoid")
def _hardsigmoid(writer: Writer, call: Call) -> None:
    writer.emit(call, "HardSigmoid", [call["self"]], call.outputs, alpha=1 / 6, beta=0.5)


@RULES.rule("prelu")
def _prelu(writer: Writer, call: Call) -> None:
    width = call["weight"].shape[0]
    slope = Value((1, width, *[1] * (len(call["self"].shape) - 2)), constant=True)
    writer.emit(call, "PRelu", [call["self"], slope], call.outputs)


@RULES.rule("silu")
def _silu(writer: Writer, call: Call) -> None:
    gate = writer.emit(call, "Sigmoid", [call["self"]])
    writer.emit(call, "Mul", [call["self"], gate], call.outputs)


@RULES.rule("gelu")
def _gelu(writer: Writer, call: Call) -> None:
    """Write x (1 + erf(x / sqrt 2)) / 2 or its tanh form, as opset 18 has no GELU."""
    source = call["self"]
    if call["approximate"] == "tanh":
        cube = writer.emit(call, "Pow", [source, 3.0])
        inner = writer.emit(call, "Mul", [0.044715, cube])
        inner = writer.emit(call, "Add", [source, inner])
        inner = writer.emit(call, "Mul", [math.sqrt(2 / math.pi), inner])
        value = writer.emit(call, "Tanh", [inner])
    else:
        value = writer.emit(call, "Div", [source, math.sqrt(2.0)])
        value = writer.emit(call, "Erf", [value])
    value = writer.emit(call, "Add", [value, 1.0])
    value = writer.emit(call, "Mul", [0.5, value])
    writer.emit(call, "Mul", [source, value], call.outputs)


def _binary(aten: str, op: str) -> None:
    def write(writer: Writer, call: Call) -> None:
        if call.arguments.get("alpha", 1) != 1 or call.arguments.get("rounding_mode"):
            raise NoRuleError
        operands: list[Operand] = [_operand(call["self"]), _operand(call["other"])]
        writer.emit(call, op, operands, call.outputs)

    RULES.add(write, aten)


def _operand(argument: Any) -> Operand:
    return argument if isinstance(argument, Value) else float(argument)


_binary("add", "Add")
_binary("sub", "Sub")
_binary("mul", "Mul")
_binary("div", "Div")


@RULES.rule("rsub")
def _reversed_sub(writer: Writer, call: Call) -> None:
    if call["alpha"] != 1:
        raise NoRuleError
    writer.emit(call, "Sub", [_operand(call["other"]), call["self"]], call.outputs)


@RULES.rule("pow")
def _pow(writer: Writer, call: Call) -> None:
    if not isinstance(call["self"], Value):
        raise NoRuleError
    writer.emit(call, "Pow", [call["self"], _operand(call["exponent"])], call.outputs)
