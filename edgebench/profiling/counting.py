"""Turns the simplified graph into operators: their kind, constants and multiply-accumulates.

A multiply-accumulate (MAC) belongs to a convolution or a matrix product, and to nothing else. One
MAC is two floating point operations.
"""

from __future__ import annotations

from math import prod

from edgebench.errors import EdgebenchError
from edgebench.profiling.attributes import resolved
from edgebench.profiling.graph import Graph, Node, Scale, Value
from edgebench.profiling.layout import ALIASES
from edgebench.profiling.operators import (
    BITS,
    INTEGER_TYPES,
    Constant,
    Operator,
    Profile,
    Quantization,
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

_SHAPED = frozenset({"Slice", "Expand", "Tile", "Clip", "Pow", "Split"})
"""Operators whose constant operands are code."""


def profile_of(graph: Graph) -> Profile:
    """Return the profile of a simplified graph."""
    operators = tuple(_operator(graph, node) for node in graph.nodes)
    names = {name for one in operators for name in (*one.outputs, *one.inputs)}
    computed = [name for name in graph.outputs if not graph.is_constant(name)]
    return Profile(
        name=graph.name,
        operators=operators,
        tensors={name: _tensor(graph, name) for name in sorted(names | {*graph.inputs, *computed})},
        inputs=tuple(graph.inputs),
        outputs=tuple(computed),
        unknown=tuple(f"{one.op} ({one.name})" for one in operators if one.kind == "unknown"),
        constant_outputs=tuple(
            _constant(graph, name, "output") for name in graph.outputs if graph.is_constant(name)
        ),
        input_types=dict(graph.input_types),
        output_types=_output_types(graph),
        lite=graph.lite,
    )


def _output_types(graph: Graph) -> dict[str, str]:
    """Return the types that the file gives to outputs which are integers here."""
    pairs = zip(graph.outputs, graph.output_types, strict=False)
    return {
        name: declared
        for name, declared in pairs
        if declared == "float32" and graph.values[name].dtype in INTEGER_TYPES
    }


def _tensor(graph: Graph, name: str, scale: Scale | None = None) -> Tensor:
    value = graph.values.get(name)
    if value is None:  # of an operator that has more outputs than its kind
        raise EdgebenchError(
            f"the tensor '{name:.80}' has no shape: no operator is known to make it"
        )
    _check_type(value)
    return Tensor(name, value.shape, value.dtype, _quantization(graph, value, scale))


def _check_type(value: Value) -> None:
    if value.dtype not in BITS:
        raise EdgebenchError(
            f"'{value.name}' holds elements of the type {value.dtype}, which no device runs"
        )


def _quantization(graph: Graph, value: Value, scale: Scale | None = None) -> Quantization | None:
    """Return how a value is held; ``scale`` is how one of its readers takes it instead."""
    found = scale or value.quantization
    if found is None:
        return None
    held = graph.values.get(found.scale or "")
    channels = prod(held.shape) if held is not None else 1
    axis = found.axis if channels > 1 else None
    if axis is not None and value.shape:
        axis %= len(value.shape)
    return Quantization(found.scale, found.zero_point, axis, channels)


def _operator(graph: Graph, node: Node) -> Operator:
    kind = kind_of(graph, node)
    return Operator(
        name=node.name,
        op=node.op,
        kind=kind,
        inputs=tuple(graph.activations(node)),
        outputs=tuple(node.outputs),
        attributes=resolved(graph, node),
        constants=_constants(graph, node, kind),
        macs=_macs(graph, node, kind),
        folded=tuple(node.folded),
        operands=tuple(_operand(graph, node, kind, place) for place in range(len(node.inputs))),
        own_pads=node.own_pads,
    )


def _operand(graph: Graph, node: Node, kind: str, position: int) -> Tensor | None:
    """Return what ``node`` reads at a position, or None where it is left out."""
    name = node.inputs[position]
    if not name:
        return None
    scale = node.scales.get(position)
    if not graph.is_constant(name):
        return _tensor(graph, name, scale)
    return _constant(graph, name, _role(node, kind, position), scale)


def _role(node: Node, kind: str, position: int) -> str:
    """Return what the constant operand at ``position`` is to ``node``."""
    if kind in ("conv", "depthwise", "deconv", "dense"):
        return "bias" if position == 2 else "weight"
    if kind == "norm":
        roles = ("operand", "scale", "bias", "mean", "variance")
        return roles[position] if position < len(roles) else "operand"
    return "slope" if node.op == "PRelu" else "operand"


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
    if node.pooled is not None:
        return "pool"
    if node.op in ALIASES or node.free:
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
        return prod(output) * shapes[0][-2 if node.attributes.get("transA") else -1]
    return 0


def _constants(graph: Graph, node: Node, kind: str) -> tuple[Constant, ...]:
    """Return the constants that ship with ``node``; shapes, axes and scales are code, not data."""
    positions: tuple[int, ...] | range = ()
    if kind in ("conv", "depthwise", "deconv", "dense"):
        positions = range(3)
    elif kind == "norm":  # a batch norm's mean and variance fold into its scale and shift
        positions = (1, 2)
    elif kind == "gather":
        positions = (0,)
    elif kind == "unknown" or (kind in _OPERANDS and node.op not in _SHAPED):
        positions = range(len(node.inputs))
    named: dict[str, int] = {}
    for position in positions:
        if position < len(node.inputs) and graph.is_constant(node.inputs[position]):
            named.setdefault(node.inputs[position], position)
    return tuple(
        _constant(graph, name, _role(node, kind, position), node.scales.get(position))
        for name, position in named.items()
    )


def _constant(graph: Graph, name: str, role: str, scale: Scale | None = None) -> Constant:
    value = graph.values[name]
    _check_type(value)
    return Constant(
        value.reference or name,
        value.shape,
        value.dtype,
        _quantization(graph, value, scale),
        role=role,
        value=name,
    )
