"""Static int8: weights per channel, activations per tensor, written as QDQ by ONNX Runtime."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.canonical import tidy
from edgebench.export.inference import Images
from edgebench.export.quantization.calibration import Calibration, Method, Ranges, ranges

COUNT = 512  # calibration images: enough for stable ranges, a second of work
_LINKS = ("QuantizeLinear", "DequantizeLinear")
_QUANTIZED = "_quantized"  # ONNX Runtime's name for the integers of a weight


@dataclass(frozen=True)
class FloatOperator:
    """An operator that an int8 graph still computes in float32, and why."""

    name: str
    op: str
    reason: str


def quantize(
    onnx_model: onnx.ModelProto,
    calibration: Images,
    *,
    method: Method = "minmax",
    count: int = COUNT,
    percentile: float = 99.99,
) -> onnx.ModelProto:
    """Return ``onnx_model`` with int8 weights and activations; the same input, the same bytes.

    ``calibration`` holds normalized training images ``[N, C, H, W]``, of which ``count`` evenly
    spaced ones are used. The file keeps the metadata of the float model and says how it was made.

    Raises:
        EdgebenchError: no calibration image, images of another shape, an unknown method, a model
            that is quantized already, or weights that are not finite.
    """
    setting = Calibration(method, percentile)
    _check(onnx_model, calibration, count)
    chosen = np.ascontiguousarray(calibration[evenly_spaced(len(calibration), count)])
    quantized = _rewrite(onnx_model, ranges(onnx_model, chosen, setting))
    how: dict[str, object] = {"method": method, "images": len(chosen)}
    if method == "percentile":
        how["percentile"] = percentile
    metadata = {entry.key: entry.value for entry in onnx_model.metadata_props}
    return tidy(quantized, metadata | {"edgebench.int8": json.dumps(how)})


def untrained_int8_graph(onnx_model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the int8 graph that ``onnx_model`` will have, whatever its weights and images are.

    For a footprint before training: the operators, shapes and data types are those of `quantize`,
    all scales are placeholders, and weights have dimensions without data.
    """
    small = onnx.shape_inference.infer_shapes(onnx_model)
    sizes = _shrink_weights(small.graph)
    values = {value for node in small.graph.node for value in node.output}
    ranges = dict.fromkeys(values | {small.graph.input[0].name}, (-1.0, 1.0))
    result = _rewrite(small, ranges)
    _restore_weights(result.graph, sizes)
    return result


def _shrink_weights(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Give each float weight one element, and return the dimensions that it had.

    The quantizer's work grows with the channels of a weight, half a second for a MobileNet, and
    what it writes into the graph does not depend on them.
    """
    sizes: dict[str, list[int]] = {}
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            sizes[tensor.name] = list(tensor.dims)
            _resize(tensor, [1] * len(tensor.dims))
            tensor.raw_data = bytes(4)
    return sizes


def _restore_weights(graph: onnx.GraphProto, sizes: dict[str, list[int]]) -> None:
    """Give the weights of an int8 graph their dimensions, and a scale to each of their channels."""
    held = {tensor.name: tensor for tensor in graph.initializer}
    for name in sizes.keys() & held.keys():
        _resize(held[name], sizes[name])
    per_channel: set[str] = set()
    for node in graph.node:
        dims = sizes.get(_origin(node.input[0], sizes)) if node.op_type == _LINKS[1] else None
        if dims is None:
            continue
        _resize(held[node.input[0]], dims)
        for attribute in node.attribute:
            if attribute.name == "axis":
                _resize_scale(node, held, dims[attribute.i])
                per_channel.add(node.output[0])
    makers = {node.output[0]: node for node in graph.node if node.op_type == _LINKS[1]}
    for node in graph.node:  # a bias has the scales of its weight
        bias = makers.get(node.input[2]) if len(node.input) > 2 else None
        if bias is not None and node.input[1] in per_channel:
            _resize_scale(bias, held, held[bias.input[0]].dims[0])
            bias.attribute.append(onnx.helper.make_attribute("axis", 0))


def _origin(name: str, sizes: dict[str, list[int]]) -> str:
    """Return the weight that an int8 tensor comes from: a shared bias has a number for each use."""
    origin = name.removesuffix(_QUANTIZED)
    while origin not in sizes and origin[-1:].isdigit():
        origin = origin[:-1]
    return origin


def _resize_scale(link: onnx.NodeProto, held: dict[str, onnx.TensorProto], channels: int) -> None:
    for parameter in link.input[1:]:
        _resize(held[parameter], [channels])


def _resize(tensor: onnx.TensorProto, dims: list[int]) -> None:
    """Set the dimensions of a tensor, which loses its data."""
    name, kind = tensor.name, tensor.data_type
    tensor.Clear()
    tensor.name, tensor.data_type = name, kind
    tensor.dims.extend(dims)


def evenly_spaced(total: int, count: int) -> npt.NDArray[np.int64]:
    """Return ``count`` evenly spaced indices of ``total``: every class of a sorted folder is in."""
    return np.arange(min(count, total), dtype=np.int64) * total // max(min(count, total), 1)


def float_operators(model: onnx.ModelProto) -> tuple[FloatOperator, ...]:
    """Name the operators of an int8 graph that do not read and write int8, in graph order.

    An operator is int8 where its activations come from a DequantizeLinear and its results go to
    a QuantizeLinear only, which is what int8 kernels and vendors' converters fuse.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    floats = _float_values(graph)
    made_by = {value: node for node in graph.node for value in node.output}
    readers: dict[str, set[str]] = {value.name: {"the output"} for value in graph.output}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, set()).add(node.op_type)
    found = []
    for node in graph.node:
        if node.op_type in _LINKS:
            continue
        loose = [
            value
            for value in node.input
            if value in floats
            and (value not in made_by or made_by[value].op_type != "DequantizeLinear")
        ]
        used = [value for value in node.output if value in floats and value in readers]
        if loose:
            reason = f"its input '{loose[0]}' is float32"
        elif any(readers[value] != {"QuantizeLinear"} for value in used):
            reason = "its result is used as float32"
        else:
            continue
        found.append(FloatOperator(node.name, node.op_type, reason))
    return tuple(found)


def _float_values(graph: onnx.GraphProto) -> set[str]:
    """Return the activations that are float32; shape arithmetic in integers is neither."""
    return {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    } - {tensor.name for tensor in graph.initializer}


def check_count(count: int) -> None:
    """Refuse to calibrate on no image; raises EdgebenchError."""
    if count < 1:
        raise EdgebenchError(
            f"the calibration needs at least 1 image, but got count {count}; "
            "the nearest valid value is 1"
        )


def _check(model: onnx.ModelProto, images: Images, count: int) -> None:
    """Refuse what cannot be calibrated; raises EdgebenchError."""
    if any(node.op_type in _LINKS for node in model.graph.node):
        raise EdgebenchError("the model is quantized already; quantize its float32 form")
    check_count(count)
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    if not len(images) or images.shape[1:] != shape:
        raise EdgebenchError(
            f"calibration images must have the model's input shape {list(shape)}, "
            f"but got {list(images.shape)}"
        )


def _rewrite(model: onnx.ModelProto, found: Ranges) -> onnx.ModelProto:
    """Insert QuantizeLinear and DequantizeLinear round every operator of ``model``."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    data = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in found.items()
    }
    work = onnx.ModelProto()
    work.CopyFrom(model)
    with _quiet():
        quantizer = QDQQuantizer(
            work,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, data),
            nodes_to_quantize=[],
            nodes_to_exclude=[],
            op_types_to_quantize=sorted(Counter(node.op_type for node in model.graph.node)),
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop the advice that the quantizer writes to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level)
