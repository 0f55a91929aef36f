"""The operators of a graph: what is counted, folded, free and refused."""

from __future__ import annotations

import tracemalloc
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import Sketchpad

from edgebench.errors import EdgebenchError
from edgebench.footprint import measure
from edgebench.profiling import profile


def small() -> Sketchpad:
    """Return a pad with one convolution, a ReLU and a dense layer on an 3x8x8 image."""
    pad = Sketchpad()
    value = pad.add("Relu", [pad.conv("input", 4, 3, name="conv", pads=[1, 1, 1, 1])])
    pad.dense(pad.add("Flatten", [value]), 10, 256, name="logits")
    return pad


# Counting -----------------------------------------------------------------------------------------


def test_a_convolution_and_a_dense_layer_by_hand() -> None:
    """MACs are output elements times the weights that each meets; nothing else."""
    found = profile(small().model("logits"))
    assert [one.macs for one in found.operators] == [8 * 8 * 4 * 27, 0, 0, 2560]
    assert found.macs == 8 * 8 * 4 * 27 + 2560
    assert found.parameters == 4 * 27 + 4 + 2560 + 10
    assert found.weights_bytes == 4 * found.parameters
    assert found.dtype == "float32"
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("more", "shape", "macs"),
    [
        ({"strides": [2, 2]}, (1, 8, 3, 3), 9 * 8 * 36),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (1, 8, 4, 4), 16 * 8 * 36),
        ({"auto_pad": "VALID"}, (1, 8, 6, 6), 36 * 8 * 36),
        ({"dilations": [2, 2]}, (1, 8, 4, 4), 16 * 8 * 36),
        ({"group": 2}, (1, 8, 6, 6), 36 * 8 * 18),
        ({"group": 4}, (1, 8, 6, 6), 36 * 8 * 9),
    ],
)
def test_convolutions_of_every_kind(
    more: dict[str, Any], shape: tuple[int, ...], macs: int
) -> None:
    """Strides, pads, dilations and groups, against a count by hand."""
    pad = Sketchpad()
    pad.conv("input", 8, 4, name="conv", **more)
    found = profile(pad.model("conv", shape=("N", 4, 8, 8)))
    [operator] = found.operators
    assert found.tensors["conv"].shape == shape
    assert operator.macs == macs
    assert operator.kind == ("depthwise" if more.get("group") == 4 else "conv")


def test_a_transposed_convolution_counts_its_input() -> None:
    """Each input element meets every weight of its channel."""
    pad = Sketchpad()
    weight = pad.weight("w", 4, 6, 2, 2)
    pad.add("ConvTranspose", ["input", weight], "up", strides=[2, 2])
    found = profile(pad.model("up", shape=(1, 4, 5, 5)))
    assert found.macs == 4 * 25 * 6 * 4


@pytest.mark.parametrize("dims", [(5, 16), (2, 3, 16)])
def test_a_matrix_product_with_a_bias_is_a_dense_layer(dims: tuple[int, ...]) -> None:
    """MatMul + Add, as Keras exports it, in two and three dimensions: one bias, any rows."""
    pad = Sketchpad()
    product = pad.add("MatMul", ["input", pad.weight("w", 16, 10)], "product")
    pad.add("Add", [pad.weight("b", 10), product], "out")
    found = profile(pad.model("out", shape=dims))
    [operator] = found.operators
    rows = prod(dims[:-1])
    assert (operator.kind, operator.macs, operator.parameters) == ("dense", rows * 160, 170)
    assert measure(found).macc == rows * 160 + 10


def test_attention_counts_products_of_activations() -> None:
    """Two MatMuls without weights, a softmax and a transpose that really moves."""
    pad = Sketchpad()
    query = pad.add("MatMul", ["input", pad.weight("q", 8, 8)])
    key = pad.add("MatMul", ["input", pad.weight("k", 8, 8)])
    turned = pad.add("Transpose", [key], "turned", perm=[0, 2, 1])
    scores = pad.add("Softmax", [pad.add("MatMul", [query, turned])], axis=-1)
    pad.add("MatMul", [scores, "input"], "out")
    found = profile(pad.model("out", shape=("N", 5, 8)))
    assert found.macs == 2 * 5 * 64 + 2 * 5 * 5 * 8
    assert [one.kind for one in found.operators].count("matmul") == 2
    macc = {row.name: row.macc for row in measure(found).layers}
    assert macc["turned"] == 5 * 8 // 2


def test_shared_weights_count_once() -> None:
    """Two layers that use one weight ship it once and compute with it twice."""
    pad = Sketchpad()
    weight = pad.weight("w", 8, 8)
    pad.add("MatMul", [pad.add("MatMul", ["input", weight]), weight], "out")
    found = profile(pad.model("out", shape=(1, 8)))
    assert (found.macs, found.parameters) == (128, 64)


# Folding ------------------------------------------------------------------------------------------


def test_a_batch_norm_folds_into_the_convolution_before_it() -> None:
    """The convolution without a bias gains one; the norm ships nothing."""
    pad = Sketchpad()
    conv = pad.add("Conv", ["input", pad.weight("w", 4, 3, 3, 3)], "conv")
    norm = [pad.weight(f"n{i}", 4) for i in range(4)]
    pad.add("Relu", [pad.add("BatchNormalization", [conv, *norm], "norm")], "out")
    found = profile(pad.model("out"))
    assert [one.op for one in found.operators] == ["Conv", "Relu"]
    assert found.operators[0].folded == ("norm",)
    assert found.parameters == 4 * 27 + 4
    bias = found.operators[0].constant("bias")
    assert bias is not None
    assert (bias.name, bias.shape) == ("conv.bias", (4,))


def test_a_batch_norm_behind_an_activation_stays() -> None:
    """Scale and shift, two floats a channel, two operations an element."""
    pad = Sketchpad()
    value = pad.add("Relu", [pad.conv("input", 4, 3)])
    pad.add("BatchNormalization", [value, *(pad.weight(f"n{i}", 4) for i in range(4))], "norm")
    found = profile(pad.model("norm"))
    assert found.operators[-1].parameters == 8
    assert measure(found).layers[-1].macc == 2 * 4 * 36


@pytest.mark.parametrize("dims", [(4, 1, 1), (1, 4, 1, 1), (1,), ()])
def test_a_factor_and_a_shift_a_channel_fold(dims: tuple[int, ...]) -> None:
    """What tf2onnx leaves of a batch norm: Mul and Add of one element, or one a channel."""
    pad = Sketchpad()
    conv = pad.add("Conv", ["input", pad.weight("w", 4, 3, 3, 3)])
    scaled = pad.add("Mul", [conv, pad.weight("m", *dims)])
    pad.add("Add", [scaled, pad.weight("a", *dims)], "out")
    found = profile(pad.model("out"))
    assert [one.op for one in found.operators] == ["Conv"]
    assert found.parameters == 4 * 27 + 4


def test_an_addition_of_a_whole_image_does_not_fold() -> None:
    """A constant with an element a pixel is an operator, and ships."""
    pad = Sketchpad()
    pad.add("Add", [pad.conv("input", 4, 3), pad.weight("a", 4, 6, 6)], "out")
    found = profile(pad.model("out"))
    assert [one.kind for one in found.operators] == ["conv", "eltwise"]
    assert found.operators[1].parameters == 4 * 36


def test_a_zero_pad_folds_into_the_convolution_behind_it() -> None:
    """Keras' ZeroPadding2D: the convolution pads, no buffer is copied."""
    pad = Sketchpad()
    padded = pad.add("Pad", ["input", pad.data("p", [0, 0, 0, 1, 0, 0, 1, 2])])
    pad.conv(padded, 4, 3, name="conv", pads=[1, 1, 1, 1])
    found = profile(pad.model("conv"))
    assert [one.op for one in found.operators] == ["Conv"]
    assert found.operators[0].attributes["pads"] == (1, 2, 2, 3)


def test_a_reflecting_pad_stays() -> None:
    """Only zeros fold."""
    pad = Sketchpad()
    amounts = pad.data("p", [0, 0, 1, 1, 0, 0, 1, 1])
    pad.conv(pad.add("Pad", ["input", amounts], mode="reflect"), 4, 3, name="conv")
    assert [one.kind for one in profile(pad.model("conv")).operators] == ["pad", "conv"]


# Dialects -----------------------------------------------------------------------------------------


def test_a_keras_graph_counts_like_the_same_graph_without_transposes() -> None:
    """Channels last at the edges, a pair of transposes between: all free, to the last byte."""
    plain, keras = Sketchpad(), Sketchpad()
    value = plain.add("Relu", [plain.conv("input", 4, 3, name="c", pads=[1, 1, 1, 1])])
    plain.add("GlobalAveragePool", [plain.conv(value, 8, 4, name="d")], "pool")
    plain.dense(plain.add("Flatten", ["pool"]), 10, 8, name="out")
    first = keras.add("Transpose", ["input"], perm=[0, 3, 1, 2])
    value = keras.add("Relu", [keras.conv(first, 4, 3, name="c", pads=[1, 1, 1, 1])])
    back = keras.add("Transpose", [value], perm=[0, 2, 3, 1])
    again = keras.add("Transpose", [back], perm=[0, 3, 1, 2])
    last = keras.add("Transpose", [keras.conv(again, 8, 4, name="d")], perm=[0, 2, 3, 1])
    mean = keras.add("ReduceMean", [last, keras.data("axes", [1, 2])], keepdims=0)
    product = keras.add("MatMul", [mean, keras.weight("w", 8, 10)])
    keras.add("Add", [product, keras.weight("b", 10)], "out")
    ours = measure(profile(plain.model("out")))
    theirs = measure(profile(keras.model("out", shape=("unk__1", 8, 8, 3))))
    for name in ("macs", "macc", "parameters", "weights_bytes", "activations_bytes"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_keras_signal_counts_like_a_signal() -> None:
    """A 1-D convolution as tf2onnx writes it, over an image of height 1."""
    plain, keras = Sketchpad(), Sketchpad()
    parts = [plain.weight("w", 16, 3, 3), plain.weight("b", 16)]
    value = plain.add("Relu", [plain.add("Conv", ["input", *parts])])
    plain.dense(plain.add("Flatten", [value]), 6, 16 * 24, name="out")
    image = keras.add("Unsqueeze", ["input", keras.data("axis", [1])])
    first = keras.add("Transpose", [image], perm=[0, 3, 1, 2])
    parts = [keras.weight("w", 16, 3, 1, 3), keras.weight("b", 16)]
    value = keras.add("Relu", [keras.add("Conv", [first, *parts])])
    last = keras.add("Transpose", [value], perm=[0, 2, 3, 1])
    flat = keras.add("Reshape", [last, keras.data("shape", [-1, 16 * 24])])
    product = keras.add("MatMul", [flat, keras.weight("v", 16 * 24, 6)])
    keras.add("Add", [product, keras.weight("c", 6)], "out")
    ours = measure(profile(plain.model("out", shape=("N", 3, 26))))
    theirs = measure(profile(keras.model("out", shape=("unk__1", 26, 3))))
    for name in ("macs", "macc", "parameters", "activations_bytes", "ram_bytes"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_shape_arithmetic_is_computed_not_counted() -> None:
    """Shape, Gather, Concat and Reshape, as exporters leave them, fold into a reshape."""
    pad = Sketchpad()
    value = pad.conv("input", 4, 3, name="conv")
    shape = pad.add("Shape", [value])
    batch = pad.add("Gather", [shape, pad.data("zero", 0)])
    batch = pad.add("Unsqueeze", [batch, pad.data("axes", [0])])
    target = pad.add("Concat", [batch, pad.data("rest", [-1])], axis=0)
    pad.dense(pad.add("Reshape", [value, target]), 10, 144, name="out")
    found = profile(pad.model("out"))
    assert [one.kind for one in found.operators] == ["conv", "alias", "dense"]


def test_constants_through_nodes_and_identities() -> None:
    """Weights in Constant nodes, transposed and passed on, are constants all the same."""
    pad = Sketchpad()
    tensor = helper.make_tensor("", TensorProto.FLOAT, [10, 4], np.zeros(40))
    weight = pad.add("Transpose", [pad.add("Constant", [], value=tensor)], perm=[1, 0])
    value = pad.add("Dropout", [pad.add("Identity", ["input"])])
    pad.add("MatMul", [value, weight], "out")
    found = profile(pad.model("out", shape=(1, 4)))
    assert [(one.kind, one.parameters) for one in found.operators] == [("dense", 40)]


def quantized_cnn(axis_scales: int = 0) -> Sketchpad:
    """Return a QDQ convolution + ReLU + pool + dense, its float edges quantized."""
    pad = Sketchpad()
    source = pad.quantized("input")
    for name, dims in (("cw", (4, 3, 3, 3)), ("dw", (10, 36))):
        pad.weight(name, *dims, code=TensorProto.INT8)
        scales = [axis_scales or dims[0]] if axis_scales else []
        parts = [pad.weight(f"{name}.s", *scales), pad.weight(f"{name}.z", *scales, code=3)]
        pad.add("DequantizeLinear", [name, *parts], f"{name}.f", axis=0)
    for name, size in (("cb", 4), ("db", 10)):
        pad.weight(name, size, code=TensorProto.INT32)
        pad.quantized(name, TensorProto.INT32)
    value = pad.add("Relu", [pad.add("Conv", [source, "cw.f", "cb.f"], "conv")], "relu")
    value = pad.quantized(value)
    value = pad.quantized(pad.add("MaxPool", [value], "pool", kernel_shape=[2, 2], strides=[2, 2]))
    value = pad.quantized(pad.add("Flatten", [value]))
    pad.quantized(pad.add("Gemm", [value, "dw.f", "db.f"], "dense", transB=1))
    return pad


def test_a_quantized_graph_runs_in_integers() -> None:
    """Pairs vanish, weights are held in bytes and biases in words, the clamp is free."""
    found = profile(quantized_cnn().model("dense.dq"))
    assert [one.op for one in found.operators] == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert found.dtype == "int8"
    assert all(tensor.dtype == "int8" for tensor in found.tensors.values())
    assert found.weights_bytes == 4 * 27 + 4 * 4 + 360 + 40
    assert found.parameters == 4 * 27 + 4 + 360 + 10
    footprint = measure(found)
    assert footprint.macc == 36 * 4 * 27 + 4 + 9 * 4 * 4 + 360 + 10
    quantization = found.tensors["conv"].quantization
    assert quantization is not None
    assert quantization.scale == "relu.s"


def test_scales_a_channel_cost_scratch() -> None:
    """A dense layer with a scale a channel needs 2 (IN + 5 OUT) bytes, else 2 IN."""
    single, channel = quantized_cnn(), quantized_cnn(axis_scales=4)
    rows = [measure(profile(pad.model("dense.dq"))).layers[-1] for pad in (single, channel)]
    assert [row.scratch_bytes for row in rows] == [2 * 36, 2 * (36 + 50)]


def test_a_float_step_between_integers_is_paid_for() -> None:
    """A softmax that no pair surrounds runs in floats, behind an executed conversion."""
    pad = quantized_cnn()
    pad.add("Softmax", ["dense.dq"], "out", axis=1)
    found = profile(pad.model("out"))
    assert [one.op for one in found.operators[-2:]] == ["DequantizeLinear", "Softmax"]
    assert [row.macc for row in measure(found).layers[-2:]] == [20, 150]


def test_integer_operators_of_onnx_runtime() -> None:
    """QLinearConv, QLinearAdd, QLinearGlobalAveragePool and QGemm count like their QDQ twins."""
    pad = Sketchpad()
    scale, zero = pad.weight("s"), pad.weight("z", code=TensorProto.INT8)
    pair = [scale, zero]
    value = pad.add("QuantizeLinear", ["input", *pair])
    pad.weight("w", 4, 3, 3, 3, code=TensorProto.INT8)
    pad.weight("b", 4, code=TensorProto.INT32)
    value = pad.add("QLinearConv", [value, *pair, "w", *pair, *pair, "b"], pads=[1, 1, 1, 1])
    more = {"domain": "com.microsoft"}
    value = pad.add("QLinearAdd", [value, *pair, value, *pair, *pair], **more)
    value = pad.add("QLinearGlobalAveragePool", [value, *pair, *pair], channels_last=0, **more)
    value = pad.add("Flatten", [value])
    pad.weight("v", 10, 4, code=TensorProto.INT8)
    value = pad.add("QGemm", [value, *pair, "v", *pair, "", *pair], transB=1, **more)
    pad.add("DequantizeLinear", [value, *pair], "out")
    found = profile(pad.model("out", domains=["com.microsoft"]))
    kinds = [one.kind for one in found.operators]
    assert kinds == ["conv", "eltwise", "pool", "alias", "dense"]
    assert (found.dtype, found.weights_bytes) == ("int8", 108 + 16 + 40)
    assert found.macs == 64 * 108 + 40


def test_a_fused_convolution_is_two_operators() -> None:
    """ONNX Runtime's FusedConv: the activation is counted as well."""
    pad = Sketchpad()
    weight = pad.weight("w", 4, 3, 3, 3)
    pad.add("FusedConv", ["input", weight], "out", activation="Relu", domain="com.microsoft")
    found = profile(pad.model("out", domains=["com.microsoft"]))
    assert [one.op for one in found.operators] == ["Conv", "Relu"]
    assert measure(found).macc == 36 * 4 * 27 + 36 * 4


def test_a_dynamic_batch_is_one_and_a_fixed_one_stays() -> None:
    """Names, zeros and holes in the first dimension are a batch of 1."""
    for batch, rows in (("N", 1), ("unk__17", 1), (0, 1), (1, 1), (2, 2)):
        found = profile(small().model("logits", shape=(batch, 3, 8, 8)))
        assert found.tensors["input"].shape == (rows, 3, 8, 8)


def test_open_image_sizes_may_be_bound() -> None:
    """``input_shape`` fills what the model leaves open."""
    pad = Sketchpad()
    pad.conv("input", 4, 3, name="conv")
    model = pad.model("conv", shape=("N", 3, "H", "W"))
    assert profile(model, input_shape=(3, 5, 6)).tensors["conv"].shape == (1, 4, 3, 4)


def test_the_model_is_not_changed() -> None:
    """Profiling leaves a model in memory as it was."""
    model = small().model("logits")
    before = model.SerializeToString()
    profile(model)
    assert model.SerializeToString() == before


def test_operators_without_a_rule_are_named() -> None:
    """A foreign operator is unknown, never zero in silence."""
    pad = small()
    pad.add("Sparkle", ["logits"], "out", domain="example")
    model = pad.model("out", domains=["example"])
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 10
    found = profile(model)
    assert found.unknown == ("Sparkle (out)",)
    assert "lower bound: no rule for Sparkle (out)" in measure(found).provenance


# Bad input ----------------------------------------------------------------------------------------


def refused(model: Any, **more: Any) -> str:
    """Return the one message with which ``model`` is refused."""
    with pytest.raises(EdgebenchError) as caught:
        profile(model, **more)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    """Missing, empty, text, and cut off at any byte: one message each, no traceback."""
    path = tmp_path / "model.onnx"
    assert refused(path) == f"no such file: {path}"
    path.write_bytes(b"")
    assert refused(path) == f"{path} is empty, not an ONNX model"
    path.write_text("hello, this is no model")
    assert refused(path) == f"{path} is not an ONNX model, or it is truncated"
    whole = small().model("logits").SerializeToString()
    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        assert refused(path)


def test_a_truncated_file_is_called_that(tmp_path: Path) -> None:
    """A file that ends inside its graph."""
    path = tmp_path / "model.onnx"
    path.write_bytes(small().model("logits").SerializeToString()[:-40])
    assert refused(path) == f"{path} is not an ONNX model, or it is truncated"


def test_an_unknown_opset() -> None:
    """The message names the opset and those that are known."""
    newest = onnx.defs.onnx_opset_version()
    message = refused(small().model("logits", opset=999))
    assert message == f"the model uses opset 999; opsets 1 to {newest} are known"


def test_missing_shapes() -> None:
    """Open image sizes, and no shape at all."""
    pad = Sketchpad()
    pad.conv("input", 4, 3, name="conv")
    assert refused(pad.model("conv", shape=("N", 3, "H", "W"))) == (
        "the input 'input' is [N, 3, H, W]: only the batch may be open; state H and W, as in "
        "--input input=1x3x224x224"
    )
    model = pad.model("conv")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert refused(model) == (
        "the input 'input' declares no shape; export the model with one, or state it as in "
        "--input input=1x3x224x224"
    )


def test_an_input_shape_that_does_not_fit() -> None:
    """What is fixed in the model cannot be bound to something else."""
    message = refused(small().model("logits"), input_shape=(3, 9, 9))
    assert message == "the input 'input' is [N, 3, 8, 8]; 3x9x9 does not fit it"


def test_weights_in_a_missing_or_short_external_file(tmp_path: Path) -> None:
    """The weights may stay unread, their file must be there and whole."""
    pad = Sketchpad()
    pad.data("w", np.zeros((4, 3, 3, 3)), np.float32)
    pad.add("Conv", ["input", "w"], "conv")
    path = tmp_path / "model.onnx"
    onnx.save(pad.model("conv"), path, save_as_external_data=True, location="w.bin",
              size_threshold=0)  # fmt: skip
    assert profile(path).parameters == 108
    (tmp_path / "w.bin").write_bytes(b"short")
    assert "the external file 'w.bin' is truncated: 'w' ends at byte 432 of 5" in refused(path)
    (tmp_path / "w.bin").unlink()
    assert refused(path) == (
        f"{path}: the weights 'w' are in the external file 'w.bin', which is missing"
    )


def test_nothing_to_measure() -> None:
    """A graph without a convolution or a dense layer."""
    pad = Sketchpad()
    pad.add("Relu", ["input"], "out")
    assert refused(pad.model("out")) == (
        "the model has no convolution and no dense layer, so there is nothing to measure"
    )


def masked() -> onnx.ModelProto:
    """Return a model with a second input that scales the first."""
    pad = Sketchpad()
    scaled = pad.add("Mul", ["input", "mask"])
    pad.dense(pad.add("Flatten", [pad.conv(scaled, 4, 3, pads=[1, 1, 1, 1])]), 10, 256, name="out")
    model = pad.model("out")
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 1, 8]))
    return model


def test_two_inputs() -> None:
    """An image classifier has one input; what is to be stated of the others is asked for."""
    assert refused(masked()) == (
        "the model has 2 inputs ('input', 'mask'); an image classifier has one: state the shapes "
        "of the others, as in --input mask=1x1x8, or freeze them to constants, as in --input "
        "mask=frozen"
    )


def test_an_input_beside_the_image_is_stated_or_frozen() -> None:
    """Stated, it is read like the image; frozen, it ships like a weight."""
    stated = profile(masked(), inputs={"mask": (3, 1, 8)})
    assert stated.inputs == ("input", "mask")
    assert stated.tensors["mask"].shape == (3, 1, 8)
    frozen = profile(masked(), inputs={"mask": None})
    assert frozen.inputs == ("input",)
    assert frozen.parameters == stated.parameters + 8
    assert refused(masked(), inputs={"musk": (3, 1, 8)}).startswith(
        "unknown input 'musk'; did you mean 'mask'?\nthe model has 2 inputs"
    )
    assert refused(masked(), inputs={"mask": (3, 2, 8)}) == (
        "the input 'mask' is [n, 1, 8]; 3x2x8 does not fit it"
    )


def test_shapes_that_do_not_fit_together() -> None:
    """The message names the operator and the shapes."""
    pad = Sketchpad()
    pad.dense(pad.add("Flatten", ["input"]), 10, 99, name="dense")
    message = refused(pad.model("dense"))
    assert message.startswith("the operator 'dense' (Gemm) does not fit its inputs [[1, 192], [10,")


def test_a_gigabyte_of_weights_is_not_loaded(tmp_path: Path) -> None:
    """A model of 1 GiB is profiled within a few megabytes and without reading its weights."""
    elements = 2**28
    pad = Sketchpad()
    pad.add("Gemm", ["input", pad.weight("w", 2, elements // 2)], "out", transB=1)
    model = pad.model("out", shape=("N", elements // 2))
    weight = model.graph.initializer[0]
    size = 4 * elements

    def varint(value: int) -> bytes:
        parts = b""
        while value > 127:
            parts += bytes([value & 127 | 128])
            value >>= 7
        return parts + bytes([value])

    head = weight.SerializeToString() + b"\x4a" + varint(size)
    tensor = b"\x2a" + varint(len(head) + size) + head
    del model.graph.initializer[:]
    graph = model.graph.SerializeToString() + tensor
    model.ClearField("graph")
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.write(model.SerializeToString() + b"\x3a" + varint(len(graph) + size) + graph)
        file.truncate(file.tell() + size)
    tracemalloc.start()
    found = profile(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.weights_bytes == size
    assert peak < 20_000_000


def test_a_change_of_scale_is_one_conversion() -> None:
    """Unsigned pixels to signed ones, as converted TFLite models begin: 2 an element, no floats."""
    pad = Sketchpad()
    unsigned = [pad.weight("s"), pad.weight("z", code=TensorProto.UINT8)]
    source = pad.quantized(pad.add("DequantizeLinear", ["input", *unsigned]))
    pad.weight("w", 4, 3, 3, 3, code=TensorProto.INT8)
    pad.quantized(pad.add("Conv", [source, pad.quantized("w")], "conv"))
    found = profile(pad.model("conv.dq", code=TensorProto.UINT8))
    assert [one.kind for one in found.operators] == ["convert", "conv"]
    assert [row.macc for row in measure(found).layers] == [2 * 192, 36 * 108]
    assert {tensor.dtype for tensor in found.tensors.values()} == {"uint8", "int8"}


def test_a_bias_inside_a_quantized_pair_folds() -> None:
    """MatMul + Add with no scale between them is one integer dense layer."""
    pad = Sketchpad()
    pad.weight("w", 16, 8, code=TensorProto.INT8)
    product = pad.add("MatMul", [pad.quantized("input"), pad.quantized("w")])
    pad.quantized(pad.add("Add", [product, pad.weight("b", 8)], "out"))
    found = profile(pad.model("out.dq", shape=("N", 16)))
    assert [(one.kind, one.parameters) for one in found.operators] == [("dense", 136)]
    assert found.dtype == "int8"


def test_weights_quantized_inside_the_graph() -> None:
    """Fake quantization: the float weight is rounded in the graph, and ships as integers."""
    pad = Sketchpad()
    parts = [pad.weight("s", 4), pad.weight("z", 4, code=TensorProto.INT8)]
    held = pad.add("QuantizeLinear", [pad.weight("w", 4, 3, 3, 3), *parts], axis=0)
    weight = pad.add("DequantizeLinear", [held, *parts], axis=0)
    pad.quantized(pad.add("Conv", [pad.quantized("input"), weight], "conv"))
    assert profile(pad.model("conv.dq")).weights_bytes == 108
