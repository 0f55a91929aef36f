"""TensorFlow Lite Micro: the interpreter's planner, its tail, and graphs that it runs as they are.

Expected heads and tails are what ``runtime.Interpreter.print_allocations`` of tflite-micro says.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_graphs import QuantizedPad, Sketchpad

from edgebench.footprint import Footprint, measure
from edgebench.footprint.planning import Buffer, greedy_by_size
from edgebench.profiling import profile


def test_of_equal_tensors_the_later_is_placed_first() -> None:
    """The interpreter sorts by size and turns the order of equals around."""
    plan = greedy_by_size([Buffer("a", 16, 0, 1), Buffer("b", 16, 1, 2), Buffer("c", 16, 2, 3)])
    assert plan.offsets == {"c": 0, "b": 16, "a": 0}


def visual_wake_words(**more: Any) -> Footprint:
    """Return MobileNetV1 0.25 on 96x96x3 as MLPerf Tiny has it, in integers."""
    pad = QuantizedPad()
    same = {"auto_pad": "SAME_UPPER"}
    parts = ["input", pad.weight("x.s"), pad.weight("x.z", code=TensorProto.INT8)]
    image = pad.add("DequantizeLinear", parts)
    value, channels = pad.conv8(image, 8, 3, (3, 3), strides=[2, 2], **same), 8
    steps = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5]
    for outputs, stride in [*steps, (256, 2), (256, 1)]:
        strides = [stride, stride]
        value = pad.conv8(
            value, channels, channels, (3, 3), strides=strides, group=channels, **same
        )
        value, channels = pad.conv8(value, outputs, channels, (1, 1)), outputs
    value = pad.quantized(pad.add("AveragePool", [value], kernel_shape=[3, 3], strides=[3, 3]))
    value = pad.quantized(pad.add("Flatten", [value]))
    out = pad.quantized(pad.add("Softmax", [pad.dense8(value, 2, 256)], axis=1))
    return measure(
        profile(pad.model(out, shape=("N", 3, 96, 96), code=TensorProto.INT8), **more), "tflm"
    )


def test_the_head_of_a_measured_network() -> None:
    """73,728 B; the order of equal tensors decides (64,512 with the earlier first)."""
    assert visual_wake_words().activations_bytes == 73_728


def test_the_tail_of_a_measured_network() -> None:
    """29,952 B of 30 operators and 3,297 channels, within the 7.2 % that are stated."""
    found = visual_wake_words()
    assert found.runtime_ram_bytes == pytest.approx(29_952, rel=0.072)
    assert found.ram_bytes == found.activations_bytes + found.runtime_ram_bytes
    assert found.ram_upper_bytes is not None
    assert found.ram_upper_bytes >= 73_728 + 29_952


def test_a_float_input_is_held_beside_the_integers_that_it_becomes() -> None:
    """3,920 B: LeNet-300-100 of the interpreter's own tests, 784 floats and 784 integers.

    On the vendor's tools the pair at the edge describes an integer input, and nothing converts.
    """
    pad = QuantizedPad()
    value = pad.add("Reshape", [pad.quantized("input"), pad.data("flat", [1, 784])])
    value = pad.quantized(value)
    for outputs, inputs in ((300, 784), (100, 300)):
        value = pad.quantized(pad.add("Relu", [pad.dense8(value, outputs, inputs)]))
    network = profile(pad.model(pad.dense8(value, 10, 100), shape=("N", 1, 28, 28)))
    assert network.input_types == {"input": "float32"}
    found = measure(network, "tflm")
    assert found.activations_bytes == 3_920
    assert [row.op for row in found.layers] == [
        "QuantizeLinear", "Gemm+Relu", "Gemm+Relu", "Gemm",
    ]  # fmt: skip
    assert measure(network, "st").layers[0].op == "Gemm+Relu"


@given(st.integers(1, 4), st.integers(1, 8))
def test_the_tail_grows_with_operators_and_channels(layers: int, channels: int) -> None:
    """712 B once, 218 an operator, 8.2 a channel: a multiplier and a shift of four bytes each."""
    pad = Sketchpad()
    value, inputs = "input", 3
    for _ in range(layers):
        value, inputs = pad.conv(value, channels, inputs, kernel=1), channels
    found = measure(profile(pad.model(value)), "tflm")
    assert found.runtime_ram_bytes == round(712 + 218 * layers + 8.2 * layers * channels)


def padded() -> Footprint:
    """Return a Pad and a strided convolution behind it: 1 x 3 x 8 x 8, in floats."""
    pad = Sketchpad()
    sides = pad.data("sides", [0, 0, 0, 0, 0, 0, 1, 1])
    value = pad.add("Pad", ["input", sides])
    return measure(profile(pad.model(pad.conv(value, 4, 3, strides=[2, 2], name="out"))), "tflm")


def test_a_pad_is_an_operator_of_its_own() -> None:
    """The input and its padded copy live together, each rounded up to 16 B."""
    found = padded()
    assert [row.op for row in found.layers] == ["Pad", "Conv"]
    assert found.activations_bytes == 3 * 8 * 8 * 4 + 976  # 3 * 9 * 9 * 4 = 972


def test_the_vendors_tools_pad_inside_a_float_convolution() -> None:
    """What the interpreter runs as two steps is one kernel there."""
    pad = Sketchpad()
    value = pad.add("Pad", ["input", pad.data("sides", [0, 0, 0, 0, 0, 0, 1, 1])])
    model = pad.model(pad.conv(value, 4, 3, strides=[2, 2], name="out"))
    assert [row.op for row in measure(profile(model)).layers] == ["Conv"]
