"""Turns the simplified graph into operators: their kind, constants and multiply-accumulates.

A multiply-accumulate (MAC) belongs to a convolution or a matrix product, and to nothing else. One
MAC is two floating point operations.
"""

from __future__ import annotations

from math import prod
from typing import Any

from edgebench.profiling.folding import explicit_pads, pad_amounts, window
from edgebench.profiling.graph import Graph, Node, Value
from edgebench.profiling.layout import ALIASES, reduced_axes
from edgebench.profiling.operators import (
    Constant,
    Operator,
    Profile,
    Quantisation,
    Tensor,
)

KINDS: dict[str, str] = {
    "Conv": "conv", "ConvTranspose": "deconv", "Gemm": "dense", "MatMul": "dense",
    "MaxPool": "pool", "AveragePool": "pool", "LpPool": "pool",
    "GlobalAveragePool": "pool", "GlobalMaxPool": "pool",
    "ReduceMean": "reduce", "ReduceMax": "reduce", "ReduceMin": "reduce", "ReduceSum": "reduce",
    "ReduceSumSquare": "reduce", "ReduceL2": "reduce", "ReduceL1": "reduce",
    "Softmax": "softmax", "LogSoftmax": "softmax",
    "BatchNormalization": "norm", "LayerNormalization": "norm", "InstanceNormalization": "norm",
    "GroupNormalization": "norm", "RMSNormalization": "norm", "LRN": "norm",
    "LpNormalization": "norm",
    "Add": "eltwise", "Sub": "eltwise", "Mul": "eltwise", "Div": "eltwise", "Min": "eltwise",
    "Max": "eltwise", "Pow": "eltwise", "Sum": "eltwise", "Mean": "eltwise", "Mod": "eltwise",
    "Equal": "eltwise", "Greater": "eltwise", "Less": "eltwise", "GreaterOrEqual": "eltwise",
    "LessOrEqual": "eltwise", "And": "eltwise", "Or": "eltwise", "Where": "eltwise",
    "Concat": "concat", "Slice": "slice", "Split": "slice", "Gather": "gather",
    "GatherElements": "gather", "GatherND": "gather", "Pad": "pad", "Transpose": "transpose",
    "Expand": "copy", "Tile": "copy", "DepthToSpace": "copy", "SpaceToDepth": "copy",
    "Resize": "resize", "Upsample": "resize",
    "QuantizeLinear": "convert", "DequantizeLinear": "convert", "Cast": "convert",
    "ArgMax": "argmax", "ArgMin": "argmax",
}  # fmt: skip
"""The class of rule of each operator that is neither in ``ACTIVATIONS`` nor in ``ALIASES``."""

ACTIVATIONS = frozenset(
    {
        "Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Celu", "Selu", "Sigmoid",
        "HardSigmoid", "HardSwish", "Swish", "Mish", "Tanh", "Softplus", "Softsign", "Gelu", "Erf",
        "Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Abs", "Floor", "Ceil", "Round", "Sign", "Not",
        "Sin", "Cos",
    }
)  # fmt: skip
"""Operators that compute each element of their output from the same element of one input."""

_OPERANDS = frozenset({"eltwise", "concat", "gather", "activation", "slice", "copy"})
_SHAPED_BY = {"Slice": 1, "Expand": 1, "Tile": 1, "Clip": 1, "Pow": 2, "Split": 1}


def profile_of(graph: Graph) -> Profile:
    """Return the profile of a simplified graph."""
    operators = tuple(_operator(graph, node) for node in graph.nodes)
    names = {name for node in graph.nodes for name in (*node.outputs, *graph.activations(node))}
    return Profile(
        name=graph.name,
        operators=operators,
        tensors={name: _tensor(graph, name) for name in sorted(names | set(graph.inputs))},
        inputs=tuple(graph.inputs),
        outputs=tuple(graph.outputs),
        unknown=tuple(f"{one.op} ({one.name})" for one in operators if one.kind == "unknown"),
    )


def _tensor(graph: Graph, name: str) -> Tensor:
    value = graph.values[name]
    return Tensor(name, value.shape, value.dtype, _quantisation(graph, value))


def _quantisation(graph: Graph, value: Value) -> Quantisation | None:
    if not value.scale:
        return None
    channels = prod(graph.values[value.scale].shape) if value.scale in graph.values else 1
    return Quantisation(value.scale, value.zero_point, value.axis, channels)


def _operator(graph: Graph, node: Node) -> Operator:
    kind = kind_of(graph, node)
    constants = _constants(graph, node, kind)
    return Operator(
        name=node.name,
        op=node.op,
        kind=kind,
        inputs=tuple(graph.activations(node)),
        outputs=tuple(node.outputs),
        attributes=_attributes(graph, node, kind),
        constants=constants,
        macs=_macs(graph, node, kind),
        folded=tuple(node.folded),
    )


def kind_of(graph: Graph, node: Node) -> str:
    """Return the class of rule that ``node`` falls under; ``unknown`` where there is none."""
    kind = _plain_kind(node)
    if kind == "conv":
        weight = graph.values[node.inputs[1]].shape
        group = int(node.attributes.get("group", 1))
        return "depthwise" if group > 1 and weight[1] == 1 else "conv"
    if kind == "dense" and not graph.is_constant(node.inputs[1]):
        return "matmul" if not graph.is_constant(node.inputs[0]) else "dense"
    return kind


def _plain_kind(node: Node) -> str:
    """Return the kind as far as the operator's name tells it."""
    if not node.known:
        return "unknown"
    if "_pools" in node.attributes:
        return "pool"
    if node.op in ALIASES:
        return "alias"
    return "activation" if node.op in ACTIVATIONS else KINDS.get(node.op, "unknown")


def _macs(graph: Graph, node: Node, kind: str) -> int:
    """Return the multiply-accumulates: one for each weight that each output element meets."""
    shapes = [graph.values[name].shape for name in node.inputs if name]
    output = graph.values[node.outputs[0]].shape
    if kind in ("conv", "depthwise"):
        return prod(output) * prod(shapes[1][1:])
    if kind == "deconv":
        return prod(shapes[0]) * prod(shapes[1][1:])
    if kind in ("dense", "matmul"):
        left = shapes[0]
        if node.op == "Gemm":
            return prod(output) * left[0 if node.attributes.get("transA") else 1]
        return prod(output) * left[-1]
    return 0


def _attributes(graph: Graph, node: Node, kind: str) -> dict[str, Any]:
    """Return the node's attributes; those of windows are resolved, in two dimensions."""
    kept = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in node.attributes.items()
        if not name.startswith("_") and not hasattr(value, "SerializeToString")
    }
    if kind in ("conv", "depthwise", "deconv", "pool") and node.inputs:
        kept |= _window_attributes(graph, node)
    if kind == "pad":
        kept["pads"] = pad_amounts(graph, node)
    if node.op == "Clip":
        for position, bound in ((1, "min"), (2, "max")):
            data = graph.data(node.inputs[position]) if len(node.inputs) > position else None
            if data is not None:
                kept[bound] = float(data.reshape(-1)[0])
    if kind == "reduce":
        kept["axes"] = reduced_axes(graph, node)
    return kept


def _window_attributes(graph: Graph, node: Node) -> dict[str, Any]:
    """Return kernel, strides, pads and dilations over height and width.

    An operator of one dimension has it as its height. A convolution of three keeps them all.
    """
    if "_pools" in node.attributes:
        kernel = strides = list(node.attributes["_pools"])
        dilations, pads = [1] * len(kernel), [0] * 2 * len(kernel)
    else:
        kernel, strides, dilations = window(graph, node)
        pads = explicit_pads(graph, node)
    if len(kernel) == 1:
        kernel, strides, dilations = [*kernel, 1], [*strides, 1], [*dilations, 1]
        pads = [pads[0], 0, pads[1], 0]
    return {
        "kernel": tuple(kernel),
        "strides": tuple(strides),
        "dilations": tuple(dilations),
        "pads": tuple(pads),
        "group": int(node.attributes.get("group", 1)),
    }


def _constants(graph: Graph, node: Node, kind: str) -> tuple[Constant, ...]:
    """Return the constants that ship with ``node``; shapes, axes and scales are code, not data."""
    if kind in ("conv", "depthwise", "deconv", "dense"):
        roles = ["weight", "weight", "bias"]
        named = [
            (name, roles[index])
            for index, name in enumerate(node.inputs[:3])
            if name and graph.is_constant(name)
        ]
        return tuple(_constant(graph, name, role) for name, role in named)
    if kind == "norm":
        return _norm_constants(graph, node)
    if kind == "unknown" or (kind in _OPERANDS and node.op not in _SHAPED_BY):
        role = "slope" if node.op == "PRelu" else "operand"
        names = [n for n in node.inputs if n and graph.is_constant(n)]
        if kind == "gather":
            names = [n for n in node.inputs[:1] if graph.is_constant(n)]
        return tuple(_constant(graph, name, role) for name in dict.fromkeys(names))
    return ()


def _norm_constants(graph: Graph, node: Node) -> tuple[Constant, ...]:
    """Return the scale and shift of a norm; a batch norm's mean and variance fold into them."""
    named = [(name, role) for name, role in zip(node.inputs[1:3], ("scale", "bias"), strict=False)]
    return tuple(_constant(graph, name, role) for name, role in named if name)


def _constant(graph: Graph, name: str, role: str) -> Constant:
    value = graph.values[name]
    return Constant(
        value.reference or name, value.shape, value.dtype, _quantisation(graph, value), role=role
    )
