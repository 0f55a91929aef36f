"""Operators outside the ONNX standard, rewritten as the standard ones they compute.

ONNX Runtime writes quantised models with ``QLinear*`` operators that carry scales and zero points
between their operands, and fuses activations into convolutions. Here each becomes the standard
operator on integer tensors, so that one set of rules serves every dialect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebench.profiling.graph import Node

# Operator -> (standard operator, positions of its operands among the inputs).
_INTEGER: dict[str, tuple[str, tuple[int, ...]]] = {
    "QLinearConv": ("Conv", (0, 3, 8)),
    "QLinearConvTranspose": ("ConvTranspose", (0, 3, 8)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QGemm": ("Gemm", (0, 3, 6)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "ConvInteger": ("Conv", (0, 1)),
    "MatMulInteger": ("MatMul", (0, 1)),
}
_SAME = {
    "FusedConv": "Conv",
    "FusedGemm": "Gemm",
    "FusedMatMul": "MatMul",
    "Gelu": "Gelu",
    "FastGelu": "Gelu",
    "QuickGelu": "Gelu",
    "DequantizeLinear": "DequantizeLinear",
    "QuantizeLinear": "QuantizeLinear",
    "Pad": "Pad",
}
_STANDARD_DOMAINS = ("", "ai.onnx")
_KEEP_LAYOUT = frozenset({"channels_last", "nhwc"})


def standard(node: Node, domain: str) -> Node:
    """Return ``node`` as the standard operator it computes; ``known`` is False where it has none.

    The result of a rewrite carries ``_canonical`` among its attributes, and ``_activation`` where
    an activation was fused into it.
    """
    if node.op in _INTEGER:
        return _integer(node)
    if node.op == "QLinearConcat":
        node.op, node.inputs = "Concat", node.inputs[2::3]
        node.attributes["_canonical"] = True
        node.attributes["_dtype"] = "int8"
        return node
    if domain in _STANDARD_DOMAINS:
        return node
    if node.op in _SAME:
        activation = node.attributes.pop("activation", b"")
        node.op = _SAME[node.op]
        for extra in ("activation_params", "activation_alpha", "activation_beta"):
            node.attributes.pop(extra, None)
        if node.op not in ("DequantizeLinear", "QuantizeLinear"):
            node.attributes["_canonical"] = True
        if activation:
            node.attributes["_activation"] = activation.decode()
        return node
    node.known = False
    return node


def _integer(node: Node) -> Node:
    """Keep the operands of an integer operator; the scales stay by reference."""
    name, operands = _INTEGER[node.op]
    accumulates = node.op.endswith("Integer")
    scale = None if accumulates else _output_scale(node)
    attributes = {k: v for k, v in node.attributes.items() if k not in _KEEP_LAYOUT}
    node.attributes = attributes | {
        "_canonical": True,
        "_dtype": "int32" if accumulates else "int8",
        "_scale": scale,
    }
    node.op = name
    node.inputs = [node.inputs[index] for index in operands if index < len(node.inputs)]
    return node


def _output_scale(node: Node) -> tuple[str, str] | None:
    """Return the names of the output's scale and zero point among the inputs of ``node``."""
    first = {"QLinearConv": 6, "QLinearConvTranspose": 6, "QLinearMatMul": 6, "QGemm": 7}
    first |= {"QLinearAdd": 6, "QLinearMul": 6}
    index = first.get(node.op, 3)
    return (node.inputs[index], node.inputs[index + 1]) if index + 1 < len(node.inputs) else None
