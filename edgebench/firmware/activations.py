"""Activations of one element: in C for floats, as a table of 256 results for integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebench.firmware.clamps import bounds
from edgebench.firmware.layer import Layer, number
from edgebench.firmware.values import C_TYPES, Array, Unsupported, limits, quantized
from edgebench.profiling import Constant, Operator

_ERF = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True)
class Activation:
    """A function of one number: in C, with ``v`` the number and attributes in braces; in numpy."""

    code: str
    compute: Callable[[Mapping[str, Any], Array], Array]


def _sigmoid(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-values))
    return found


def _gelu(attributes: Mapping[str, Any], v: Array) -> Array:
    if attributes.get("approximate", "none") == "tanh":
        return np.asarray(0.5 * v * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))))
    return np.asarray(0.5 * v * (1 + _ERF(v / math.sqrt(2))))


GELU_TANH = "0.5f * v * (1.0f + tanh_f32(0.797884561f * (v + 0.044715f * v * v * v)))"

ACTIVATIONS: dict[str, Activation] = {
    "Relu": Activation("v < 0.0f ? 0.0f : v", lambda _, v: np.maximum(v, 0)),
    "LeakyRelu": Activation(
        "v < 0.0f ? v * {alpha} : v", lambda a, v: np.where(v < 0, v * a["alpha"], v)
    ),
    "ThresholdedRelu": Activation(
        "v > {alpha} ? v : 0.0f", lambda a, v: np.where(v > a["alpha"], v, 0)
    ),
    "Elu": Activation(
        "v < 0.0f ? {alpha} * (exp_f32(v) - 1.0f) : v",
        lambda a, v: np.where(v < 0, a["alpha"] * np.expm1(v), v),
    ),
    "Celu": Activation(
        "v < 0.0f ? {alpha} * (exp_f32(v / {alpha}) - 1.0f) : v",
        lambda a, v: np.where(v < 0, a["alpha"] * np.expm1(v / a["alpha"]), v),
    ),
    "Selu": Activation(
        "{gamma} * (v < 0.0f ? {alpha} * (exp_f32(v) - 1.0f) : v)",
        lambda a, v: a["gamma"] * np.where(v < 0, a["alpha"] * np.expm1(v), v),
    ),
    "Sigmoid": Activation("sigmoid_f32(v)", lambda _, v: _sigmoid(v)),
    "HardSigmoid": Activation(
        "within_f32({alpha} * v + {beta})",
        lambda a, v: np.clip(a["alpha"] * v + a["beta"], 0, 1),
    ),
    "HardSwish": Activation(
        "v * within_f32(v * 0.166666667f + 0.5f)", lambda _, v: v * np.clip(v / 6 + 0.5, 0, 1)
    ),
    "Swish": Activation("v * sigmoid_f32({alpha} * v)", lambda a, v: v * _sigmoid(a["alpha"] * v)),
    "Mish": Activation(
        "v * tanh_f32(softplus_f32(v))", lambda _, v: v * np.tanh(np.logaddexp(0, v))
    ),
    "Tanh": Activation("tanh_f32(v)", lambda _, v: np.tanh(v)),
    "Softplus": Activation("softplus_f32(v)", lambda _, v: np.logaddexp(0, v)),
    "Softsign": Activation("v / (1.0f + (v < 0.0f ? -v : v))", lambda _, v: v / (1 + np.abs(v))),
    "Gelu": Activation("0.5f * v * (1.0f + erf_f32(v * 0.707106781f))", _gelu),
    "Erf": Activation("erf_f32(v)", lambda _, v: _ERF(v)),
    "Exp": Activation("exp_f32(v)", lambda _, v: np.exp(v)),
    "Log": Activation("log_f32(v)", lambda _, v: np.log(v)),
    "Sqrt": Activation("sqrt_f32(v)", lambda _, v: np.sqrt(v)),
    "Reciprocal": Activation("1.0f / v", lambda _, v: 1 / v),
    "Neg": Activation("-v", lambda _, v: -v),
    "Abs": Activation("v < 0.0f ? -v : v", lambda _, v: np.abs(v)),
}
"""Each activation by the name of its ONNX operator; `Clip` has limits and is apart."""


def expression(layer: Layer, operator: Operator) -> str:
    """Return the C expression of an activation of ``v``; adds the functions that it calls."""
    if operator.op == "Clip":
        low, high = bounds(layer, operator)
        return f"v < {number(low)} ? {number(low)} : v > {number(high)} ? {number(high)} : v"
    if operator.op == "PRelu":
        return f"v < 0.0f ? v * {number(_slope(layer, operator))} : v"
    found = ACTIVATIONS.get(operator.op)
    if found is None:
        raise Unsupported(f"no generator writes the activation {operator.op}")
    if operator.op == "Gelu" and operator.attributes.get("approximate", "none") == "tanh":
        return GELU_TANH
    numbers = {
        name: number(value)
        for name, value in operator.attributes.items()
        if isinstance(value, int | float)
    }
    return found.code.format(**numbers)


def _slope(layer: Layer, operator: Operator) -> float:
    slope = operator.operands[1]
    if not isinstance(slope, Constant) or slope.elements != 1:
        raise Unsupported("its slope is not one constant")
    return float(layer.real(slope).reshape(-1)[0])


def computed(layer: Layer, operator: Operator, values: Array) -> Array:
    """Return what an activation makes of ``values``, in double precision."""
    if operator.op == "Clip":
        return np.clip(values, *bounds(layer, operator))
    if operator.op == "PRelu":
        slope = _slope(layer, operator)
        return np.where(values < 0, values * slope, values)
    if operator.op not in ACTIVATIONS:
        raise Unsupported(f"no generator writes the activation {operator.op}")
    with np.errstate(all="ignore"):
        return ACTIVATIONS[operator.op].compute(operator.attributes, values)


def table(layer: Layer, operators: tuple[Operator, ...]) -> str:
    """Add the table of fused activations on integers, and return its name.

    The entry of ``held - least`` is what the activations make of ``held``, each result rounded as
    it is held in between.
    """
    source = layer.tensor(operators[0].inputs[0])
    low, high = limits(source.dtype)
    held = np.arange(low, high + 1)
    for operator in operators:
        read, written = (layer.tensor(one[0]) for one in (operator.inputs, operator.outputs))
        scale, zero = layer.scale(read).one
        values = (held.astype(np.float64) - zero) * scale
        found = computed(layer, operator, values.astype(np.float32).astype(np.float64))
        held = quantized(np.nan_to_num(found), layer.scale(written), written.dtype)
    kind = C_TYPES[layer.tensor(operators[-1].outputs[0]).dtype]
    return layer.array("table", held, kind)
