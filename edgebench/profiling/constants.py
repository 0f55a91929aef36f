"""What is known before the graph runs: shape arithmetic by value, large data by reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from edgebench.profiling.graph import SMALL, Array, Node, Scale, Value
from edgebench.profiling.limits import FOLDED_BYTES

FOLDED = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos", "Div",
        "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND",
        "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul",
        "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean",
        "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape", "Round", "ScatterND", "Sigmoid",
        "Sign", "Sin", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile",
        "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
    }
)  # fmt: skip
"""Operators of shape arithmetic, which cost no more than the elements they read and write.

Nothing that loops, calls or draws random numbers is here: a file does not get to run programs.
"""

LAYOUT = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
"""Operators after which a constant is the same data in another order or shape."""


class Folder:
    """Folds constants by value within a budget of bytes for the whole graph."""

    def __init__(self, opsets: Mapping[str, int]) -> None:
        self._opsets = {domain: version for domain, version in opsets.items() if domain == ""}
        self._left = FOLDED_BYTES

    def fold(
        self, node: Node, proto: onnx.NodeProto, inputs: list[Value], outputs: list[Value]
    ) -> bool:
        """Give ``outputs`` their arrays where ``inputs`` are small and known; tell whether.

        ``outputs`` have the shapes that inference found; nothing larger than `SMALL` is computed.
        """
        if node.op not in FOLDED or not outputs or any(_large(value) for value in outputs):
            return False
        feeds: dict[str, Array] = {}
        for value in inputs:
            array = value.data()
            if value.name and array is None:
                return False
            if array is not None and value.name:
                feeds[value.name] = array
        results = self._run(node, proto, feeds)
        if results is None or len(results) < len(outputs):
            return False
        for value, result in zip(outputs, results, strict=False):
            if result.shape != value.shape:
                return False
        for value, result in zip(outputs, results, strict=False):
            value.array = result
            self._left -= result.nbytes
        return True

    def _run(
        self, node: Node, proto: onnx.NodeProto, feeds: Mapping[str, Array]
    ) -> list[Array] | None:
        if self._left <= 0:
            return None
        try:
            return evaluate(node, proto, feeds, self._opsets)
        except Exception:  # noqa: BLE001 - the evaluator lacks an operator: shapes will do
            return None


def _large(value: Value) -> bool:
    return int(np.prod(value.shape, dtype=np.float64)) > SMALL


def evaluate(
    node: Node, proto: onnx.NodeProto, feeds: Mapping[str, Array], opsets: Mapping[str, int]
) -> list[Array]:
    """Run one node by ONNX's reference evaluator; what it raises is not to be known."""
    from onnx.reference import ReferenceEvaluator

    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    del copy.input[:]
    copy.input.extend(node.inputs)
    model = _model_of(copy, feeds, opsets)
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(None, dict(feeds))
    return [np.asarray(result) for result in results]


def computed(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], opsets: Mapping[str, int]
) -> Callable[[int], Array]:
    """Return what makes the data of a large constant, by the position of the output."""

    def make(index: int) -> Array:
        feeds = {one.name: one.real() for one in inputs if one.name}
        return evaluate(node, proto, feeds, opsets)[index]

    return make


def dequantized(values: Array, scale: Array, zero_point: Array | None, axis: int | None) -> Array:
    """Return ``(values - zero point) * scale`` as float32, the scales along ``axis``."""
    shape = [1] * values.ndim
    if scale.size > 1 and axis is not None:
        shape[axis % values.ndim] = scale.size
    held = values.astype(np.float64)
    if zero_point is not None:
        held = held - zero_point.astype(np.float64).reshape(shape if zero_point.size > 1 else ())
    factors = scale.astype(np.float64).reshape(shape if scale.size > 1 else ())
    found: Array = (held * factors).astype(np.float32)
    return found


def pass_reference(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], result: Value, opsets: Mapping[str, int]
) -> None:
    """Let a constant that is another one rearranged or dequantized remember its origin."""
    source = inputs[0]
    result.reference = source.reference or source.name
    if node.op == "DequantizeLinear":
        scale = scale_of(node)
        zero = inputs[2] if len(inputs) > 2 and inputs[2].name else None
        result.dtype, result.quantization, result.dequantized = source.dtype, scale, True
        result.compute = source.content
        result.decode = lambda: dequantized(
            source.content(), inputs[1].content(), zero.content() if zero else None, scale.axis
        )
    elif node.op in LAYOUT and source.dequantized:
        result.dtype, result.dequantized = source.dtype, True
        result.quantization = _moved(node, source, result)
        result.decode = result.compute
        held = replace(source, decode=None)
        moved = computed(node, proto, [held, *inputs[1:]], opsets)
        result.compute = lambda: moved(0)


def scale_of(node: Node) -> Scale:
    """Return what a quantize or dequantize node applies."""
    zero_point = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
    return Scale(node.inputs[1], zero_point, node.attributes.get("axis", 1))


def _moved(node: Node, source: Value, result: Value) -> Scale | None:
    """Return the quantization of a constant after a layout operator: its axis moves along."""
    old = source.quantization
    if old is None or old.axis is None:
        return old
    axis = old.axis % max(len(source.shape), 1)
    if node.op == "Transpose":
        order = list(node.attributes.get("perm", range(len(source.shape))[::-1]))
        return replace(old, axis=order.index(axis))
    length, before = source.shape[axis], np.prod(source.shape[:axis], dtype=np.int64)
    for index, size in enumerate(result.shape):
        if size == length and np.prod(result.shape[:index], dtype=np.int64) == before:
            return replace(old, axis=index)
    return replace(old, axis=None)


def _model_of(
    node: onnx.NodeProto, feeds: Mapping[str, Array], opsets: Mapping[str, int]
) -> onnx.ModelProto:
    """Wrap one node in a model that the reference evaluator runs."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "fold", inputs, outputs)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()]
    )
