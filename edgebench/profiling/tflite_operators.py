"""TFLite's operators, each as what ONNX calls it: one function a kind of operator."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx

from edgebench.errors import EdgebenchError
from edgebench.profiling.tflite_graph import FIRST, LAST, GraphWriter, first
from edgebench.profiling.tflite_reading import TfOperator, read_graph

_SAME = 0
_UNARY = {
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "RELU": "Relu", "ELU": "Elu", "ABS": "Abs",
    "NEG": "Neg", "SQRT": "Sqrt", "EXP": "Exp", "LOG": "Log", "FLOOR": "Floor", "CEIL": "Ceil",
    "ROUND": "Round", "SIN": "Sin", "COS": "Cos", "HARD_SWISH": "HardSwish", "GELU": "Gelu",
    "SIGN": "Sign",
}  # fmt: skip
_BINARY = {
    "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min",
    "POW": "Pow",
}  # fmt: skip
_REDUCE = {
    "MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
}  # fmt: skip

Rule = Callable[[GraphWriter, TfOperator], None]


def to_onnx(content: bytes, source: str, *, weights: bool) -> onnx.ModelProto:
    """Return the ONNX graph of a TFLite file; large weights without their data unless asked for.

    Raises:
        EdgebenchError: The file is broken, or the extra is not installed.
    """
    graph = read_graph(content, source)
    try:
        writer = GraphWriter(graph, weights=weights)
        for operator in writer.graph.operators:
            if operator.outputs:
                RULES.get(operator.op, GraphWriter.unknown)(writer, operator)
        return writer.model()
    except EdgebenchError as error:
        raise EdgebenchError(f"{source}: {error}") from error
    except (IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise EdgebenchError(
            f"{source}: the tensors of an operator do not have the shapes that it asks for"
        ) from error


def _window(operator: TfOperator, kernel: tuple[int, int]) -> dict[str, object]:
    """Return the attributes of a window of ``kernel`` (height, width)."""
    found: dict[str, object] = {
        "kernel_shape": list(kernel),
        "strides": [operator.option("StrideH", 1), operator.option("StrideW", 1)],
    }
    if operator.option("Padding") == _SAME:
        found["auto_pad"] = "SAME_UPPER"
    return found


def _bias(writer: GraphWriter, operator: TfOperator, position: int = 2) -> list[str]:
    more = operator.inputs[position : position + 1]
    return [writer.read(one) for one in more if one >= 0]


def _convolution(writer: GraphWriter, operator: TfOperator) -> None:
    image, filters = operator.inputs[:2]
    shape, depthwise = writer.tensor(filters).shape, operator.op == "DEPTHWISE_CONV_2D"
    channels = writer.tensor(image).shape[3]
    weight = writer.weight(filters, (3, 0, 1, 2) if depthwise else FIRST)
    writer.result(
        operator.outputs[0],
        "Conv",
        [writer.read(image), weight, *_bias(writer, operator)],
        fused=operator.option("FusedActivationFunction"),
        group=channels if depthwise else channels // shape[3],
        dilations=[operator.option("DilationHFactor", 1), operator.option("DilationWFactor", 1)],
        **_window(operator, (shape[1], shape[2])),
    )


def _transposed_convolution(writer: GraphWriter, operator: TfOperator) -> None:
    _, filters, image = operator.inputs[:3]
    height, width = writer.tensor(filters).shape[1:3]
    wanted = writer.tensor(operator.outputs[0]).shape[1:3]
    writer.result(
        operator.outputs[0],
        "ConvTranspose",
        # Output channels first in the file, input channels first in ONNX.
        [writer.read(image), writer.weight(filters, (3, 0, 1, 2)), *_bias(writer, operator, 3)],
        fused=operator.option("FusedActivationFunction"),
        output_shape=list(wanted),
        **_window(operator, (height, width)),
    )


def _pool(writer: GraphWriter, operator: TfOperator) -> None:
    kernel = operator.option("FilterHeight", 1), operator.option("FilterWidth", 1)
    writer.result(
        operator.outputs[0],
        "MaxPool" if operator.op == "MAX_POOL_2D" else "AveragePool",
        [writer.read(operator.inputs[0])],
        fused=operator.option("FusedActivationFunction"),
        **_window(operator, kernel),
    )


def _dense(writer: GraphWriter, operator: TfOperator) -> None:
    source, weights = operator.inputs[:2]
    if not writer.tensor(weights).constant:
        writer.unknown(operator)
        return
    inputs = writer.tensor(weights).shape[1]
    rows = prod(writer.tensor(source).shape) // inputs
    flat = writer.flat(source)
    if writer.tensor(source).shape != (rows, inputs):
        flat = writer.reshaped(flat, (rows, inputs))
    result = operator.outputs[0]
    fused = operator.option("FusedActivationFunction")
    operands = [flat, writer.weight(weights, (0, 1)), *_bias(writer, operator)]
    if len(writer.tensor(result).shape) == 2:
        writer.result(result, "Gemm", operands, fused=fused, transB=1)
        return
    name = writer.name(result)
    made = writer.add("Gemm", operands, f"{name}.rows", transB=1)
    if fused:
        writer.activation(fused, made, f"{name}.rows.active")
        made = f"{name}.rows.active"
    writer.reshape(result, made)


def _unary(writer: GraphWriter, operator: TfOperator) -> None:
    writer.result(operator.outputs[0], _UNARY[operator.op], [writer.read(operator.inputs[0])])


def _clamp(writer: GraphWriter, operator: TfOperator) -> None:
    low, high = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}[
        operator.op
    ]
    result = operator.outputs[0]
    written = f"{writer.name(result)}.float"
    writer.clip(writer.read(operator.inputs[0]), written, low, high)
    writer.keep(result, written)


def _leaky(writer: GraphWriter, operator: TfOperator) -> None:
    alpha = float(operator.options.get("Alpha", 0.0))
    source = writer.read(operator.inputs[0])
    writer.result(operator.outputs[0], "LeakyRelu", [source], alpha=alpha)


def _binary(writer: GraphWriter, operator: TfOperator) -> None:
    rank = max(len(writer.tensor(one).shape) for one in operator.inputs[:2])
    operands = [writer.operand(one, rank) for one in operator.inputs[:2]]
    fused = operator.option("FusedActivationFunction")
    writer.result(operator.outputs[0], _BINARY[operator.op], operands, fused=fused)


def _slopes(writer: GraphWriter, operator: TfOperator) -> None:
    source, slope = operator.inputs[:2]
    operands = [writer.read(source), writer.operand(slope, len(writer.tensor(source).shape))]
    writer.result(operator.outputs[0], "PRelu", operands)


def _softmax(writer: GraphWriter, operator: TfOperator) -> None:
    source = operator.inputs[0]
    axis = 1 if len(writer.tensor(source).shape) == 4 else -1
    op = "LogSoftmax" if operator.op == "LOG_SOFTMAX" else "Softmax"
    writer.result(operator.outputs[0], op, [writer.read(source)], axis=axis)


def _shaping(writer: GraphWriter, operator: TfOperator) -> None:
    writer.reshape(operator.outputs[0], writer.flat(operator.inputs[0]))


def _axis(axis: int, rank: int) -> int:
    """Return where an axis of the file stands in the ONNX graph."""
    axis %= max(rank, 1)
    return FIRST.index(axis) if rank == 4 else axis


def _integers(writer: GraphWriter, index: int) -> list[int]:
    tensor = writer.tensor(index)
    if not tensor.constant:
        raise EdgebenchError(f"'{tensor.name}' is computed, and shapes would depend on it")
    return [int(one) for one in tensor.array().reshape(-1)]


def _reduce(writer: GraphWriter, operator: TfOperator) -> None:
    source, axes = operator.inputs[:2]
    rank, result = len(writer.tensor(source).shape), operator.outputs[0]
    asked = sorted({axis % rank for axis in _integers(writer, axes)})
    keeps = operator.option("KeepDims")
    image = rank == 4 and not keeps and asked != [1, 2]
    name = writer.last(source) if image else writer.read(source)
    found = asked if image else sorted(_axis(one, rank) for one in asked)
    listed = writer.constant(f"axes.{'_'.join(map(str, found))}", np.asarray(found, np.int64))
    writer.result(result, _REDUCE[operator.op], [name, listed], keepdims=int(bool(keeps)))


def _concat(writer: GraphWriter, operator: TfOperator) -> None:
    rank = len(writer.tensor(operator.outputs[0]).shape)
    writer.result(
        operator.outputs[0],
        "Concat",
        [writer.read(one) for one in operator.inputs],
        fused=operator.option("FusedActivationFunction"),
        axis=_axis(operator.option("Axis"), rank),
    )


def _split(writer: GraphWriter, operator: TfOperator) -> None:
    given = {"SPLIT": (1, 0), "SPLIT_V": (0, 2)}[operator.op]
    source, axis = (operator.inputs[one] for one in given)
    rank = len(writer.tensor(source).shape)
    place = _axis(_integers(writer, axis)[0], rank)
    sizes = [writer.shape(one)[place] for one in operator.outputs]
    listed = writer.constant(f"split.{'_'.join(map(str, sizes))}", np.asarray(sizes, np.int64))
    quantized = [bool(writer.tensor(one).scales) for one in operator.outputs]
    names = [
        f"{writer.name(one)}.float" if held else writer.name(one)
        for one, held in zip(operator.outputs, quantized, strict=True)
    ]
    writer.nodes.append(
        onnx.helper.make_node(
            "Split", [writer.read(source), listed], names, f"{names[0]}.split", axis=place
        )
    )
    for index, written in zip(operator.outputs, names, strict=True):
        writer.keep(index, written)


def _pad(writer: GraphWriter, operator: TfOperator) -> None:
    source, amounts = operator.inputs[:2]
    pairs = np.asarray(_integers(writer, amounts)).reshape(-1, 2)
    ordered = [pairs[axis] for axis in (FIRST if len(pairs) == 4 else range(len(pairs)))]
    pads = np.asarray([one[0] for one in ordered] + [one[1] for one in ordered], np.int64)
    listed = writer.constant(f"{writer.name(operator.outputs[0])}.pads", pads)
    mode = "reflect" if operator.op == "MIRROR_PAD" else "constant"
    writer.result(operator.outputs[0], "Pad", [writer.read(source), listed], mode=mode)


def _transpose(writer: GraphWriter, operator: TfOperator) -> None:
    source, order = operator.inputs[:2]
    perm = _integers(writer, order)
    if len(perm) == 4:  # both sides are channels first here
        perm = [FIRST.index(perm[axis]) for axis in FIRST]
    writer.result(operator.outputs[0], "Transpose", [writer.read(source)], perm=perm)


def _resize(writer: GraphWriter, operator: TfOperator) -> None:
    result = operator.outputs[0]
    sizes = writer.constant(
        f"{writer.name(result)}.sizes", np.asarray(writer.shape(result), np.int64)
    )
    mode = "linear" if operator.op == "RESIZE_BILINEAR" else "nearest"
    source = writer.read(operator.inputs[0])
    writer.result(result, "Resize", [source, "", "", sizes], mode=mode)


def _blocks(writer: GraphWriter, operator: TfOperator) -> None:
    op = "DepthToSpace" if operator.op == "DEPTH_TO_SPACE" else "SpaceToDepth"
    size = operator.option("BlockSize", 1)
    source = writer.read(operator.inputs[0])
    writer.result(operator.outputs[0], op, [source], blocksize=size)


def _slice(writer: GraphWriter, operator: TfOperator) -> None:
    """A slice whose result keeps its rank; what a mask drops is another shape of the same."""
    source, result = operator.inputs[0], operator.outputs[0]
    shape = writer.tensor(source).shape
    if operator.option("EllipsisMask") or operator.option("NewAxisMask"):
        writer.unknown(operator)
        return
    begins, ends = (_integers(writer, one) for one in operator.inputs[1:3])
    steps = [1] * len(begins)
    if operator.op == "SLICE":
        ends = [
            begin + size if size >= 0 else whole
            for begin, size, whole in zip(begins, ends, shape, strict=True)
        ]
    else:
        steps = _integers(writer, operator.inputs[3])
        for axis, whole in enumerate(shape[: len(begins)]):
            if operator.option("BeginMask") >> axis & 1:
                begins[axis] = 0
            if operator.option("ShrinkAxisMask") >> axis & 1:
                ends[axis] = begins[axis] + 1 or whole
            elif operator.option("EndMask") >> axis & 1:
                ends[axis] = whole
    axes = [_axis(axis, len(shape)) for axis in range(len(begins))]
    lists = {"begins": begins, "ends": ends, "axes": axes, "steps": steps}
    named = [
        writer.constant(f"{writer.name(result)}.{key}", np.asarray(one, np.int64))
        for key, one in lists.items()
    ]
    if len(writer.tensor(result).shape) == len(shape):
        writer.result(result, "Slice", [writer.read(source), *named])
        return
    cut = writer.add("Slice", [writer.read(source), *named], f"{writer.name(result)}.cut")
    writer.reshape(result, writer.moved(cut, LAST) if len(shape) == 4 else cut)


def _product(writer: GraphWriter, operator: TfOperator) -> None:
    operands = []
    for index, turned in zip(operator.inputs[:2], ("AdjX", "AdjY"), strict=True):
        rank = len(writer.tensor(index).shape)
        name = writer.last(index)
        if operator.option(turned):
            name = writer.moved(name, [*range(rank - 2), rank - 1, rank - 2])
        operands.append(name)
    result = operator.outputs[0]
    made = writer.add("MatMul", operands, f"{writer.name(result)}.product")
    rank = len(writer.tensor(result).shape)
    writer.keep(result, writer.moved(made, FIRST) if rank == 4 else made)


def _convert(writer: GraphWriter, operator: TfOperator) -> None:
    """Quantize, dequantize or cast: the result's own type says what becomes of the numbers."""
    source, result = operator.inputs[0], operator.outputs[0]
    if writer.tensor(result).scales:
        writer.keep(result, writer.read(source))
    elif operator.op == "CAST" or writer.tensor(source).dtype == "float16":
        code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(writer.tensor(result).dtype))
        writer.result(result, "Cast", [writer.read(source)], to=code)
    else:
        writer.result(result, "Identity", [writer.read(source)])


def _square(writer: GraphWriter, operator: TfOperator) -> None:
    sources = [writer.read(one) for one in operator.inputs]
    result = operator.outputs[0]
    if len(sources) > 1:
        rank = len(writer.tensor(result).shape)
        operands = [writer.operand(one, rank) for one in operator.inputs[:2]]
        sources = [writer.add("Sub", operands, f"{writer.name(result)}.difference")]
    writer.result(result, "Mul", [sources[0], sources[0]])


def _inverse_root(writer: GraphWriter, operator: TfOperator) -> None:
    result = operator.outputs[0]
    root = writer.add("Sqrt", [writer.read(operator.inputs[0])], f"{writer.name(result)}.root")
    writer.result(result, "Reciprocal", [root])


def _shape_of(writer: GraphWriter, operator: TfOperator) -> None:
    """Every shape is known: it is a constant."""
    shape, result = writer.tensor(operator.inputs[0]).shape, operator.outputs[0]
    dtype = writer.tensor(result).dtype
    known = writer.constant(f"{writer.name(result)}.known", np.asarray(shape, dtype))
    writer.keep(result, known)


def _largest(writer: GraphWriter, operator: TfOperator) -> None:
    source, axis = operator.inputs[:2]
    rank = len(writer.tensor(source).shape)
    place = _axis(_integers(writer, axis)[0], rank)
    found = writer.add(
        "ArgMax", [writer.read(source)], f"{writer.name(operator.outputs[0])}.index",
        axis=place, keepdims=0,
    )  # fmt: skip
    shape = first(writer.tensor(operator.outputs[0]).shape)
    writer.keep(operator.outputs[0], writer.reshaped(found, shape))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_REDUCE, _reduce),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _pool),
    **dict.fromkeys(("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), _clamp),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _shaping),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), _softmax),
    **dict.fromkeys(("SPLIT", "SPLIT_V"), _split),
    **dict.fromkeys(("PAD", "MIRROR_PAD"), _pad),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    **dict.fromkeys(("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), _blocks),
    **dict.fromkeys(("STRIDED_SLICE", "SLICE"), _slice),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "CAST"), _convert),
    **dict.fromkeys(("SQUARE", "SQUARED_DIFFERENCE"), _square),
    "TRANSPOSE_CONV": _transposed_convolution,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _product,
    "LEAKY_RELU": _leaky,
    "PRELU": _slopes,
    "CONCATENATION": _concat,
    "TRANSPOSE": _transpose,
    "RSQRT": _inverse_root,
    "SHAPE": _shape_of,
    "ARG_MAX": _largest,
}
"""What is known of each operator; others keep their name and have no rule."""
