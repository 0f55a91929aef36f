"""Constants that fold into the convolution or dense layer beside them: norms, biases, pads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from edgebench.profiling.graph import Array, Graph, Node, Value

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def channel_axis(graph: Graph, node: Node) -> int:
    """Return the axis of the output channels of a linear operator."""
    rank = len(graph.values[node.outputs[0]].shape)
    return 1 if node.op in ("Conv", "ConvTranspose") else rank - 1


def fold_constants_into_linear(graph: Graph) -> None:
    """Fold batch norms, biases and per-channel factors into the linear operators before them."""
    for node in graph.nodes:
        if node.op not in ("BatchNormalization", "Add", "Sub", "Mul", "Div"):
            continue
        linear = _foldable(graph, node)
        if linear is None:
            continue
        affine = _affine(graph, node, linear)
        if affine.factor is not None:
            _scale_weight(graph, linear, affine.factor)
        if affine.shift is not None or len(linear.inputs) > 2:
            _give_bias(graph, linear, node, affine)
        linear.folded.append(node.name)
        graph.values[linear.outputs[0]].dtype = graph.values[node.outputs[0]].dtype
        graph.replace(node.outputs[0], linear.outputs[0])
        graph.remove(node)


def _foldable(graph: Graph, node: Node) -> Node | None:
    """Return the linear operator that ``node`` can be folded into, or None.

    Once scales lie between the two, the vendor's tools keep them apart, and so does this.
    """
    inputs = graph.activations(node)
    if len(inputs) != 1 or node.inputs.count(inputs[0]) != 1:
        return None
    if node.op in ("Sub", "Div", "BatchNormalization") and node.inputs[0] != inputs[0]:
        return None
    linear = graph.writer(inputs[0])
    value = graph.values[inputs[0]]
    alone = graph.only_reader(inputs[0]) is node and len(node.outputs) == 1
    if linear is None or linear.op not in LINEAR or not alone or not _is_float(value):
        return None
    if len(linear.inputs) > 3 or not all(graph.is_constant(n) for n in linear.inputs[1:] if n):
        return None
    fits = node.op == "BatchNormalization" or _per_channel(graph, node, linear)
    return linear if fits and _scalable(graph, node, linear) else None


def _per_channel(graph: Graph, node: Node, linear: Node) -> bool:
    """Tell whether the constant operand of ``node`` has one element, or one a channel."""
    result = linear.outputs[0]
    operand = next(name for name in node.inputs if name != result)
    output, shape = graph.values[result].shape, graph.values[operand].shape
    if graph.values[node.outputs[0]].shape != output:
        return False
    axis = channel_axis(graph, linear)
    padded = (1,) * (len(output) - len(shape)) + shape
    return all(
        size == 1 or (index == axis and size == output[axis]) for index, size in enumerate(padded)
    )


def _scalable(graph: Graph, node: Node, linear: Node) -> bool:
    """Tell whether a factor can be put into the weight: integers take it in their scales."""
    weight = graph.values[linear.inputs[1]]
    if node.op in ("Add", "Sub") or weight.quantization is None:
        return True
    axis = weight.quantization.axis
    single = (
        weight.quantization.scale is None
        or prod(graph.values[weight.quantization.scale].shape) == 1
    )
    along = axis is not None and axis % len(weight.shape) == _weight_axis(linear, len(weight.shape))
    return linear.op != "ConvTranspose" and (single or along)


def _weight_axis(linear: Node, rank: int) -> int:
    """Return the axis of the weight's output channels (within a group, if transposed)."""
    if linear.op == "MatMul":
        return rank - 1
    if linear.op == "Gemm":
        return 0 if linear.attributes.get("transB") else 1
    return 1 if linear.op == "ConvTranspose" else 0


@dataclass(frozen=True)
class _Affine:
    """``factor * x + shift``, each of one element or one a channel, made when asked for."""

    factor: Callable[[], Array] | None
    shift: Callable[[], Array] | None
    operand: str = ""


def _affine(graph: Graph, node: Node, linear: Node) -> _Affine:
    """Return what ``node`` computes of the result of ``linear``."""
    if node.op == "BatchNormalization":
        scale, bias, mean, variance = (graph.values[name] for name in node.inputs[1:5])
        epsilon = float(node.attributes.get("epsilon", 1e-5))

        def factor() -> Array:
            return _flat(scale) / np.sqrt(_flat(variance) + epsilon)

        return _Affine(factor, lambda: _flat(bias) - _flat(mean) * factor())
    operand = next(name for name in node.inputs if name != linear.outputs[0])
    value = graph.values[operand]
    if node.op == "Mul":
        return _Affine(lambda: _flat(value), None, operand)
    if node.op == "Div":
        return _Affine(lambda: 1 / _flat(value), None, operand)
    sign = 1 if node.op == "Add" else -1
    return _Affine(None, lambda: sign * _flat(value), operand)


def _flat(value: Value) -> Array:
    """Return a constant as a vector of float64."""
    found: Array = np.asarray(value.real(), np.float64).reshape(-1)
    return found


def _scale_weight(graph: Graph, linear: Node, factor: Callable[[], Array]) -> None:
    """Let ``linear`` read its weight times ``factor``; integers keep theirs, their scales grow."""
    old = graph.values[linear.inputs[1]]
    name = graph.fresh(f"{linear.name}.weight")
    new = replace(old, name=name, reference=old.reference or old.name, tensor=None, array=None)
    new.decode = None
    axis, group = _weight_axis(linear, len(old.shape)), int(linear.attributes.get("group", 1))

    def scaled() -> Array:
        factors = factor()
        weight = old.real()
        shape = [1] * weight.ndim
        shape[axis] = -1
        if linear.op == "ConvTranspose" and factors.size > 1:  # its first axis holds the groups
            each = factors.reshape(group, 1, -1)
            spread = np.broadcast_to(each, (group, weight.shape[0] // group, weight.shape[1]))
            factors = spread.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
            shape = list(factors.shape)
        result: Array = (weight * factors.reshape(shape)).astype(weight.dtype)
        return result

    new.compute = scaled
    if old.quantization is not None and old.quantization.scale is not None:
        new.compute, new.decode = old.content, scaled
        new.quantization = replace(
            old.quantization,
            scale=_scaled_scale(graph, linear, old.quantization.scale, factor),
            axis=axis,
        )
    graph.values[name] = new
    graph.set_input(linear, 1, name)


def _scaled_scale(graph: Graph, linear: Node, scale: str, factor: Callable[[], Array]) -> str:
    """Add the scale of a weight that carries a factor; return its name."""
    old = graph.values[scale]
    channels = graph.values[linear.outputs[0]].shape[channel_axis(graph, linear)]
    name = graph.fresh(f"{linear.name}.weight_scale")
    graph.values[name] = Value(
        name,
        (channels,),
        old.dtype,
        constant=True,
        compute=lambda: np.broadcast_to(_flat(old) * factor(), (channels,)).astype(np.float32),
    )
    return name


def _give_bias(graph: Graph, linear: Node, node: Node, affine: _Affine) -> None:
    """Give ``linear`` the bias of one element a channel that it has with ``node`` in it.

    One that an addition brings as it is stays the constant that holds it.
    """
    channels = graph.values[linear.outputs[0]].shape[channel_axis(graph, linear)]
    old = graph.values[linear.inputs[2]] if len(linear.inputs) > 2 and linear.inputs[2] else None
    operand = graph.values.get(affine.operand) if affine.factor is None else None
    name = graph.fresh(f"{linear.name}.bias")
    beta = float(linear.attributes.get("beta", 1.0)) if linear.op == "Gemm" else 1.0
    if old is None and operand is not None and prod(operand.shape) == channels:
        graph.values[name] = _reshaped(operand, name, negative=node.op == "Sub")
    elif old is None and affine.shift is None:
        return
    else:
        graph.values[name] = Value(
            name,
            (channels,),
            _float_of(graph.values[linear.inputs[1]]),
            constant=True,
            reference=None if old is None else old.reference or old.name,
            compute=lambda: _combined(old, affine, beta, channels),
        )
    if linear.op == "Gemm":
        linear.attributes["beta"] = 1.0
    graph.set_input(linear, 2, name)


def _reshaped(operand: Value, name: str, *, negative: bool) -> Value:
    """Return the operand of an addition, or of a subtraction, as a bias."""
    shape, reference = (prod(operand.shape),), operand.reference or operand.name
    if negative:
        return Value(
            name,
            shape,
            "float32" if operand.dequantized else operand.dtype,
            constant=True,
            reference=reference,
            compute=lambda: -operand.real().reshape(shape),
        )
    moved = replace(
        operand, name=name, shape=shape, reference=reference, tensor=None, array=None,
        compute=lambda: operand.content().reshape(shape),
    )  # fmt: skip
    if operand.decode is not None and operand.quantization is not None:
        moved.decode = lambda: operand.real().reshape(shape)
        moved.quantization = replace(operand.quantization, axis=0)
    return moved


def _combined(old: Value | None, affine: _Affine, beta: float, channels: int) -> Array:
    """Return the bias of a linear operator with ``affine`` behind it."""
    total: Array = np.zeros(channels) if old is None else beta * _flat(old)
    if affine.factor is not None:
        total = total * affine.factor()
    if affine.shift is not None:
        total = total + affine.shift()
    result: Array = np.broadcast_to(total, (channels,)).astype(np.float32)
    return result


def _float_of(weight: Value) -> str:
    """Return the type of a bias beside ``weight``: float32 beside integers, which it is in ONNX."""
    return weight.dtype if _is_float(weight) else "float32"


def _is_float(value: Value) -> bool:
    return value.dtype.startswith(("float", "bfloat"))


def merge_pads(graph: Graph) -> None:
    """Merge zero pads of the image's sides into the convolutions that alone read them."""
    for node in reversed(graph.nodes):
        conv = graph.only_reader(node.outputs[0]) if node.op == "Pad" else None
        if conv is None or conv.op != "Conv" or conv.inputs[0] != node.outputs[0]:
            continue
        pads = pad_amounts(graph, node)
        if pads is None or not _is_zero_pad(graph, node):
            continue
        rank = len(graph.values[node.inputs[0]].shape)
        if any(pads[:2]) or any(pads[rank : rank + 2]) or min(pads) < 0:
            continue
        sides = rank - 2
        old = explicit_pads(graph, conv)
        conv.attributes["pads"] = [
            old[index] + pads[(2 if index < sides else rank + 2) + index % sides]
            for index in range(2 * sides)
        ]
        conv.attributes.pop("auto_pad", None)
        conv.own_pads = conv.own_pads or tuple(old)
        conv.folded.append(node.name)
        graph.bypass(node)


def pad_amounts(graph: Graph, node: Node) -> list[int] | None:
    """Return the amounts of a Pad (begins, then ends, one an axis), or None where not constant."""
    rank = len(graph.values[node.inputs[0]].shape)
    if "pads" in node.attributes:
        return [int(one) for one in node.attributes["pads"]]
    if "paddings" in node.attributes:  # its name in opset 1
        return [int(one) for one in node.attributes["paddings"]]
    data = graph.data(node.inputs[1]) if len(node.inputs) > 1 else None
    if data is None:
        return None
    amounts = [int(one) for one in data.reshape(-1)]
    axes = graph.data(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else None
    if axes is None:
        return amounts
    full = [0] * (2 * rank)
    for index, axis in enumerate(int(a) % rank for a in axes.reshape(-1)):
        full[axis], full[axis + rank] = amounts[index], amounts[index + axes.size]
    return full


def _is_zero_pad(graph: Graph, node: Node) -> bool:
    mode = node.attributes.get("mode", b"constant")
    if mode != b"constant":
        return False
    if "pads" in node.attributes or "paddings" in node.attributes:
        return float(node.attributes.get("value", 0.0)) == 0.0
    value = graph.values[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    if value is None or value.dtype in ("int8", "uint8"):
        return True  # quantized: the pad is the zero point
    data = value.data()
    return data is not None and not data.any()


def explicit_pads(graph: Graph, node: Node) -> list[int]:
    """Return the pads of a convolution or pool (begins, then ends), with ``auto_pad`` resolved."""
    shape = graph.values[node.inputs[0]].shape[2:]
    sides = len(shape)
    mode = node.attributes.get("auto_pad", b"NOTSET")
    if node.op == "ConvTranspose" and ("output_shape" in node.attributes or mode != b"NOTSET"):
        return _transposed_pads(graph, node)
    if mode in (b"NOTSET", b""):
        return list(node.attributes.get("pads", [0] * 2 * sides))
    if mode == b"VALID":
        return [0] * 2 * sides
    begins, ends = [], []
    kernel, strides, dilations = window(graph, node)
    for size, span, stride, dilation in zip(shape, kernel, strides, dilations, strict=True):
        reach = (span - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if mode == b"SAME_UPPER" else large)
        ends.append(large if mode == b"SAME_UPPER" else small)
    return begins + ends


def _transposed_pads(graph: Graph, node: Node) -> list[int]:
    """Return the pads by which a transposed convolution reaches the size that it must have."""
    mode = node.attributes.get("auto_pad", b"NOTSET")
    sizes = graph.values[node.inputs[0]].shape[2:]
    wanted = graph.values[node.outputs[0]].shape[2:]
    extra = node.attributes.get("output_padding", [0] * len(sizes))
    kernel, strides, dilations = window(graph, node)
    begins, ends = [], []
    for index, (size, out) in enumerate(zip(sizes, wanted, strict=True)):
        reach = (kernel[index] - 1) * dilations[index] + 1
        total = max(strides[index] * (size - 1) + extra[index] + reach - out, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if mode == b"SAME_UPPER" else large)
        ends.append(large if mode == b"SAME_UPPER" else small)
    return begins + ends


def window(graph: Graph, node: Node) -> tuple[list[int], list[int], list[int]]:
    """Return the kernel sizes, strides and dilations of a convolution or pool."""
    sides = len(graph.values[node.inputs[0]].shape) - 2
    if node.op in ("Conv", "ConvTranspose"):
        kernel = list(graph.values[node.inputs[1]].shape[2:])
    elif node.op.startswith("Global"):
        kernel = list(graph.values[node.inputs[0]].shape[2:])
        return kernel, list(kernel), [1] * sides
    else:
        kernel = list(node.attributes["kernel_shape"])
    strides = list(node.attributes.get("strides", [1] * sides))
    return kernel, strides, list(node.attributes.get("dilations", [1] * sides))
