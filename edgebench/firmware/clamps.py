"""The limits of a result: those of its type, and of the clamps that are fused behind it."""

from __future__ import annotations

from math import inf

import numpy as np

from edgebench.firmware.layer import Layer
from edgebench.firmware.values import limits, quantized
from edgebench.profiling import Constant, Operator

CLAMPS = frozenset({"Relu", "Clip"})


def leading(layer: Layer) -> tuple[Operator, ...]:
    """Return the fused clamps that only limit the result of the main operator.

    Of integers, those before and behind which numbers are held alike.
    """
    found: list[Operator] = []
    for operator in layer.stage.fused:
        target = layer.tensor(operator.outputs[0])
        if operator.op not in CLAMPS or target.quantization != layer.result.quantization:
            break
        found.append(operator)
    return tuple(found)


def bounds(layer: Layer, operator: Operator) -> tuple[float, float]:
    """Return between which numbers a clamp leaves what it reads."""
    if operator.op == "Relu":
        return 0.0, inf
    found = [-inf, inf]
    for place, name in enumerate(("min", "max")):
        if name in operator.attributes:
            found[place] = float(operator.attributes[name])
        elif len(operator.operands) > place + 1:
            operand = operator.operands[place + 1]
            if isinstance(operand, Constant):
                found[place] = float(layer.real(operand).reshape(-1)[0])
    return found[0], found[1]


def float_limits(layer: Layer) -> tuple[float, float]:
    """Return the limits of a result in floats: infinite where nothing clamps it."""
    low, high = -inf, inf
    for operator in leading(layer):
        least, most = bounds(layer, operator)
        low, high = min(max(low, least), most), min(max(high, least), most)
    return low, high


def integer_limits(layer: Layer) -> tuple[int, int]:
    """Return the limits of a result as it is held."""
    low, high = limits(layer.result.dtype)
    least, most = float_limits(layer)
    scale = layer.scale(layer.result)
    ends = np.array([least, most], np.float32)
    held = [
        end if np.isinf(number) else int(quantized(np.array(number), scale, layer.result.dtype))
        for end, number in zip((low, high), ends.tolist(), strict=True)
    ]
    return max(low, held[0]), min(high, held[1])
