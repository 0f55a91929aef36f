"""What is known before the graph runs: shape arithmetic by value, large data by reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from edgebench.profiling.graph import SMALL, Array, Node, Value


def computed(
    node: Node, proto: onnx.NodeProto, inputs: list[Value], opsets: Mapping[str, int]
) -> list[Value] | None:
    """Return the outputs of a node whose inputs are small constants; None where they are not."""
    if node.op in ("DequantizeLinear", "QuantizeLinear") or not node.known:
        return None
    feeds: dict[str, Array] = {}
    for value in inputs:
        array = value.data()
        if value.name and array is None:
            return None
        if array is not None:
            feeds[value.name] = array
    if node.op in ("ConstantOfShape", "Expand", "Tile") and _grows(node, feeds):
        return None
    from onnx.reference import ReferenceEvaluator

    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    del copy.input[:]
    copy.input.extend(node.inputs)
    try:
        results = ReferenceEvaluator(_model_of(copy, feeds, opsets)).run(None, feeds)
    except Exception:  # noqa: BLE001 - the evaluator lacks an operator: shapes will do
        return None
    arrays = [np.asarray(result) for result in results]
    return [
        Value(name, array.shape, str(array.dtype), constant=True, array=array)
        for name, array in zip(copy.output, arrays, strict=True)
    ]


def _grows(node: Node, feeds: dict[str, Array]) -> bool:
    """Tell whether the result of a node that repeats its input would be large."""
    shape = feeds[node.inputs[-1]]
    return abs(float(np.prod(shape.astype(np.float64)))) > SMALL


def pass_reference(node: Node, values: dict[str, Value]) -> None:
    """Let a constant that is another one rearranged or dequantised remember its origin."""
    source, result = values[node.inputs[0]], values[node.outputs[0]]
    result.reference = source.reference or source.name
    if node.op == "DequantizeLinear":
        result.dtype = source.dtype
        result.scale = node.inputs[1]
        result.zero_point = node.inputs[2] if len(node.inputs) > 2 else None
        result.axis = node.attributes.get("axis", 1)
        result.dequantised = True
    elif node.op in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        result.dtype, result.scale = source.dtype, source.scale
        result.zero_point, result.axis = source.zero_point, source.axis
        result.dequantised = source.dequantised


def _model_of(
    node: onnx.NodeProto, feeds: dict[str, Array], opsets: Mapping[str, int]
) -> onnx.ModelProto:
    """Wrap one node in a model that the reference evaluator runs."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "fold", inputs, outputs)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()]
    )
