"""Rows carry all that a code generator needs: run in numpy, they equal ONNX Runtime."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import export_cases
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import QuantizedPad, Sketchpad
from row_executor import run

from edgebench.export import quantize
from edgebench.profiling import Constant, constant_data, profile

Array = np.ndarray[Any, Any]


def with_data(model: onnx.ModelProto, seed: int = 0) -> onnx.ModelProto:
    """Return ``model`` with random numbers in the initializers that have none.

    Scales and variances are positive, the zero points of biases 0, and weights small.
    """
    generator = np.random.default_rng(seed)
    positive = {name for node in model.graph.node for name in _positive(node)}
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    for tensor in filled.graph.initializer:
        if tensor.raw_data or any(field.name.endswith("_data") for field, _ in tensor.ListFields()):
            continue
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        shape = tuple(tensor.dims)
        if tensor.name in positive:
            array = generator.uniform(0.02, 0.06, shape)
        elif dtype == np.float32:
            array = generator.normal(0, 0.4, shape)
        elif tensor.name.endswith(".z") and dtype == np.int32:
            array = np.zeros(shape)
        else:
            limit = 3 if tensor.name.endswith((".z", "z")) else 100
            array = generator.integers(0 if dtype == np.uint8 else -limit, limit, shape)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(array, dtype), tensor.name))
    return filled


def _positive(node: onnx.NodeProto) -> list[str]:
    """Return the inputs of a node that must be positive."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return [node.input[1]]
    if node.op_type == "BatchNormalization":
        return [node.input[4]]
    return [name for name in node.input if name == "s"]


def expected(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """Return what ONNX Runtime computes, node by node as the file has them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [np.asarray(one) for one in session.run(None, feeds)]


def check(model: onnx.ModelProto, steps: float = 0.0, images: int = 3) -> None:
    """Compare the rows of ``model`` with ONNX Runtime on random images.

    ``steps`` is by how many scales of its output an integer model may differ: its sums are in
    single precision there and may lie on the other side of a tie.
    """
    found, constants = constant_data(model)
    [name] = found.inputs
    shape = found.tensors[name].shape
    for seed in range(images):
        image = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
        ours = run(found, constants, {name: image})
        theirs = expected(model, {name: image})
        for mine, other, output in zip(ours, theirs, found.outputs, strict=True):
            quantization = found.tensors[output].quantization
            allowed = 1e-4
            if quantization is not None and quantization.scale is not None:
                allowed = steps * float(constants[quantization.scale].max()) + 1e-6
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=allowed)


def graph(write: Callable[[Sketchpad], str], **more: Any) -> onnx.ModelProto:
    """Return the model that ``write`` draws, with numbers in its weights."""
    pad = Sketchpad()
    return with_data(pad.model(write(pad), **more))


# Families -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", export_cases.cases(), ids=export_cases.label)
def test_every_family_in_floats(case: export_cases.Case) -> None:
    """Each family with each of its named choices, as it is exported."""
    check(export_cases.exported(case)[1], images=1)


@pytest.mark.parametrize(
    "case", [c for c in export_cases.cases() if not c[1]], ids=export_cases.label
)
def test_every_family_in_integers(case: export_cases.Case) -> None:
    """The int8 graph of each family: within one step of its output."""
    images = export_cases.images_of(case, 16)
    check(quantize(export_cases.exported(case)[1], images, count=16), steps=1.01, images=1)


# Graphs -------------------------------------------------------------------------------------------


def residual(pad: Sketchpad) -> str:
    """Draw a residual block with batch norms, and a dense layer."""
    value = pad.add("Relu", [normed(pad, "input", 8, 3)])
    inner = normed(pad, pad.add("Relu", [normed(pad, value, 8, 8)]), 8, 8)
    value = pad.add("Relu", [pad.add("Add", [value, inner])])
    return pad.dense(pad.add("Flatten", [pad.add("GlobalAveragePool", [value])]), 10, 8)


def normed(pad: Sketchpad, source: str, outputs: int, inputs: int, **more: Any) -> str:
    """Draw a convolution without a bias and its batch norm."""
    name = f"c{len(pad.nodes)}"
    weight = pad.weight(f"{name}.w", outputs, inputs // more.get("group", 1), 3, 3)
    value = pad.add("Conv", [source, weight], name, pads=[1, 1, 1, 1], **more)
    norm = [pad.weight(f"{name}.n{index}", outputs) for index in range(4)]
    return pad.add("BatchNormalization", [value, *norm])


def depthwise(pad: Sketchpad) -> str:
    """Draw a depthwise-separable block with a stride, ReLU6, and Keras' asymmetric zero pad."""
    value = pad.add("Clip", [normed(pad, "input", 6, 3), *_bounds(pad)])
    padded = pad.add("Pad", [value, pad.data("p", [0, 0, 0, 0, 0, 0, 1, 1])])
    value = pad.conv(padded, 6, 6, group=6, strides=[2, 2])
    value = pad.conv(pad.add("Clip", [value, *_bounds(pad)]), 12, 6, kernel=1)
    return pad.dense(pad.add("Flatten", [value]), 5, 12 * 16)


def _bounds(pad: Sketchpad) -> list[str]:
    if not any(one.name == "low" for one in pad.weights):
        pad.data("low", 0.0, np.float32)
        pad.data("high", 6.0, np.float32)
    return ["low", "high"]


def attention(pad: Sketchpad) -> str:
    """Draw one head of attention between layer norms, with residuals and a gelu network."""
    image = pad.conv("input", 8, 3, kernel=2, strides=[2, 2])
    tokens = pad.add("Transpose", [pad.add("Reshape", [image, pad.data("r", [0, 8, 16])])],
                     perm=[0, 2, 1])  # fmt: skip
    normal = layer_normed(pad, tokens)
    query, key, value = (
        pad.add("Add", [pad.add("MatMul", [normal, pad.weight(f"{n}w", 8, 8)]),
                        pad.weight(f"{n}b", 8)])
        for n in "qkv"
    )  # fmt: skip
    scores = pad.add("MatMul", [query, pad.add("Transpose", [key], perm=[0, 2, 1])])
    scaled = pad.add("Div", [scores, pad.data("root", np.sqrt(8), np.float32)])
    mixed = pad.add("MatMul", [pad.add("Softmax", [scaled], axis=-1), value])
    tokens = pad.add("Add", [tokens, mixed])
    inner = pad.add("MatMul", [layer_normed(pad, tokens), pad.weight("up", 8, 16)])
    wide = pad.add("Gelu", [pad.add("Add", [inner, pad.weight("upb", 16)])])
    tokens = pad.add("Add", [tokens, pad.add("MatMul", [wide, pad.weight("down", 16, 8)])])
    pooled = pad.add("ReduceMean", [tokens, pad.data("one", [1])], keepdims=0)
    return pad.dense(pooled, 10, 8)


def layer_normed(pad: Sketchpad, source: str) -> str:
    """Draw a layer norm over the last axis."""
    name = f"ln{len(pad.nodes)}"
    parts = [pad.weight(f"{name}.s", 8), pad.weight(f"{name}.b", 8)]
    return pad.add("LayerNormalization", [source, *parts], axis=-1, epsilon=0.01)


@pytest.mark.parametrize(
    ("write", "more"),
    [(residual, {}), (depthwise, {}), (attention, {"opset": 20})],
    ids=["residual", "depthwise", "attention"],
)
def test_networks(write: Callable[[Sketchpad], str], more: dict[str, Any]) -> None:
    """Hand-written networks in floats, and with every result between a pair."""
    model = graph(write, shape=("batch", 3, 8, 8), **more)
    check(model)
    images = np.random.default_rng(0).normal(0, 1, (8, 3, 8, 8)).astype(np.float32)
    check(qdq(model, images[:1]), steps=1.01)


def qdq(model: onnx.ModelProto, images: Array) -> onnx.ModelProto:
    """Return ``model`` with a pair behind every float result, and its weights in int8.

    Scales a tensor, by the range over ``images``; what no scale suits (norms' vectors) stays.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    results = [name for node in model.graph.node for name in node.output]
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in results)
    found = zip(results, expected(probe, {"input": images}), strict=True)
    ranges = {"input": images} | {n: a for n, a in found if a.dtype == np.float32}
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    del graph.node[:]
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}

    def pair(name: str, array: Array, kind: Any, *, stored: bool) -> None:
        low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
        scale = max(high, -low) / 127 if stored else (high - low) / 255 or 1.0
        zero = 0 if stored else round(-128 - low / scale)
        graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{name}.s"))
        graph.initializer.append(numpy_helper.from_array(np.asarray(zero, kind), f"{name}.z"))
        parts = [f"{name}.s", f"{name}.z"]
        if stored:
            held = np.clip(np.round(array / scale), -127, 127).astype(kind)
            graph.initializer.append(numpy_helper.from_array(held, f"{name}.q"))
        else:
            graph.node.append(helper.make_node("QuantizeLinear", [name, *parts], [f"{name}.q"]))
        node = helper.make_node("DequantizeLinear", [f"{name}.q", *parts], [f"{name}.dq"])
        graph.node.append(node)

    pair("input", images, np.int8, stored=False)
    for node in model.graph.node:
        for name in node.input:
            heavy = node.op_type in ("Conv", "Gemm", "MatMul") and name == node.input[1]
            if heavy and name in weights and f"{name}.s" not in {i.name for i in graph.initializer}:
                pair(name, weights[name], np.int8, stored=True)
                ranges[name] = weights[name]
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [f"{name}.dq" if name in ranges else name for name in node.input]
        for name in node.output:
            if name in ranges:
                pair(name, ranges[name], np.int8, stored=False)
    for output in graph.output:
        output.name += ".dq"
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


def single(
    op: str, *operands: Any, opset: int = 18, code: int = TensorProto.FLOAT, **attributes: Any
) -> onnx.ModelProto:
    """Return a model of one operator behind a pointwise convolution: what it reads is computed.

    ``"x"`` among the operands is the convolution's result [1, 4, 8, 8]; arrays are constants.
    """
    pad = Sketchpad()
    value = pad.conv("input", 4, 3, kernel=1)
    value = pad.add("Softsign", [value])  # nothing folds through it
    names = [
        operand if isinstance(operand, str) else pad.data(f"k{index}", operand, operand.dtype)
        for index, operand in enumerate(
            {"x": value, None: ""}[one] if one is None or isinstance(one, str) else np.asarray(one)
            for one in operands
        )
    ]
    model = pad.model(pad.add(op, names, "out", **attributes), opset=opset)
    model.graph.output[0].type.tensor_type.elem_type = code
    return with_data(model)


F = np.float32
CHANNELS = np.linspace(-1, 1, 4, dtype=F).reshape(4, 1, 1)


@pytest.mark.parametrize(
    "model",
    [
        single("Sub", "x", CHANNELS),
        single("Sub", CHANNELS, "x"),
        single("Div", CHANNELS, "x"),
        single("Pow", "x", F(2)),
        single("Slice", "x", [1, -1], [3, -9], [1, 3], [1, -2]),
        single("Slice", "x", [2], [np.iinfo(np.int64).max], [2]),
        single("Slice", "x", opset=9, starts=[1, 2], ends=[4, 7], axes=[1, 2]),
        single("Pad", "x", [0, 1, 2, 1, 0, 0, 0, 1], F(0.5)),
        single("Pad", "x", [1, 2, 1, 0], None, [2, 3], mode="reflect"),
        single("Clip", "x", F(-0.3), None),
        single("Clip", "x", opset=6, min=-0.2, max=0.1),
        single("BatchNormalization", "x", F([1, 2, 3, 4]), F([0, 1, 0, 1]), F([0.1, 0, 0.2, 0]),
               F([1, 2, 0.5, 1]), epsilon=0.01),
        single("InstanceNormalization", "x", F([1, 2, 3, 4]), F([0, 1, 0, 1])),
        single("LRN", "x", size=3, alpha=0.1),
        single("Softmax", "x"),
        single("Softmax", "x", opset=11),
        single("LogSoftmax", "x", axis=1),
        single("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        single("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 0, 1, 0], count_include_pad=1),
        single("AveragePool", "x", kernel_shape=[3, 2], strides=[2, 3], auto_pad="SAME_LOWER"),
        single("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        single("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 0, 0]),
        single("GlobalMaxPool", "x"),
        single("ReduceMean", "x", [-1], keepdims=0),
        single("ReduceSum", "x", [1, 3]),
        single("ReduceL2", "x", opset=13, axes=[2], keepdims=0),
        single("Transpose", "x"),
        single("Transpose", "x", perm=[0, 2, 3, 1]),
        single("Gather", "x", [[2, 0], [1, 1]], axis=1),
        single("Concat", "x", CHANNELS[None] * np.ones((1, 4, 8, 8), F), "x", axis=1),
        single("Tile", "x", [1, 1, 2, 3]),
        single("Expand", "x", [2, 4, 8, 8]),
        single("DepthToSpace", "x", blocksize=2),
        single("DepthToSpace", "x", blocksize=2, mode="CRD"),
        single("SpaceToDepth", "x", blocksize=4),
        single("Resize", "x", None, F([1, 1, 2, 2]), mode="nearest",
               coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        single("ConvTranspose", "x", F(np.ones((4, 2, 3, 3))), strides=[2, 2], pads=[1, 0, 1, 1],
               output_padding=[1, 0]),
        single("ConvTranspose", "x", F(np.ones((4, 1, 2, 2))), strides=[2, 2], group=4),
        single("ConvTranspose", "x", F(np.ones((4, 2, 3, 3))), strides=[2, 2],
               auto_pad="SAME_UPPER"),
        single("Where", np.eye(8) > 0, "x", F(0)),
        single("LeakyRelu", "x"),
        single("Elu", "x"),
        single("Selu", "x"),
        single("HardSigmoid", "x"),
        single("HardSwish", "x"),
        single("PRelu", "x", CHANNELS),
        single("ArgMax", "x", axis=-1, keepdims=0, code=TensorProto.INT64),
        single("Gelu", "x", opset=20, approximate="tanh"),
        single("Cast", "x", to=TensorProto.INT32, code=TensorProto.INT32),
    ],
    ids=lambda model: model.graph.node[-1].op_type,
)  # fmt: skip
def test_single_operators(model: onnx.ModelProto) -> None:
    """Operand order, bounds, axes, defaults and versions, an operator at a time."""
    check(model)


def test_a_split_in_uneven_pieces() -> None:
    """Each result of its own size, whatever the opset calls the sizes."""
    for opset, more in ((11, {"split": [1, 3]}), (18, {})):
        pad = Sketchpad()
        value = pad.conv("input", 4, 3, kernel=1)
        names = [value, pad.data("sizes", [1, 3])] if opset == 18 else [value]
        pad.nodes.append(helper.make_node("Split", names, ["a", "b"], "split", axis=-3, **more))
        model = with_data(pad.model("b", "a", opset=opset))
        [split] = [one for one in profile(model).operators if one.op == "Split"]
        assert (split.attributes["axis"], split.attributes["split"]) == (1, (1, 3))
        check(model)


FOLDS: list[tuple[str, tuple[int, ...], bool]] = [
    (op, shape, first)
    for op, shape, first in itertools.product(
        ("Add", "Sub", "Mul", "Div"), ((4, 1, 1), (1,), ()), (True, False)
    )
]


@pytest.mark.parametrize(("op", "shape", "first"), FOLDS)
def test_what_folds_into_a_convolution(op: str, shape: tuple[int, ...], first: bool) -> None:
    """Factors and shifts on either side; what does not commute stays a row of its own."""

    def write(pad: Sketchpad) -> str:
        value = pad.conv("input", 4, 3)
        constant = pad.weight("k", *shape)
        return pad.add(op, [value, constant] if first else [constant, value])

    model = graph(write)
    found = profile(model)
    assert len(found.operators) == (2 if op in ("Sub", "Div") and not first else 1)
    check(model)


@pytest.mark.parametrize("group", [1, 2])
def test_a_batch_norm_behind_a_transposed_convolution(group: int) -> None:
    """The channels of a group lie in the second axis of its weight."""

    def write(pad: Sketchpad) -> str:
        weight = pad.weight("w", 4, 3, 2, 2)
        value = pad.add("ConvTranspose", [pad.conv("input", 4, 3), weight], group=group)
        norm = [pad.weight(f"n{index}", 3 * group) for index in range(4)]
        return pad.add("BatchNormalization", [value, *norm])

    model = graph(write)
    assert len(profile(model).operators) == 2
    check(model)


def test_a_gemm_with_factors_takes_a_batch_norm() -> None:
    """alpha, beta, both transposes, and a norm folded behind them."""

    def write(pad: Sketchpad) -> str:
        flat = pad.add("Reshape", ["input", pad.data("r", [12, 16])])
        parts = [flat, pad.weight("w", 5, 12), pad.weight("b", 5)]
        value = pad.add("Gemm", parts, alpha=0.5, beta=2.0, transA=1, transB=1)
        return pad.add("Mul", [pad.add("Add", [value, pad.weight("a", 5)]), pad.weight("m", 1)])

    model = graph(write)
    [_, dense] = profile(model).operators
    assert len(dense.folded) == 2
    check(model)


def test_a_signal() -> None:
    """One dimension: its length is the height of the window."""

    def write(pad: Sketchpad) -> str:
        weight = pad.weight("w", 4, 3, 5)
        value = pad.add("Conv", ["input", weight], strides=[2], pads=[2, 1], dilations=[2])
        return pad.add("MaxPool", [value], kernel_shape=[3], strides=[2])

    check(graph(write, shape=("N", 3, 40)))


# Integers -----------------------------------------------------------------------------------------


def test_a_quantized_network() -> None:
    """Scales a channel, clamps, a residual, a pool and a dense layer, all between pairs."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 4, 3, (3, 3), pads=[1, 1, 1, 1])
    other = pad.conv8(value, 4, 4, (3, 3), group=4, pads=[1, 1, 1, 1])
    value = pad.quantized(pad.add("Add", [value, other]))
    value = pad.quantized(pad.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2]))
    value = pad.dense8(pad.quantized(pad.add("Flatten", [value])), 10, 64)
    check(with_data(pad.model(value)), steps=1.01)


def test_a_result_that_no_pair_describes_has_no_scale_unless_it_is_certain() -> None:
    """Before a ReLU the rounding may come first; before a sigmoid it may not."""
    for activation, certain in (("Relu", True), ("Sigmoid", False)):
        pad = QuantizedPad()
        parts = [pad.integers("w", 4, 3, 3, 3), pad.integers("b", 4, code=TensorProto.INT32)]
        value = pad.add("Conv", [pad.quantized("input"), *parts], "conv")
        out = pad.quantized(pad.add(activation, [value]))
        model = with_data(pad.model(out))
        found = profile(model)
        assert found.tensors["conv"].dtype == "int8"
        assert (found.tensors["conv"].quantization is not None) is certain
        check(model, steps=1.01)


def test_a_float_island_between_integers() -> None:
    """What remains of the pairs is executed, with the scales that it names."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 4, 3, (3, 3))
    island = pad.add("Exp", [value])
    pad.add("Softmax", [island], "out", axis=1)
    check(with_data(pad.model("out")), steps=1.01)


def test_a_change_of_scale() -> None:
    """A dequantize that is quantized again reads one scale and writes the other."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 4, 3, (3, 3))
    parts = [pad.weight("other.s"), pad.weight("other.z", code=TensorProto.UINT8)]
    held = pad.add("QuantizeLinear", [value, *parts])
    value = pad.add("DequantizeLinear", [held, *parts])
    value = pad.quantized(pad.add("MaxPool", [value], kernel_shape=[2, 2]), TensorProto.UINT8)
    model = with_data(pad.model(value))
    assert "QuantizeLinear" in [one.op for one in profile(model).operators]
    check(model, steps=1.01)


def test_the_integer_operators_of_onnx_runtime() -> None:
    """Their scales and zero points stand on the operands and results of the rows."""
    pad = Sketchpad()
    scale, zero = pad.weight("s"), pad.weight("z", code=TensorProto.INT8)
    other, wide = pad.data("t", 0.11, np.float32), pad.data("u", 0.4, np.float32)
    value = pad.add("QuantizeLinear", ["input", scale, zero])
    pad.weight("w", 4, 3, 3, 3, code=TensorProto.INT8)
    pad.data("wz", 0, np.int8)
    pad.weight("b", 4, code=TensorProto.INT32)
    parts = [value, scale, zero, "w", other, "wz", wide, zero, "b"]
    conv = pad.add("QLinearConv", parts, pads=[1, 1, 1, 1])
    more = {"domain": "com.microsoft"}
    parts = [conv, wide, zero, value, scale, zero, other, zero]
    value = pad.add("QLinearAdd", [conv, wide, zero, conv, wide, zero, wide, zero], **more)
    value = pad.add("QLinearGlobalAveragePool", [value, wide, zero, other, zero],
                    channels_last=0, **more)  # fmt: skip
    value = pad.add("Flatten", [value])
    pad.weight("v", 10, 4, code=TensorProto.INT8)
    parts = [value, other, zero, "v", scale, "wz", "", wide, zero]
    value = pad.add("QGemm", parts, transB=1, **more)
    pad.add("DequantizeLinear", [value, wide, zero], "out")
    model = with_data(pad.model("out", domains=["com.microsoft"]))
    found = profile(model)
    conv_row = found.operators[0]
    names = [one.quantization and one.quantization.scale for one in conv_row.operands if one]
    assert names == ["s", "t", "qlinearconv1.bias_scale"]
    assert found.tensors[conv_row.outputs[0]].quantization.scale == "u"  # type: ignore[union-attr]
    check(model, steps=1.01)


def test_a_fused_activation_keeps_its_parameters() -> None:
    """ONNX Runtime's FusedConv with a leaky ReLU: its slope is the activation row's attribute."""
    pad = Sketchpad()
    parts = ["input", pad.weight("w", 4, 3, 3, 3), pad.weight("b", 4)]
    pad.add("FusedConv", parts, "out", activation="LeakyRelu", activation_params=[0.25],
            domain="com.microsoft")  # fmt: skip
    model = with_data(pad.model("out", domains=["com.microsoft"]))
    assert profile(model).operators[1].attributes["alpha"] == 0.25
    check(model)


# The shape of a row -------------------------------------------------------------------------------


def test_rows_have_no_private_attributes() -> None:
    """Attributes are plain numbers, texts and tuples of them, under public names."""
    models = [graph(write, opset=20) for write in (residual, depthwise, attention)]
    for operator in (one for model in models for one in profile(model).operators):
        for name, value in operator.attributes.items():
            assert not name.startswith("_")
            items = value if isinstance(value, tuple) else (value,)
            assert all(isinstance(item, int | float | str) for item in items), (operator.op, name)


def test_operands_stand_at_their_position() -> None:
    """``1 - x`` and ``x - 1`` are different rows."""
    left, right = (
        profile(single("Sub", *operands)).operators[-1]
        for operands in (("x", CHANNELS), (CHANNELS, "x"))
    )
    assert [isinstance(one, Constant) for one in left.operands] == [False, True]
    assert [isinstance(one, Constant) for one in right.operands] == [True, False]
    assert left.inputs == right.inputs


def test_an_unfolded_batch_norm_names_all_its_constants() -> None:
    """It ships two vectors, and needs four and an epsilon to compute them."""
    model = single("BatchNormalization", "x", *(F(np.ones(4)) for _ in range(4)), epsilon=0.5)
    norm = profile(model).operators[-1]
    roles = [one.role for one in norm.operands if isinstance(one, Constant)]
    assert roles == ["scale", "bias", "mean", "variance"]
    assert norm.attributes["epsilon"] == 0.5
    assert [one.role for one in norm.constants] == ["scale", "bias"]


def test_a_convolution_remembers_its_own_pads() -> None:
    """Where Pads of the graph were merged into it: those before the first; else nothing."""
    pad = Sketchpad()
    padded = pad.add("Pad", ["input", pad.data("p", [0, 0, 0, 0, 0, 0, 1, 1])])
    again = pad.add("Pad", [padded, pad.data("q", [0, 0, 2, 0, 0, 0, 0, 0])])
    first = pad.conv(again, 4, 3, pads=[1, 1, 1, 1])
    rows = profile(pad.model(pad.conv(first, 4, 4, pads=[1, 1, 1, 1]))).operators
    assert [row.op for row in rows] == ["Conv", "Conv"]
    assert rows[0].attributes["pads"] == (3, 1, 2, 2)
    assert [row.own_pads for row in rows] == [(1, 1, 1, 1), None]
    assert not [row for row in rows if "own_pads" in row.attributes]
