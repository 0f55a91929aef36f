"""Int8: the whole graph, the same bytes, ranges by the book, and the most accurate candidate."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from export_cases import (
    CLASSES,
    SHAPE,
    Case,
    cases,
    exported,
    images_of,
    int8,
    label,
    normalized,
    pixels,
    shape_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.export import (
    Preprocessing,
    difference,
    onnx_logits,
    serialize,
    to_onnx,
)
from edgebench.export.quantization import (
    CANDIDATES,
    Calibration,
    Method,
    best,
    candidates,
    evenly_spaced,
    float_operators,
    quantize,
    untrained_int8_graph,
)
from edgebench.export.quantization.calibration import entropy_range, percentile_range, ranges

GAP: Case = ("gap", ())
VGG: Case = ("vgg", ())


STAYS_FLOAT = {"Flatten": "its input 'input' is float32"}
"""What int8 graphs leave in float32, and why: a flatten of the input moves what is not int8 yet."""


@pytest.mark.parametrize("case", cases(), ids=label)
def test_every_family_and_choice_is_int8(case: Case) -> None:
    """What stays float32 is known with its reason, and the logits stay close to the float ones."""
    _, graph = exported(case)
    images, small = images_of(case, 200), int8(case)
    for found in float_operators(small):
        assert found.reason == STAYS_FLOAT.get(found.op), found
    exact = onnx_logits(graph, images)
    error = np.linalg.norm(exact - onnx_logits(small, images)) / np.linalg.norm(exact)
    assert error < 0.1


@pytest.mark.parametrize("case", cases(), ids=label)
def test_int8_is_computed_as_the_file_says(case: Case) -> None:
    """Fused kernels give what the graph gives operator by operator, where nothing can saturate."""
    images, small = images_of(case, 50), int8(case)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = ort.InferenceSession(serialize(small), options).run(None, {"input": images})[0]
    fused = onnx_logits(small, images)
    assert np.linalg.norm(fused - plain) < 0.02 * np.linalg.norm(plain)


@pytest.mark.parametrize("case", cases(), ids=label)
def test_the_untrained_int8_graph_has_the_footprint_of_the_int8_file(case: Case) -> None:
    """What the gate measures before training is what ships, layer by layer, for every family."""
    from edgebench.export.untrained import untrained_graph
    from edgebench.footprint import CONVENTIONS, measure
    from edgebench.profiling import profile

    model, _ = exported(case)
    shipped = profile(int8(case))
    planned = profile(untrained_int8_graph(untrained_graph(model, shape_of(case))))
    for convention in CONVENTIONS:
        assert measure(planned, convention).as_dict() == measure(shipped, convention).as_dict()


@pytest.mark.parametrize("opset", [20, 22])
def test_gelu_is_int8_at_the_opsets_that_have_it(opset: int) -> None:
    """From opset 20 GELU is one operator, and it is int8 too."""
    case: Case = ("gap", (("activation", "gelu"),))
    _, graph = exported(case, opset)
    assert "Gelu" in {node.op_type for node in graph.graph.node}
    assert float_operators(quantize(graph, images_of(case, 50))) == ()


@pytest.mark.parametrize("case", [GAP, VGG], ids=label)
def test_the_host_runs_integer_kernels_from_input_to_output(case: Case, tmp_path: Path) -> None:
    """ONNX Runtime's own optimizer finds no float convolution, dense layer or pooling left."""
    small = int8(case)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(serialize(small), options)
    used = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert used[0] == "QuantizeLinear"
    assert used[-1] == "DequantizeLinear"
    assert used.count("QuantizeLinear") == used.count("DequantizeLinear") == 1
    assert used.count("QLinearConv") == 2
    assert not {"Conv", "Gemm", "GlobalAveragePool", "Relu"} & set(used)


def test_weights_are_int8_per_channel_and_biases_int32() -> None:
    """The largest weight of each output channel is 127 steps of its scale, as symmetric int8 is."""
    _, graph = exported(VGG)
    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    small = int8(VGG)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in small.graph.initializer}
    for name, axes in (("0.1/Conv.weight", (1, 2, 3)), ("2/Gemm.weight", (1,))):
        assert found[f"{name}_quantized"].dtype == np.int8
        expected = np.abs(exact[name]).max(axis=axes) / 127
        np.testing.assert_allclose(found[f"{name}_scale"], expected, rtol=0.01)
    assert found["0.1/Conv.bias_quantized"].dtype == np.int32


def test_bytes_and_metadata_are_the_same_each_time() -> None:
    """Two runs write equal bytes; preprocessing stays in the file, with how it was quantized."""
    _, graph = exported(GAP)
    images = images_of(GAP, 60)
    for method in ("minmax", "percentile", "entropy"):
        first, second = (quantize(graph, images, method=method, count=50) for _ in range(2))
        assert serialize(first) == serialize(second)
    assert Preprocessing.of(first) == Preprocessing.of(graph)
    notes = {entry.key: entry.value for entry in first.metadata_props}
    assert json.loads(notes["edgebench.int8"]) == {"method": "entropy", "images": 50}
    assert b"/tmp" not in serialize(first)


@pytest.mark.parametrize("method", ["minmax", "entropy"])
def test_another_process_writes_the_same_bytes(method: Method, tmp_path: Path) -> None:
    """Whatever its hash seed, folder and memory layout."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from export_cases import *\n"
        "from edgebench.export import serialize\n"
        "graph = exported(('gap', ()))[1]\n"
        "small = quantize(graph, images_of(('gap', ()), 40), method=sys.argv[2])\n"
        "sys.stdout.buffer.write(serialize(small))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[1]), method],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == serialize(quantize(exported(GAP)[1], images_of(GAP, 40), method=method))


def test_quantization_is_silent(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the calibration nor the quantizer prints or logs."""
    with caplog.at_level(logging.DEBUG):
        quantize(exported(GAP)[1], images_of(GAP, 20), method="percentile")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_float_operator_is_named_with_its_reason() -> None:
    """Cutting one QuantizeLinear out leaves the operators on both sides in float32."""
    small = onnx.ModelProto()
    small.CopyFrom(int8(GAP))
    links = {node.name: node for node in small.graph.node}
    cut = links["1/GlobalAveragePool_QuantizeLinear"]
    after = links["1/GlobalAveragePool_DequantizeLinear"]
    for node in small.graph.node:
        for place, value in enumerate(node.input):
            if value == after.output[0]:
                node.input[place] = cut.input[0]
    small.graph.node.remove(cut)
    small.graph.node.remove(after)
    assert [(found.name, found.reason) for found in float_operators(small)] == [
        ("1/GlobalAveragePool", "its result is used as float32"),
        ("2/Flatten", "its input '1/GlobalAveragePool' is float32"),
    ]


def test_attention_is_int8() -> None:
    """A transformer's layer: matrix products, softmax, layer norms, and integers for shapes."""

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.mixed = nn.MultiheadAttention(16, 2, batch_first=True)
            self.norm = nn.LayerNorm(16)
            self.dense = nn.Linear(16, CLASSES)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = self.norm(self.patches(images).flatten(2).transpose(1, 2))
            tokens = tokens + self.mixed(tokens, tokens, tokens, need_weights=False)[0]
            logits: torch.Tensor = self.dense(tokens.mean(1))
            return logits

    torch.manual_seed(0)
    graph = to_onnx(Attends(), SHAPE)
    used = {node.op_type for node in graph.graph.node}
    assert {"MatMul", "Softmax", "LayerNormalization", "Transpose"} <= used
    images = normalized(pixels(60))
    small = quantize(graph, images)
    assert float_operators(small) == ()
    exact = onnx_logits(graph, images)
    assert difference(exact, onnx_logits(small, images)).max_abs_diff < 0.05 * np.ptp(exact)


def test_a_float_model_is_float_throughout() -> None:
    """The report does not call an unquantized graph int8."""
    _, graph = exported(GAP)
    assert [found.op for found in float_operators(graph)] == [
        node.op_type for node in graph.graph.node
    ]


def test_ranges_equal_the_values_that_pytorch_computes() -> None:
    """Minmax on a two-layer network, against the tensors themselves; the input is in too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(784, CLASSES))
    images = normalized(pixels(70))
    found = ranges(to_onnx(model, SHAPE), images, Calibration())
    with torch.no_grad():
        hidden = model[0](torch.from_numpy(images))
    assert found["input"] == pytest.approx((images.min(), images.max()))
    assert found["0/Conv"] == pytest.approx((hidden.min().item(), hidden.max().item()), abs=1e-5)
    bound = (hidden.tanh().min().item(), hidden.tanh().max().item())
    assert found["1/Tanh"] == pytest.approx(bound, abs=1e-5)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=80),
    share=st.sampled_from([0.6, 0.9, 0.99, 1.0]),
)
def test_a_percentile_cuts_no_more_than_its_share(values: list[float], share: float) -> None:
    """At most half of the rest lies beyond each end, by counting; the range holds 0."""
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == high:
        return
    counts, edges = np.histogram(values, bins=64, range=(low, high))
    start, stop = percentile_range(counts.astype(np.int64), low, high, share)
    middles = np.repeat((edges[:-1] + edges[1:]) / 2, counts)
    allowed = (1 - share) / 2 * len(values)
    assert low <= start <= 0 <= stop <= high
    assert np.sum(middles < start) <= allowed
    assert np.sum(middles > stop) <= allowed


def test_entropy_gives_up_a_lone_outlier_and_nothing_else() -> None:
    """A bell with one value 20 times as far out is cut to the bell; a flat histogram is kept."""
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(0, 1, 200_000), 80.0)
    counts, _ = np.histogram(values, bins=4096, range=(-5.0, 80.0))
    _, stop = entropy_range(counts.astype(np.int64), -5.0, 80.0)
    assert 2 < stop < 40
    flat = np.full(4096, 10, np.int64)
    assert entropy_range(flat, -1.0, 1.0) == (-1.0, 1.0)
    assert entropy_range(np.zeros(4096, np.int64), 0.0, 0.0) == (0.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), offset=st.floats(-20, 20))
def test_entropy_clips_at_most_its_limit_wherever_the_values_crowd(
    seed: int, offset: float
) -> None:
    """Values far from 0 are never given up for the emptiness between."""
    values = np.random.default_rng(seed).normal(offset, 1, 20_000)
    low, high = min(0.0, values.min()), max(0.0, values.max())
    counts, _ = np.histogram(values, bins=4096, range=(low, high))
    start, stop = entropy_range(counts.astype(np.int64), low, high)
    assert np.mean((values < start) | (values > stop)) <= 0.002


@given(total=st.integers(1, 5000), count=st.integers(1, 600))
def test_calibration_images_are_spread_evenly(total: int, count: int) -> None:
    """Distinct, in order, and every stretch of the data set is visited."""
    chosen = evenly_spaced(total, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(total, count)
    assert chosen.min() == 0
    assert chosen.max() < total
    assert np.diff(chosen).max(initial=1) <= -(-total // min(total, count))


def test_the_most_accurate_candidate_is_kept() -> None:
    """The accuracies are those of each candidate by itself, and the first of the best wins."""
    model, graph = exported(GAP)
    images = images_of(GAP, 300, seed=1)
    labels = model.eval()(torch.from_numpy(images)).argmax(1).numpy()
    choice = best(graph, images_of(GAP, 64), images, labels)
    assert list(choice.tried) == list(CANDIDATES)
    for name, setting in CANDIDATES.items():
        alone = quantize(
            graph,
            images_of(GAP, 64),
            method=setting.method,
            percentile=setting.percentile,
        )
        assert choice.tried[name] == np.mean(onnx_logits(alone, images).argmax(1) == labels)
    assert choice.accuracy == max(choice.tried.values())
    assert choice.name == max(choice.tried, key=lambda name: choice.tried[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "minimax"},
            "unknown calibration method 'minimax'; did you mean 'minmax'?",
        ),
        (
            {"count": 0},
            "the calibration needs at least 1 image, but got count 0; the nearest valid value is 1",
        ),
        (
            {"percentile": 101.0},
            (
                "the percentile must be above 50 and at most 100, but got 101.0; "
                "a valid choice is 100.0"
            ),
        ),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    """One message with the value, the rule and the nearest choice."""
    with pytest.raises(EdgebenchError) as caught:
        quantize(exported(GAP)[1], images_of(GAP, 4), **arguments)  # type: ignore[arg-type]  # on purpose
    assert str(caught.value) == message


def test_images_of_another_shape_and_quantized_models_are_refused() -> None:
    """The message names both shapes; a second quantization is refused by name."""
    _, graph = exported(GAP)
    with pytest.raises(EdgebenchError) as caught:
        quantize(graph, np.zeros((4, 1, 16, 16), np.float32))
    assert str(caught.value) == (
        f"calibration images must have the model's input shape {list(shape_of(GAP))}, "
        "but got [4, 1, 16, 16]"
    )
    with pytest.raises(EdgebenchError, match=r"^the model is quantized already"):
        quantize(int8(GAP), images_of(GAP, 4))


def test_diverged_weights_are_refused() -> None:
    """A NaN names the operator that made it."""
    broken = onnx.ModelProto()
    broken.CopyFrom(exported(GAP)[1])
    bias = next(t for t in broken.graph.initializer if t.name == "0.5/Conv.bias")
    content = numpy_helper.to_array(bias).copy()
    content[0] = np.nan
    bias.CopyFrom(numpy_helper.from_array(content, bias.name))
    with pytest.raises(EdgebenchError, match=r"^calibration met a value that is not finite in '"):
        quantize(broken, images_of(GAP, 4))


def test_an_unknown_candidate_names_the_nearest() -> None:
    """A name chooses one candidate, ``auto`` all."""
    assert list(candidates("auto")) == list(CANDIDATES)
    assert candidates("entropy") == {"entropy": Calibration("entropy")}
    with pytest.raises(EdgebenchError) as caught:
        candidates("minmx")
    assert str(caught.value) == "unknown int8 candidate 'minmx'; did you mean 'minmax'?"
