"""Operators outside the ONNX standard, rewritten as the standard ones they compute.

ONNX Runtime writes quantized models with ``QLinear*`` operators that carry scales and zero points
between their operands, and fuses activations into convolutions. Here each becomes the standard
operator on integer tensors, so that one set of rules serves every dialect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.profiling.graph import Node, Scale


@dataclass(frozen=True)
class _Integer:
    """How an integer operator reads: its standard name, its operands' and their scales' places.

    ``scales`` has (operand, place of its scale or None, place of its zero point); ``output`` is
    the place of the result's scale, its zero point comes next; None where it accumulates in int32.
    """

    op: str
    operands: tuple[int, ...]
    scales: tuple[tuple[int, int | None, int], ...]
    output: int | None


def _unary(op: str) -> _Integer:
    return _Integer(op, (0,), ((0, 1, 2),), 3)


_BINARY = ((0, 1, 2), (1, 4, 5))
_INTEGER: dict[str, _Integer] = {
    "QLinearConv": _Integer("Conv", (0, 3, 8), _BINARY, 6),
    "QLinearConvTranspose": _Integer("ConvTranspose", (0, 3, 8), _BINARY, 6),
    "QLinearMatMul": _Integer("MatMul", (0, 3), _BINARY, 6),
    "QGemm": _Integer("Gemm", (0, 3, 6), _BINARY, 7),
    "QLinearAdd": _Integer("Add", (0, 3), _BINARY, 6),
    "QLinearMul": _Integer("Mul", (0, 3), _BINARY, 6),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearReduceMean": _unary("ReduceMean"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearSoftmax": _unary("Softmax"),
    "ConvInteger": _Integer("Conv", (0, 1), ((0, None, 2), (1, None, 3)), None),
    "MatMulInteger": _Integer("MatMul", (0, 1), ((0, None, 2), (1, None, 3)), None),
}
_SAME = {
    "FusedConv": "Conv",
    "FusedGemm": "Gemm",
    "FusedMatMul": "MatMul",
    "Gelu": "Gelu",
    "FastGelu": "Gelu",
    "QuickGelu": "Swish",
    "DequantizeLinear": "DequantizeLinear",
    "QuantizeLinear": "QuantizeLinear",
    "Pad": "Pad",
}
_MORE: dict[str, dict[str, Any]] = {
    "FastGelu": {"approximate": b"tanh"},
    "QuickGelu": {"alpha": 1.702},
}
"""Attributes by which the standard operator computes what the contrib one does."""

_PARAMETERS = {
    "LeakyRelu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}
"""What the parameters of a fused activation are called."""

STANDARD_DOMAINS = ("", "ai.onnx")
_KEEP_LAYOUT = frozenset({"channels_last", "nhwc"})


def standard(node: Node, domain: str) -> Node:
    """Return ``node`` as the standard operator it computes; ``known`` is False where it has none.

    ``rewritten`` tells that it was another one, and ``fused`` holds an activation it carried.
    """
    if node.op in _INTEGER:
        return _integer(node, _INTEGER[node.op])
    if node.op == "QLinearConcat":
        return _concat(node)
    if domain in STANDARD_DOMAINS:
        return node
    if node.op not in _SAME:
        node.known = False
        return node
    node.rewritten = node.op not in ("DequantizeLinear", "QuantizeLinear")
    node.fused = _activation(node)
    node.attributes |= {k: v for k, v in _MORE.get(node.op, {}).items() if k not in node.attributes}
    node.op = _SAME[node.op]
    return node


def _activation(node: Node) -> Node | None:
    """Take the activation out of the attributes of a fused operator."""
    name = node.attributes.pop("activation", b"")
    values = list(node.attributes.pop("activation_params", []))
    values += [
        node.attributes.pop(key)
        for key in ("activation_alpha", "activation_beta")
        if key in node.attributes
    ]
    if not name:
        return None
    op = name.decode()
    parameters = dict(zip(_PARAMETERS.get(op, ()), values, strict=False))
    return Node(op, f"{node.name}.{op}", [], [], parameters)


def _integer(node: Node, rule: _Integer) -> Node:
    """Keep the operands of an integer operator; the scales stay by reference."""

    def name_at(place: int | None) -> str | None:
        inside = place is not None and place < len(node.inputs)
        return (node.inputs[place] or None) if inside and place is not None else None

    node.scales = {
        position: Scale(name_at(scale), name_at(zero_point))
        for position, scale, zero_point in rule.scales
    }
    node.result_dtype = "int32"
    if rule.output is not None:
        scale, zero_point = name_at(rule.output), name_at(rule.output + 1)
        node.output_scale = Scale(scale, zero_point) if scale else None
        node.result_dtype = "uint8" if scale else "float32"  # the zero point's type, if it has one
    node.attributes = {k: v for k, v in node.attributes.items() if k not in _KEEP_LAYOUT}
    node.op, node.rewritten = rule.op, True
    node.inputs = [node.inputs[index] for index in rule.operands if index < len(node.inputs)]
    return node


def _concat(node: Node) -> Node:
    """Keep the operands of a ``QLinearConcat``: its scale and zero point, then triples."""
    names, scales, zeros = (node.inputs[first::3] for first in (2, 3, 4))
    pairs = zip(scales, zeros, strict=False)
    node.scales = {index: Scale(*pair) for index, pair in enumerate(pairs)}
    if len(node.inputs) > 1:
        node.output_scale = Scale(node.inputs[0], node.inputs[1])
    node.inputs = names
    node.op, node.rewritten, node.result_dtype = "Concat", True, "uint8"
    return node
