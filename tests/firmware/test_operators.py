"""Every operator in C equals ONNX Runtime: in floats, and in bytes within one step."""

from __future__ import annotations

from typing import Any

import export_cases
import numpy as np
import onnx
import pytest
from onnx_graphs import Sketchpad
from programs import allowed, drawn, expected, images_for, outputs, quantized, written
from random_networks import differs

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.firmware import GENERATORS, fitting_plan, output_step
from edgebench.footprint import STYLES, firmware_plan
from edgebench.profiling import profile

F = np.float32


def branches(pad: Sketchpad) -> str:
    """Draw groups, dilation, uneven pads and strides, a residual, a concatenation, a pad."""
    value = pad.conv("input", 6, 3, pads=[1, 0, 2, 1], strides=[1, 2])
    value = pad.add("Relu", [value])
    grouped = pad.conv(value, 6, 6, group=3, pads=[1, 1, 1, 1])
    wide = pad.conv(value, 6, 6, pads=[2, 2, 2, 2], dilations=[2, 2])
    value = pad.add("Add", [grouped, wide])
    apart = pad.conv(value, 6, 6, kernel=5, group=6, pads=[2, 2, 2, 2], strides=[2, 1])
    pooled = pad.add("AveragePool", [value], kernel_shape=[3, 3], strides=[2, 1],
                     pads=[1, 1, 1, 1])  # fmt: skip
    value = pad.add("Concat", [apart, pooled], axis=1)
    value = pad.add("MaxPool", [value], kernel_shape=[3, 2], strides=[1, 2], pads=[1, 0, 1, 0])
    return pad.dense(pad.add("Flatten", [value]), 5, 12 * 5 * 4 // 2)


def fused(pad: Sketchpad) -> str:
    """Draw convolutions with pools inside, of 2x2 and of 3x2, and limits on both sides."""
    low, high = pad.data("low", -0.5, F), pad.data("high", 1.5, F)
    value = pad.conv("input", 7, 3, pads=[1, 1, 1, 1])
    value = pad.add("Clip", [value, low, high])
    value = pad.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
    value = pad.conv(value, 9, 7, kernel=2, pads=[1, 1, 1, 1])
    value = pad.add("MaxPool", [value], kernel_shape=[2, 3], strides=[2, 3])
    value = pad.add("GlobalAveragePool", [pad.add("Relu", [value])])
    return pad.dense(pad.add("Flatten", [value]), 3, 9)


def elementwise(pad: Sketchpad) -> str:
    """Draw activations behind convolutions and alone, broadcast constants, a softmax."""
    value = pad.add("HardSwish", [pad.conv("input", 4, 3, pads=[1, 1, 1, 1])])
    scale = pad.add("Sigmoid", [pad.conv(pad.add("GlobalAveragePool", [value]), 4, 4, kernel=1)])
    value = pad.add("Mul", [value, scale])
    value = pad.add("Sub", [pad.weight("shift", 4, 1, 1), value])
    value = pad.add("Softplus", [pad.add("LeakyRelu", [value], alpha=0.1)])
    value = pad.add("Tanh", [pad.add("Add", [value, pad.data("one", 1.0, F)])])
    value = pad.dense(pad.add("Flatten", [value]), 6, 256)
    return pad.add("Softmax", [value], axis=1)


MODELS = [branches, fused, elementwise]


@pytest.mark.parametrize("plan", ["layerwise", "streaming"])
@pytest.mark.parametrize("write", MODELS, ids=lambda write: write.__name__)
def test_floats(write: Any, plan: str) -> None:
    """Within rounding of single precision."""
    model = drawn(write)
    images = images_for(model, 4)
    found = outputs(written(model, plan), images)
    np.testing.assert_allclose(found, expected(model, images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("write", [branches, fused], ids=lambda write: write.__name__)
def test_bytes(write: Any) -> None:
    """The int8 graph, layers and moves alike: a step, and ONNX Runtime's own spread."""
    model = quantized(drawn(write))
    program, images = written(model), images_for(model, 20)
    apart = np.abs(outputs(program, images) - expected(model, images))
    assert apart.max() <= allowed(program, model, images)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("op", ["Flatten", "Softmax", "Add", "LayerNormalization", "Reshape"])
def test_what_follows_an_image_that_became_a_vector(op: str, int8: bool) -> None:
    """It lies channels last and is read in ONNX's order, whoever reads it."""

    def write(pad: Sketchpad) -> str:
        value = pad.add("Flatten", [pad.conv("input", 4, 3, pads=[1, 1, 1, 1])])
        if op == "Softmax":
            return pad.add("Softmax", [value], axis=1)
        if op == "Add":
            return pad.add("Add", [value, pad.weight("shift", 4 * 5 * 6)])
        if op == "LayerNormalization":
            return pad.add(op, [value, pad.weight("scale", 4 * 5 * 6)], axis=-1)
        if op == "Reshape":
            value = pad.add("Reshape", [value, pad.data("to", [-1, 10, 12])])
            return pad.add("Softmax", [value], axis=1)
        return value

    model = drawn(write, shape=("N", 3, 5, 6))
    model = quantized(model) if int8 else model
    program, images = written(model), images_for(model, 3)
    apart = np.abs(outputs(program, images) - expected(model, images))
    assert apart.max() <= (allowed(program, model, images) if int8 else 1e-5)


@pytest.mark.parametrize("kernel", [(2, 1), (1, 2), (2, 3), (3, 3), (3, 4)], ids=str)
def test_pools_of_bytes_inside_a_convolution(kernel: tuple[int, int]) -> None:
    """Maxima over rows and columns, also where two pixels at once go to two places."""

    def write(pad: Sketchpad) -> str:
        value = pad.add("Relu", [pad.conv("input", 5, 3, pads=[1, 1, 1, 1])])
        value = pad.add("MaxPool", [value], kernel_shape=[*kernel], strides=[*kernel])
        return pad.add("Flatten", [value])

    model = quantized(drawn(write, shape=("N", 3, 7, 13)))
    program, images = written(model), images_for(model, 4)
    found, wanted = outputs(program, images), expected(model, images)
    assert program.functions == ("layer_0_conv", "layer_1_identity")  # the pool is inside
    assert np.abs(found - wanted).max() <= allowed(program, model, images)
    assert np.abs(found - wanted).mean() < 0.05 * output_step(program)


SINGLE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Slice", ([1, -1], [3, -9], [1, 3], [1, -2]), {}),
    ("Pad", ([0, 1, 2, 1, 0, 0, 0, 1], F(0.5)), {}),
    ("Transpose", (), {"perm": [0, 2, 3, 1]}),
    ("BatchNormalization", (F([1, 2, 3, 4]), F([0, 1, 0, 1]), F([0.1, 0, 0.2, 0]),
                            F([1, 2, 0.5, 1])), {"epsilon": 0.01}),
    ("InstanceNormalization", (F([1, 2, 3, 4]), F([0, 1, 0, 1])), {}),
    ("LayerNormalization", (F([1, 2, 3, 4, 5, 6, 7, 8]),), {"axis": -1}),
    ("LogSoftmax", (), {"axis": 1}),
    ("ReduceMean", ([-1],), {"keepdims": 0}),
    ("ReduceMax", ([2, 3],), {}),
    ("PRelu", (F([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1),), {}),
    ("Elu", (), {}), ("Selu", (), {}), ("Celu", (), {"alpha": 0.7}), ("HardSigmoid", (), {}),
    ("Erf", (), {}), ("Mish", (), {}), ("Exp", (), {}), ("Abs", (), {}),
    ("Max", (F(0.1),), {}), ("Div", (F(0.3),), {}),
    ("AveragePool", (), {"kernel_shape": [3, 3], "pads": [1, 0, 1, 0], "count_include_pad": 1}),
    ("GlobalMaxPool", (), {}),
]  # fmt: skip


def test_operators_one_by_one() -> None:
    """Each behind a convolution, read as it lies there and written in ONNX's order."""
    for op, constants, attributes in SINGLE:

        def write(pad: Sketchpad, op: str = op, constants: Any = constants,
                  attributes: Any = attributes) -> str:  # fmt: skip
            value = pad.add("Softsign", [pad.conv("input", 4, 3, kernel=1)])
            names = [pad.data(f"k{i}", one, np.asarray(one).dtype)
                     for i, one in enumerate(constants)]  # fmt: skip
            return pad.add(op, [value, *names], **attributes)

        model = drawn(write)
        images = images_for(model, 2)
        found = outputs(written(model), images, ["-O0"])
        np.testing.assert_allclose(found, expected(model, images), rtol=1e-4, atol=1e-5, err_msg=op)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("family", ["vit"])
def test_families(family: str, int8: bool) -> None:
    """Attention and layer norms; the other families are in `benchmarks/firmware.py`."""
    case: export_cases.Case = (family, ())
    model = export_cases.int8(case) if int8 else export_cases.exported(case)[1]
    program, images = written(model), export_cases.images_of(case, 8)
    apart = np.abs(outputs(program, images, ["-O1"]) - expected(model, images))
    assert apart.max() <= (allowed(program, model, images) if int8 else 1e-5)


def test_the_sanitizers_say_nothing() -> None:
    """No byte outside of a tensor is read, no arithmetic is undefined: a failure is an exit."""
    for model in (drawn(branches), quantized(drawn(fused))):
        images = images_for(model, 2)
        outputs(written(model), images, ["-fsanitize=address,undefined",
                                         "-fno-sanitize-recover=all"])  # fmt: skip


def test_an_operator_without_a_generator_is_named() -> None:
    """All of them at once, with their nodes."""

    def write(pad: Sketchpad) -> str:
        value = pad.conv("input", 4, 3)
        return pad.add("LRN", [pad.add("Sin", [value], "wave")], "local", size=3)

    with pytest.raises(CheckFailed) as failure:
        written(drawn(write))
    assert failure.value.mistakes == (
        "no generator writes the operator Sin (wave)",
        "no generator writes the operator LRN (local)",
    )


def test_an_operator_that_a_generator_cannot_write_is_named() -> None:
    """With what it is about it."""

    def write(pad: Sketchpad) -> str:
        value = pad.conv("input", 4, 3)
        pads = pad.data("p", [0, 0, 1, 1, 0, 0, 1, 1])
        return pad.add("Pad", [value, pads], "mirror", mode="reflect")

    with pytest.raises(CheckFailed, match=r"cannot write the operator Pad \(mirror\): it pads by"):
        written(drawn(write))


def test_two_outputs_are_refused() -> None:
    """The firmware has one input and one output."""
    pad = Sketchpad()
    value = pad.conv("input", 4, 3, kernel=1)
    pad.add("Relu", [value], "a")
    pad.add("Tanh", [value], "b")
    model: onnx.ModelProto = pad.model("a", "b")
    for tensor in model.graph.initializer:
        tensor.raw_data = bytes(4 * int(np.prod(tensor.dims)))
    with pytest.raises(EdgebenchError, match="one output, but the model has 2: a, b"):
        written(model)


def test_every_generator_has_a_name_of_onnx() -> None:
    """A generator under another name would never be called."""
    own = {"Identity"}
    assert all(onnx.defs.has(name) for name in set(GENERATORS) - own)


def test_the_plan_with_the_least_work_that_fits() -> None:
    """A layer after the other where its memory is there, to the byte; rows in rings elsewhere."""
    found = profile(drawn(fused))
    layerwise, streaming = (firmware_plan(found, style).arena.peak for style in STYLES)
    assert streaming < layerwise
    assert fitting_plan(found, layerwise) == "layerwise"
    assert fitting_plan(found, layerwise - 1) == "streaming"
    assert fitting_plan(found, None) == "streaming"


@pytest.mark.parametrize("plan", ["layerwise", "streaming"])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("op", ["LeakyRelu", "HardSwish", "Sigmoid", "Relu"])
def test_an_activation_behind_a_sum_of_rows(op: str, int8: bool, plan: str) -> None:
    """It reads the row that the sum wrote, and no byte beyond it."""

    def write(pad: Sketchpad) -> str:
        value = pad.conv("input", 3, 3, pads=[1, 1, 1, 1])
        value = pad.add(op, [pad.add("Add", [value, "input"])])
        return pad.dense(pad.add("Flatten", [value]), 4, 3 * 5 * 6)

    model = drawn(write, shape=("N", 3, 5, 6))
    model = quantized(model) if int8 else model
    program, images = written(model, plan), images_for(model, 4)
    apart = np.abs(outputs(program, images) - expected(model, images))
    assert apart.max() <= (allowed(program, model, images) if int8 else 1e-4)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_a_fork_in_a_chain_is_finished_on_both_sides(int8: bool) -> None:
    """Both are read behind the chain, to their last rows, wherever the chain ends."""

    def write(pad: Sketchpad) -> str:
        value = pad.add("Relu", [pad.conv("input", 8, 3, 1)])
        sides = [pad.conv(value, count, 8, 1) for count in (4, 3)]
        value = pad.add("Concat", [pad.add("Relu", [sides[0]]), sides[1]], axis=1)
        value = pad.conv(value, 5, 7, 1)
        return pad.dense(pad.add("Flatten", [value]), 4, 5 * 60)

    model = drawn(write, shape=("N", 3, 6, 10))
    model = quantized(model) if int8 else model
    program, images = written(model, "streaming"), images_for(model, 4)
    chains = [group for group in program.plan.groups if group.last - group.first > 1]
    assert any(len(group.ends) > 1 for group in chains)
    apart = np.abs(outputs(program, images) - expected(model, images))
    assert apart.max() <= (allowed(program, model, images) if int8 else 1e-4)


@pytest.mark.parametrize("inputs", [1, 2, 3, 5])
def test_a_dense_layer_of_few_bytes(inputs: int) -> None:
    """Fewer than the four that are multiplied at a time, and one more."""

    def write(pad: Sketchpad) -> str:
        value = pad.add("GlobalAveragePool", [pad.conv("input", inputs, 3, 1)])
        return pad.dense(pad.add("Flatten", [value]), 6, inputs)

    model = quantized(drawn(write, shape=("N", 3, 5, 6)))
    program, images = written(model), images_for(model, 4)
    apart = np.abs(outputs(program, images) - expected(model, images))
    assert apart.max() <= allowed(program, model, images)


@pytest.mark.parametrize("seed", range(8))
def test_a_network_drawn_at_random(seed: int) -> None:
    """Each seed another one; `benchmarks/attacks/firmware_graphs.py` tries hundreds."""
    differs(seed)
