"""TFLite files become the rows that the same network has as an ONNX graph."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx_graphs import QuantizedPad
from tflite_files import RELU, RELU6, SAME, VALID, LiteFile
from torch.nn import functional

from edgebench.errors import EdgebenchError
from edgebench.footprint import CONVENTIONS, measure
from edgebench.profiling import constant_data, profile
from edgebench.profiling.tflite_operators import RULES, to_onnx


def floats() -> LiteFile:
    """Draw a float network of 1x7x9x3 images: two convolutions, a pool, a reshape, two layers."""
    file = LiteFile()
    shapes = {"x": (1, 7, 9, 3), "a": (1, 4, 5, 6), "b": (1, 3, 4, 6), "c": (1, 2, 2, 6)}
    x, a, b, c = (file.tensor(name, *shape, dtype="float32") for name, shape in shapes.items())
    w1, b1 = file.weight("w1", 6, 3, 3, 3, dtype="float32"), file.weight("b1", 6, dtype="float32")
    w2, b2 = file.weight("w2", 1, 2, 2, 6, dtype="float32"), file.weight("b2", 6, dtype="float32")
    file.add(
        "CONV_2D", [x, w1, b1], a, kind="Conv2DOptions", Padding=SAME, StrideH=2, StrideW=2,
        DilationHFactor=1, DilationWFactor=1, FusedActivationFunction=RELU6,
    )  # fmt: skip
    file.add(
        "DEPTHWISE_CONV_2D", [a, w2, b2], b, kind="DepthwiseConv2DOptions", Padding=VALID,
        StrideH=1, StrideW=1, DilationHFactor=1, DilationWFactor=1, DepthMultiplier=1,
    )  # fmt: skip
    file.add(
        "MAX_POOL_2D", [b], c, kind="Pool2DOptions", Padding=SAME, StrideH=2, StrideW=2,
        FilterHeight=2, FilterWidth=2,
    )  # fmt: skip
    flat = file.add(
        "RESHAPE", [c, file.integers("s", [1, 24])], file.tensor("d", 1, 24, dtype="float32")
    )
    w3, b3 = file.weight("w3", 5, 24, dtype="float32"), file.weight("b3", 5, dtype="float32")
    dense = file.tensor("e", 1, 5, dtype="float32")
    file.add("FULLY_CONNECTED", [flat, w3, b3], dense, kind="FullyConnectedOptions",
             FusedActivationFunction=RELU)  # fmt: skip
    file.add("SOFTMAX", [dense], file.tensor("y", 1, 5, dtype="float32"), kind="SoftmaxOptions",
             Beta=1.0)  # fmt: skip
    return file


def index(file: LiteFile, name: str) -> int:
    """Return the index of a tensor by its name."""
    return next(i for i, one in enumerate(file.tensors) if one["name"] == name)


def written(file: LiteFile, source: str = "x", result: str = "y") -> bytes:
    """Return the file with one input and one output, by their names."""
    return file.write([index(file, source)], [index(file, result)])


def test_a_float_network_computes_what_tensorflow_defines() -> None:
    """Channels last, SAME pads more at the end, a reshape reads rows: as PyTorch by hand."""
    file = floats()
    weights = {one["name"]: torch.tensor(one["data"]) for one in file.tensors if "data" in one}
    image = np.random.default_rng(0).normal(0, 1, (1, 7, 9, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        to_onnx(written(file), "it", weights=True).SerializeToString()
    )
    [found] = session.run(None, {"x": image.transpose(0, 3, 1, 2)})
    value = torch.tensor(image).permute(0, 3, 1, 2)
    # 7 rows by 2: 4 results reach over 9 rows, so one before and one behind; 9 columns the same.
    value = functional.pad(value, (1, 1, 1, 1))
    value = functional.conv2d(value, weights["w1"].permute(0, 3, 1, 2), weights["b1"], stride=2)
    kernel = weights["w2"].permute(3, 0, 1, 2)
    value = functional.conv2d(value.clip(0, 6), kernel, weights["b2"], groups=6)
    value = functional.pad(value, (0, 0, 0, 1), value=-np.inf)  # 3 rows by 2: one more behind
    value = functional.max_pool2d(value, 2).permute(0, 2, 3, 1).reshape(1, 24)
    value = functional.linear(value, weights["w3"], weights["b3"]).relu().softmax(1)
    assert np.abs(np.asarray(found) - value.numpy()).max() < 1e-5


def test_the_rows_are_named_as_the_file_names_its_tensors() -> None:
    """Shapes channels first, constants by their names, multiply-accumulates by hand."""
    found = profile(written(floats()))
    rows = {row.outputs[0]: row for row in found.operators}
    assert [row.op for row in rows.values()][:2] == ["Conv", "Clip"]
    assert found.lite
    assert found.inputs == ("x",)
    assert found.outputs == ("y",)
    assert found.tensors["c"].shape == (1, 6, 2, 2)
    assert found.macs == 20 * 6 * 27 + 12 * 6 * 4 + 24 * 5
    assert {one.name for one in found.constants} == {"w1", "b1", "w2", "b2", "w3", "b3"}


def test_the_weights_are_read_for_whoever_generates_code() -> None:
    """In ONNX's order of axes; large ones too."""
    file = floats()
    _, data = constant_data(written(file))
    stored = {one["name"]: one["data"] for one in file.tensors if "data" in one}
    assert np.array_equal(data["w1"], stored["w1"].transpose(0, 3, 1, 2))
    assert np.array_equal(data["w3"], stored["w3"])


def integers() -> LiteFile:
    """Draw an int8 network of 1x16x16x3: stem, depthwise block with a sum, mean, dense."""
    file = LiteFile()
    x = file.tensor("x", 1, 16, 16, 3)

    def conv(source: int, name: str, outputs: int, *kernel: int, stride: int = 1, side: int) -> int:
        depthwise = len(kernel) == 2 and name.startswith("dw")
        inputs = file.tensors[source]["shape"][3]
        shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, inputs)
        weight = file.weight(f"{name}.w", *shape, axis=3 if depthwise else 0)
        bias = file.weight(f"{name}.b", outputs, dtype="int32")
        result = file.tensor(name, 1, side, side, outputs)
        return file.add(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [source, weight, bias], result,
            kind="DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", Padding=SAME,
            StrideH=stride, StrideW=stride, DilationHFactor=1, DilationWFactor=1,
            FusedActivationFunction=RELU,
        )  # fmt: skip

    stem = conv(x, "stem", 8, 3, 3, stride=2, side=8)
    inner = conv(conv(stem, "dw1", 8, 3, 3, side=8), "pw1", 8, 1, 1, side=8)
    total = file.add("ADD", [stem, inner], file.tensor("sum", 1, 8, 8, 8), kind="AddOptions")
    mean = file.add(
        "MEAN", [total, file.integers("axes", [1, 2])], file.tensor("mean", 1, 8),
        kind="ReducerOptions", KeepDims=0,
    )  # fmt: skip
    weight, bias = file.weight("fc.w", 4, 8), file.weight("fc.b", 4, dtype="int32")
    file.add("FULLY_CONNECTED", [mean, weight, bias], file.tensor("y", 1, 4),
             kind="FullyConnectedOptions")  # fmt: skip
    return file


def drawn() -> onnx.ModelProto:
    """Draw the same network as a converted ONNX graph has it: SAME as explicit pads."""
    pad = QuantizedPad()
    parts = ["input", pad.weight("x.s"), pad.weight("x.z", code=onnx.TensorProto.INT8)]
    image = pad.add("DequantizeLinear", parts)
    stem = pad.conv8(image, 8, 3, (3, 3), strides=[2, 2], pads=[0, 0, 1, 1])
    inner = pad.conv8(stem, 8, 8, (3, 3), group=8, pads=[1, 1, 1, 1])
    inner = pad.conv8(inner, 8, 8, (1, 1))
    total = pad.quantized(pad.add("Add", [stem, inner]))
    axes = pad.data("axes", [2, 3])
    mean = pad.quantized(pad.add("ReduceMean", [total, axes], keepdims=0))
    return pad.model(pad.dense8(mean, 4, 8), shape=(1, 3, 16, 16), code=onnx.TensorProto.INT8)


@pytest.mark.parametrize("convention", ["st", "st-7.3", "st-8.1", "st-core3", "tflm", "static-c"])
def test_an_int8_network_costs_what_its_onnx_graph_does(convention: str) -> None:
    """Every figure of every convention, from the file and from the graph that was drawn."""
    assert convention in CONVENTIONS
    mine = measure(profile(written(integers())), convention)
    theirs = measure(profile(drawn()), convention)
    for name in ("dtype", "macs", "macc", "parameters", "weights_bytes", "code_bytes",
                 "activations_bytes", "runtime_ram_bytes", "ram_upper_bytes"):  # fmt: skip
        assert getattr(mine, name) == getattr(theirs, name), name
    assert [layer.op for layer in mine.layers] == [layer.op for layer in theirs.layers]


def test_an_operator_without_a_rule_is_named() -> None:
    """Custom ones too; the shapes that the file states carry on behind it."""
    file = integers()
    boxes = file.tensor("boxes", 1, 10, 4, dtype="float32")
    file.add("TFLite_Detection_PostProcess", [index(file, "y")], boxes)
    found = profile(written(file, result="boxes"))
    assert found.unknown == ("TFLite_Detection_PostProcess (boxes)",)
    assert found.tensors["boxes"].shape == (1, 10, 4)


@pytest.mark.parametrize("op", RULES)
def test_shapes_that_do_not_suit_an_operator_are_one_clear_message(op: str) -> None:
    """No traceback, whatever an operator reads: here a scalar and too few operands."""
    file = LiteFile()
    x = file.tensor("x", dtype="float32")
    file.add(op, [x], file.tensor("y", 1, 3, 3, 2, dtype="float32"))
    with pytest.raises(EdgebenchError, match=r"^[^\n]+$"):
        profile(written(file))


def test_broken_files_are_one_clear_message() -> None:
    """Cut anywhere, or with bytes changed: refused by name or read, never a traceback."""
    whole = written(integers())
    for end in range(8, len(whole), 97):
        with pytest.raises(EdgebenchError, match=r"^the model[^\n]*$"):
            profile(whole[:end])
    draw = np.random.default_rng(0)
    said = []
    for _ in range(150):
        broken = bytearray(whole)
        for place in draw.integers(8, len(whole), 6):
            broken[place] = draw.integers(0, 256)
        try:
            profile(bytes(broken))
        except EdgebenchError as error:
            said.append(str(error))
    assert len(said) > 20
    assert not [message for message in said if "\n" in message]


def test_what_is_not_a_tflite_file_is_refused_by_name(tmp_path: Path) -> None:
    """The suffix alone makes no model."""
    path = tmp_path / "m.tflite"
    path.write_bytes(b"not a model at all")
    with pytest.raises(
        EdgebenchError, match=r"m\.tflite is not a TFLite model, or it is truncated$"
    ):
        profile(path)


def test_without_the_extra_the_message_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is a package of its own."""
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(EdgebenchError, match=r"pip install 'edgebench\[tflite\]'"):
        profile(written(floats()))
