"""The vendor's complexity (MACC): its charge for each operator, beyond multiply-accumulates."""

from __future__ import annotations

from math import prod

from edgebench.footprint.conventions import Complexity
from edgebench.footprint.kernels import CONVOLUTIONS, REQUANTIZED, Kernel
from edgebench.profiling import Operator, Profile

# Operations an output element, of what is computed element by element.
MEASURED: dict[str, int] = {
    "Relu": 1, "LeakyRelu": 1, "Clip": 2, "PRelu": 2, "Sigmoid": 10, "Tanh": 10, "Elu": 11,
    "Softmax": 15, "Sqrt": 12, "Reciprocal": 5, "Div": 5, "Pow": 10, "Neg": 1,
    "Add": 1, "Sub": 1, "Mul": 1, "Min": 1, "Max": 1,
    "BatchNormalization": 2, "LayerNormalization": 27, "InstanceNormalization": 12,
    "QuantizeLinear": 2, "DequantizeLinear": 2, "Cast": 2,
}  # fmt: skip
ASSUMED: dict[str, int] = {
    "Abs": 1, "Sign": 1, "Floor": 1, "Ceil": 1, "Round": 1, "Not": 1, "ThresholdedRelu": 1,
    "HardSigmoid": 4, "HardSwish": 5, "Swish": 11, "Gelu": 13, "Erf": 10, "Exp": 10, "Log": 10,
    "Sin": 10, "Cos": 10, "Celu": 11, "Selu": 12, "Softplus": 20, "Softsign": 7, "Mish": 31,
    "Sum": 1, "Mean": 2, "Mod": 5, "Equal": 1, "Greater": 1, "Less": 1, "GreaterOrEqual": 1,
    "LessOrEqual": 1, "And": 1, "Or": 1, "Where": 1, "LogSoftmax": 16,
    "GroupNormalization": 12, "RMSNormalization": 14, "LRN": 20, "LpNormalization": 14,
}  # fmt: skip
_ASSUMED_INPUT_FACTOR = {
    "ReduceMax": 1, "ReduceMin": 1, "ReduceSum": 1, "ReduceSumSquare": 2, "ReduceL2": 2,
    "ReduceL1": 2, "ArgMax": 1, "ArgMin": 1,
}  # fmt: skip
_ASSUMED_OTHERS = frozenset({"ConvTranspose", "DepthToSpace", "SpaceToDepth"})
_INPUT_FACTORS = {"ReduceMean": 2} | _ASSUMED_INPUT_FACTOR
_TABLES = frozenset({"Sigmoid"})
"""Activations that an integer kernel looks up in a table."""
_FREE = frozenset({"alias", "pad", "concat", "slice", "gather", "copy"})


def macc(profile: Profile, operator: Operator) -> int | None:
    """Return the vendor's complexity of one operator; None where there is no rule for it."""
    kind = operator.kind
    if kind in CONVOLUTIONS | {"dense", "deconv", "matmul"}:
        bias = operator.constant("bias")
        return operator.macs + (bias.elements if bias else 0)
    if kind in _FREE or (kind == "resize" and _takes_nearest(operator)):
        return 0
    if operator.op == "Identity":  # a move that a plan of ours adds computes nothing
        return 0
    reduces = kind in ("reduce", "argmax")
    if kind == "resize":
        factor = _interpolation_factor(profile, operator)
    else:
        factor = _INPUT_FACTORS.get(operator.op) if reduces else _output_factor(operator)
    elements = profile.tensors[(operator.inputs if reduces else operator.outputs)[0]].elements
    return None if factor is None else int(factor * elements)


def _output_factor(operator: Operator) -> float | None:
    """Return the operations an output element costs."""
    if operator.kind == "pool" and operator.op != "LpPool":
        return float(prod(operator.attributes["kernel"]))
    if operator.kind == "transpose":
        return 0.5
    return MEASURED.get(operator.op) or ASSUMED.get(operator.op)


def _interpolation_factor(profile: Profile, operator: Operator) -> float | None:
    """Return 2 weighted inputs an output element and resized axis; None where it is not linear."""
    if not _interpolates(operator):
        return None
    before, after = (
        profile.tensors[name].shape for name in (operator.inputs[0], operator.outputs[0])
    )
    return float(2 ** sum(old != new for old, new in zip(before, after, strict=False)))


def _takes_nearest(operator: Operator) -> bool:
    return bool(operator.attributes.get("mode", "nearest") == "nearest")


def _interpolates(operator: Operator) -> bool:
    """Tell whether ``operator`` resizes linearly; opset 7 called that bilinear."""
    return operator.kind == "resize" and operator.attributes.get("mode") in ("linear", "bilinear")


def assumed(operator: Operator) -> bool:
    """Tell whether the complexity of ``operator`` rests on an assumption, not on a report."""
    listed = operator.op in {*ASSUMED, *_ASSUMED_INPUT_FACTOR, *_ASSUMED_OTHERS}
    return listed or _interpolates(operator)


def charged(profile: Profile, kernel: Kernel, operator: Operator) -> int | None:
    """Return the complexity of ``operator`` inside ``kernel``; None where there is no rule.

    What is fused into an integer kernel as the limits of its requantization costs nothing, and a
    sigmoid of integers is one look-up an element.
    """
    if profile.is_quantized(kernel.main):
        if operator is not kernel.main and operator.op in REQUANTIZED:
            return 0
        if operator.op in _TABLES:
            return profile.tensors[operator.outputs[0]].elements
    return macc(profile, operator)


COMPLEXITY = Complexity(charged, assumed)
"""The vendor's MACC, the same in every version whose reports were read (7.2 to Core 4.0)."""
