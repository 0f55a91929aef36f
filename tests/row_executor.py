"""Runs the rows of a profile in numpy, from nothing but the rows and the constants they name.

It is the proof that the rows are complete: every operand comes from `Operator.operands`, every
number from `Operator.attributes` or `constant_data`, never from the ONNX file. Integers are
computed as real numbers in float64 and rounded where the row's result has a scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebench.profiling import Constant, Operator, Profile, Quantization, Tensor

Array = npt.NDArray[Any]
Row = Callable[[Operator, list[Array | None]], Array | list[Array]]


def run(
    profile: Profile, constants: Mapping[str, Array], feeds: Mapping[str, Array]
) -> list[Array]:
    """Return the outputs of ``profile`` for real-valued inputs, as real numbers."""
    values: dict[str, Array] = {}
    for name in profile.inputs:
        values[name] = _held(feeds[name], profile.tensors[name], constants)
    for operator in profile.operators:
        operands = [
            None if one is None else _read(one, values, constants) for one in operator.operands
        ]
        shapes = [profile.tensors[name].shape for name in operator.outputs]
        if operator.op in RESHAPES and operands[0] is not None:
            results: Array | list[Array] = operands[0].reshape(shapes[0])
        else:
            results = ROWS[operator.op](operator, operands)
        every = results if isinstance(results, list) else [results]
        for name, result in zip(operator.outputs, every, strict=True):
            tensor = profile.tensors[name]
            assert result.shape == tensor.shape, (operator, result.shape)
            values[name] = _held(result, tensor, constants)
    return [_real(values[name], profile.tensors[name].quantization, constants)
            for name in profile.outputs]  # fmt: skip


def _read(tensor: Tensor, values: Mapping[str, Array], constants: Mapping[str, Array]) -> Array:
    """Return an operand as the operator that reads it sees it."""
    held = constants[tensor.value] if isinstance(tensor, Constant) else values[tensor.name]
    assert held.shape == tensor.shape, tensor
    return _real(held, tensor.quantization, constants)


def _real(held: Array, quantization: Quantization | None, constants: Mapping[str, Array]) -> Array:
    if quantization is None:
        return held
    scale, zero = _parameters(quantization, held.ndim, constants)
    return (held.astype(np.float64) - zero) * scale


def _held(real: Array, tensor: Tensor, constants: Mapping[str, Array]) -> Array:
    """Return a result as it is held: rounded half to even and saturated where it has a scale."""
    if tensor.quantization is None or not tensor.quantized:
        return real
    scale, zero = _parameters(tensor.quantization, real.ndim, constants)
    limits = np.iinfo(tensor.dtype)
    # The quotient in single precision, as the runtime has it: it decides what is a tie.
    quotient = (real.astype(np.float32) / np.float32(scale)).astype(np.float64)
    return np.clip(np.round(quotient) + zero, limits.min, limits.max)


def _parameters(
    quantization: Quantization, rank: int, constants: Mapping[str, Array]
) -> tuple[Any, Any]:
    shape = [1] * rank
    if quantization.axis is not None:
        shape[quantization.axis] = -1

    def along(name: str | None, default: float) -> Any:
        if name is None:
            return default
        array = constants[name].astype(np.float64)
        return array.reshape(shape) if array.size > 1 else float(array.reshape(-1)[0])

    return along(quantization.scale, 1.0), along(quantization.zero_point, 0.0)


# Windows ------------------------------------------------------------------------------------------


def _windows(operator: Operator, image: Array, fill: float) -> tuple[Array, Array]:
    """Return the patches [N, C, OH, OW, KH, KW] of an image, and which of them lie inside it."""
    attributes = operator.attributes
    top, left, bottom, right = attributes["pads"]
    spans = [
        (size - 1) * dilation + 1
        for size, dilation in zip(attributes["kernel"], attributes["dilations"], strict=True)
    ]
    more = max(spans) + max(attributes["strides"]) if attributes.get("ceil_mode") else 0
    widths = ((0, 0), (0, 0), (top, bottom + more), (left, right + more))
    padded = np.pad(image, widths, constant_values=fill)
    inside = np.pad(np.ones(image.shape), widths)
    if attributes.get("count_include_pad"):
        inside[:, :, : image.shape[2] + top + bottom, : image.shape[3] + left + right] = 1
    pair = [
        np.lib.stride_tricks.sliding_window_view(one, spans, (2, 3))[
            :,
            :,
            :: attributes["strides"][0],
            :: attributes["strides"][1],
            :: attributes["dilations"][0],
            :: attributes["dilations"][1],
        ]
        for one in (padded, inside)
    ]
    return pair[0], pair[1]


def _image(array: Array) -> Array:
    """Return a signal as an image whose height it is."""
    return array[..., None] if array.ndim == 3 else array


def _flat(result: Array, source: Array) -> Array:
    """Return an image as the signal that the operator's input was."""
    return result[..., 0] if source.ndim == 3 else result


def _conv(operator: Operator, operands: list[Array | None]) -> Array:
    source, weight, *rest = operands
    assert source is not None
    assert weight is not None
    kernel = _image(weight).astype(np.float64)
    patches, _ = _windows(operator, _image(source).astype(np.float64), 0.0)
    group = operator.attributes["group"]
    inputs = np.split(patches, group, axis=1)
    filters = np.split(kernel, group, axis=0)
    parts = [
        np.einsum("nchwij,ocij->nohw", i, f, optimize=True)
        for i, f in zip(inputs, filters, strict=True)
    ]
    result = np.concatenate(parts, axis=1)
    if rest and rest[0] is not None:
        result = result + rest[0].astype(np.float64).reshape(1, -1, 1, 1)
    result = _flat(result, source)
    return result + rest[1] if len(rest) > 1 and rest[1] is not None else result


def _deconv(operator: Operator, operands: list[Array | None]) -> Array:
    source, weight, *rest = operands
    assert source is not None
    assert weight is not None
    attributes = operator.attributes
    (kh, kw), (sh, sw), (dh, dw) = (attributes[k] for k in ("kernel", "strides", "dilations"))
    top, left, bottom, right = attributes["pads"]
    extra = (*attributes.get("output_padding", ()), 0, 0)
    parts = []
    group = attributes["group"]
    for image, filters in zip(
        np.split(source, group, axis=1), np.split(weight, group, axis=0), strict=True
    ):
        _, _, height, width = image.shape
        whole = np.zeros(
            (
                image.shape[0],
                filters.shape[1],
                (height - 1) * sh + (kh - 1) * dh + 1 + extra[0],
                (width - 1) * sw + (kw - 1) * dw + 1 + extra[1],
            )
        )
        for row in range(kh):
            for column in range(kw):
                y, x = row * dh, column * dw
                whole[:, :, y : y + height * sh : sh, x : x + width * sw : sw][
                    :, :, :height, :width
                ] += np.einsum("nchw,co->nohw", image, filters[:, :, row, column])
        parts.append(whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right])
    result = np.concatenate(parts, axis=1)
    bias = rest[0] if rest else None
    return result if bias is None else result + bias.reshape(1, -1, 1, 1)


def _pool(operator: Operator, operands: list[Array | None]) -> Array:
    [source] = operands
    assert source is not None
    if operator.op.startswith("Reduce"):
        return _reduce(operator, operands)
    maximum = operator.op in ("MaxPool", "GlobalMaxPool")
    fill = -math.inf if maximum else 0.0
    patches, inside = _windows(operator, _image(source).astype(np.float64), fill)
    result = patches.max((4, 5)) if maximum else patches.sum((4, 5)) / inside.sum((4, 5))
    if operator.attributes.get("ceil_mode"):
        shape = _ceiled(operator, _image(source).shape)
        result = result[:, :, : shape[0], : shape[1]]
    return _flat(result, source)


def _ceiled(operator: Operator, shape: tuple[int, ...]) -> tuple[int, int]:
    attributes = operator.attributes
    pads = attributes["pads"]
    found = []
    for axis in (0, 1):
        span = (attributes["kernel"][axis] - 1) * attributes["dilations"][axis] + 1
        stride = attributes["strides"][axis]
        size = shape[2 + axis]
        count = math.ceil((size + pads[axis] + pads[axis + 2] - span) / stride) + 1
        found.append(count - ((count - 1) * stride >= size + pads[axis]))
    return found[0], found[1]


def _reduce(operator: Operator, operands: list[Array | None]) -> Array:
    source = operands[0]
    assert source is not None
    functions: dict[str, Callable[..., Array]] = {
        "ReduceMean": np.mean, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceSum": np.sum,
        "ReduceSumSquare": lambda x, **more: np.sum(x * x, **more),
        "ReduceL2": lambda x, **more: np.sqrt(np.sum(x * x, **more)),
        "ReduceL1": lambda x, **more: np.sum(np.abs(x), **more),
    }  # fmt: skip
    keep = bool(operator.attributes["keepdims"])
    return functions[operator.op](source, axis=operator.attributes["axes"], keepdims=keep)


# Products -----------------------------------------------------------------------------------------


def _gemm(operator: Operator, operands: list[Array | None]) -> Array:
    left, right, *rest = operands
    assert left is not None
    assert right is not None
    attributes = operator.attributes
    left = left.T if attributes["transA"] else left
    right = right.T if attributes["transB"] else right
    result = attributes["alpha"] * (left.astype(np.float64) @ right.astype(np.float64))
    bias = rest[0] if rest else None
    return result if bias is None else result + attributes["beta"] * bias


def _matmul(operator: Operator, operands: list[Array | None]) -> Array:
    left, right, *rest = operands
    assert left is not None
    assert right is not None
    result = float(operator.attributes.get("alpha", 1.0)) * (
        left.astype(np.float64) @ right.astype(np.float64)
    )
    bias = rest[0] if rest else None
    return result if bias is None else result + bias


# Norms --------------------------------------------------------------------------------------------


def _along(vector: Array, axis: int, rank: int) -> Array:
    return vector.reshape([-1 if index == axis else 1 for index in range(rank)])


def _batch_norm(operator: Operator, operands: list[Array | None]) -> Array:
    source, scale, bias, mean, variance = (np.asarray(one, np.float64) for one in operands)
    parts = [_along(one, 1, source.ndim) for one in (scale, bias, mean, variance)]
    deviation = np.sqrt(parts[3] + operator.attributes["epsilon"])
    result: Array = (source - parts[2]) / deviation * parts[0] + parts[1]
    return result


def _layer_norm(operator: Operator, operands: list[Array | None]) -> Array:
    source, scale, *rest = operands
    assert source is not None
    axes = tuple(range(operator.attributes["axis"], source.ndim))
    real = source.astype(np.float64)
    centred = real - real.mean(axes, keepdims=True)
    deviation = np.sqrt(real.var(axes, keepdims=True) + operator.attributes["epsilon"])
    result = centred / deviation * scale
    return result + rest[0] if rest and rest[0] is not None else result


def _instance_norm(operator: Operator, operands: list[Array | None]) -> Array:
    source, scale, bias = (np.asarray(one, np.float64) for one in operands)
    axes = tuple(range(2, source.ndim))
    deviation = np.sqrt(source.var(axes, keepdims=True) + operator.attributes["epsilon"])
    normal = (source - source.mean(axes, keepdims=True)) / deviation
    result: Array = normal * _along(scale, 1, source.ndim) + _along(bias, 1, source.ndim)
    return result


def _lrn(operator: Operator, operands: list[Array | None]) -> Array:
    [source] = operands
    assert source is not None
    attributes, real = operator.attributes, source.astype(np.float64)
    size = attributes["size"]
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    square = np.pad(real**2, ((0, 0), (before, after), *[(0, 0)] * (real.ndim - 2)))
    total = sum(square[:, index : index + real.shape[1]] for index in range(size))
    share = attributes["bias"] + attributes["alpha"] / size * total
    result: Array = real / share ** attributes["beta"]
    return result


def _softmax(operator: Operator, operands: list[Array | None]) -> Array:
    [source] = operands
    assert source is not None
    axes = operator.attributes["axes"]
    real = source.astype(np.float64)
    powers = np.exp(real - real.max(axes, keepdims=True))
    shares = powers / powers.sum(axes, keepdims=True)
    return np.log(shares) if operator.op == "LogSoftmax" else shares


# Elements and moves -------------------------------------------------------------------------------


def _unary(function: Callable[[Mapping[str, Any], Array], Array]) -> Row:
    def row(operator: Operator, operands: list[Array | None]) -> Array:
        [source] = operands[:1]
        assert source is not None
        return function(operator.attributes, source)

    return row


def _binary(function: Callable[[Array, Array], Array]) -> Row:
    def row(_: Operator, operands: list[Array | None]) -> Array:
        return reduce(function, [one for one in operands if one is not None])

    return row


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu(attributes: Mapping[str, Any], x: Array) -> Array:
    if attributes["approximate"] == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(inner))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x.astype(np.float64)))
    return result


def _clip(operator: Operator, operands: list[Array | None]) -> Array:
    source, *bounds = operands
    assert source is not None
    low, high = (*bounds, None, None)[:2]
    low = operator.attributes.get("min", low)
    high = operator.attributes.get("max", high)
    return np.clip(source, -math.inf if low is None else low, math.inf if high is None else high)


def _slice(operator: Operator, operands: list[Array | None]) -> Array:
    source = operands[0]
    assert source is not None
    bounds = (operator.attributes[name] for name in ("starts", "ends", "steps"))
    for axis, (start, end, step) in enumerate(zip(*bounds, strict=True)):
        source = source.take(range(start, end, step), axis=axis)
    return source


def _split(operator: Operator, operands: list[Array | None]) -> list[Array]:
    source = operands[0]
    assert source is not None
    edges = np.cumsum(operator.attributes["split"])[:-1]
    return list(np.split(source, edges, axis=operator.attributes["axis"]))


def _pad(operator: Operator, operands: list[Array | None]) -> Array:
    source = operands[0]
    assert source is not None
    pads = operator.attributes["pads"]
    widths = list(zip(pads[: source.ndim], pads[source.ndim :], strict=True))
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge"}
    mode = modes[operator.attributes["mode"]]
    more = {"constant_values": operator.attributes.get("value", 0.0)} if mode == "constant" else {}
    return np.pad(source, widths, mode=mode, **more)  # type: ignore[call-overload]  # by name


def _depth_to_space(operator: Operator, operands: list[Array | None]) -> Array:
    [source] = operands
    assert source is not None
    block, (n, c, h, w) = operator.attributes["blocksize"], source.shape
    if operator.attributes["mode"] == "CRD":
        parts = source.reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    else:
        parts = source.reshape(n, block, block, c // block**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(operator: Operator, operands: list[Array | None]) -> Array:
    [source] = operands
    assert source is not None
    block, (n, c, h, w) = operator.attributes["blocksize"], source.shape
    parts = source.reshape(n, c, h // block, block, w // block, block)
    return parts.transpose(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


def _cast(operator: Operator, operands: list[Array | None]) -> Array:
    from onnx import helper

    source = operands[0]
    assert source is not None
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(operator.attributes["to"]))
    return source.astype(kind)


def _expand(operator: Operator, operands: list[Array | None]) -> Array:
    source = operands[0]
    assert source is not None
    return source * np.ones(operator.attributes["shape"])


def _gather(operator: Operator, operands: list[Array | None]) -> Array:
    source, positions = operands
    assert source is not None
    assert positions is not None
    return source.take(positions.astype(np.int64), axis=operator.attributes["axis"])


def _resize(operator: Operator, operands: list[Array | None]) -> Array:
    source = operands[0]
    assert source is not None
    assert operator.attributes["mode"] == "nearest"
    assert operator.attributes["coordinate_transformation_mode"] == "asymmetric"
    assert operator.attributes["nearest_mode"] == "floor"
    for axis, scale in enumerate(operator.attributes["scales"]):
        count = int(source.shape[axis] * scale)
        source = source.take([int(index / scale) for index in range(count)], axis=axis)
    return source


RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators whose row is the shape of their result."""

ROWS: dict[str, Row] = {
    "Conv": _conv, "ConvTranspose": _deconv, "Gemm": _gemm, "MatMul": _matmul,
    "MaxPool": _pool, "AveragePool": _pool, "GlobalAveragePool": _pool, "GlobalMaxPool": _pool,
    "ReduceMean": _reduce, "ReduceMax": _reduce, "ReduceMin": _reduce, "ReduceSum": _reduce,
    "ReduceSumSquare": _reduce, "ReduceL2": _reduce, "ReduceL1": _reduce,
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm, "LRN": _lrn,
    "Softmax": _softmax, "LogSoftmax": _softmax,
    "Add": _binary(np.add), "Sub": _binary(np.subtract), "Mul": _binary(np.multiply),
    "Div": _binary(np.divide), "Min": _binary(np.minimum), "Max": _binary(np.maximum),
    "Sum": _binary(np.add), "Pow": _binary(np.power), "Equal": _binary(np.equal),
    "Greater": _binary(np.greater), "Less": _binary(np.less),
    "Concat": lambda operator, operands: np.concatenate(
        [one for one in operands if one is not None], axis=operator.attributes["axis"]
    ),
    "Where": lambda _, operands: np.where(*operands),  # type: ignore[call-overload]  # three
    "Slice": _slice, "Split": _split, "Pad": _pad, "Gather": _gather, "Expand": _expand,
    "Tile": _unary(lambda a, x: np.tile(x, a["repeats"])),
    "Transpose": _unary(lambda a, x: x.transpose(a["perm"])),
    "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "Resize": _resize,
    "Cast": _cast, "QuantizeLinear": _unary(lambda _, x: x),
    "DequantizeLinear": _unary(lambda _, x: x),
    "Relu": _unary(lambda _, x: np.maximum(x, 0)), "Clip": _clip,
    "LeakyRelu": _unary(lambda a, x: np.where(x < 0, a["alpha"] * x, x)),
    "PRelu": lambda _, operands: np.where(operands[0] < 0, operands[1] * operands[0], operands[0]),  # type: ignore[operator]  # two
    "ThresholdedRelu": _unary(lambda a, x: np.where(x > a["alpha"], x, 0)),
    "Elu": _unary(lambda a, x: np.where(x < 0, a["alpha"] * np.expm1(x), x)),
    "Celu": _unary(lambda a, x: np.maximum(x, 0)
                   + np.minimum(0, a["alpha"] * np.expm1(x / a["alpha"]))),
    "Selu": _unary(lambda a, x: a["gamma"] * np.where(x < 0, a["alpha"] * np.expm1(x), x)),
    "Sigmoid": _unary(lambda _, x: _sigmoid(x)),
    "HardSigmoid": _unary(lambda a, x: np.clip(a["alpha"] * x + a["beta"], 0, 1)),
    "HardSwish": _unary(lambda _, x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "Swish": _unary(lambda a, x: x * _sigmoid(a["alpha"] * x)),
    "Mish": _unary(lambda _, x: x * np.tanh(np.log1p(np.exp(x)))),
    "Tanh": _unary(lambda _, x: np.tanh(x)), "Gelu": _unary(_gelu),
    "Softplus": _unary(lambda _, x: np.log1p(np.exp(x))),
    "Softsign": _unary(lambda _, x: x / (1 + np.abs(x))),
    "Erf": _unary(lambda _, x: _erf(x)), "Exp": _unary(lambda _, x: np.exp(x)),
    "Log": _unary(lambda _, x: np.log(x)), "Sqrt": _unary(lambda _, x: np.sqrt(x)),
    "Reciprocal": _unary(lambda _, x: 1 / x), "Neg": _unary(lambda _, x: -x),
    "Abs": _unary(lambda _, x: np.abs(x)), "Floor": _unary(lambda _, x: np.floor(x)),
    "Ceil": _unary(lambda _, x: np.ceil(x)), "Round": _unary(lambda _, x: np.round(x)),
    "Sign": _unary(lambda _, x: np.sign(x)), "Sin": _unary(lambda _, x: np.sin(x)),
    "Cos": _unary(lambda _, x: np.cos(x)),
    "ArgMax": _unary(lambda a, x: x.argmax(a["axis"], keepdims=bool(a["keepdims"]))),
}  # fmt: skip
"""How each operator is computed from its row."""
