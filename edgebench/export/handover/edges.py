"""What firmware must know of a model's two ends: types, layout, bytes, scale and zero point."""

from __future__ import annotations

import math
from typing import Any

import onnx
from onnx import TensorProto, numpy_helper

BYTES = {"float32": 4, "int8": 1, "uint8": 1}
_INTEGERS: dict[int, str] = {TensorProto.INT8: "int8", TensorProto.UINT8: "uint8"}


def edges(model: onnx.ModelProto) -> dict[str, dict[str, Any]]:
    """Return ``input`` and ``output``: name, shape without the batch, and how they are held.

    Each has ``dtype``, ``bytes`` and ``buffer_bytes`` of the file's own float32 tensor, and, where
    the graph quantizes it at once, ``quantized``: dtype, scale, zero point and buffer bytes of the
    integers that a device keeps in its place, with q = round(x / scale) + zero_point, saturated.
    """
    graph = model.graph
    values = {one.name: one for one in graph.initializer}
    source, target = graph.input[0], graph.output[0]
    entering = next((n for n in graph.node if n.input[:1] == [source.name]), None)
    leaving = next((n for n in graph.node if target.name in n.output), None)
    found = {}
    for key, tensor, node, op in (
        ("input", source, entering, "QuantizeLinear"),
        ("output", target, leaving, "DequantizeLinear"),
    ):
        shape = [dim.dim_value for dim in tensor.type.tensor_type.shape.dim][1:]
        count = math.prod(shape)
        found[key] = {
            "name": tensor.name,
            "shape": shape,
            "dtype": "float32",
            "buffer_bytes": BYTES["float32"] * count,
        }
        if node is not None and node.op_type == op:
            found[key]["quantized"] = _quantization(node, values, count)
    return found


def _quantization(
    node: onnx.NodeProto, values: dict[str, TensorProto], count: int
) -> dict[str, Any]:
    scale = float(numpy_helper.to_array(values[node.input[1]]))
    zero = values[node.input[2]]
    dtype = _INTEGERS[zero.data_type]
    return {
        "dtype": dtype,
        "scale": scale,
        "zero_point": int(numpy_helper.to_array(zero)),
        "buffer_bytes": BYTES[dtype] * count,
    }
