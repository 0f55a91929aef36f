"""The ladder: a true export climbs it, a broken one fails on its rung and at its operator."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from export_cases import Case, build, cases, exported, handed, label, normalised, pixels, trained
from onnx import numpy_helper

from edgebench.errors import EdgebenchError
from edgebench.export import Preprocessing, to_onnx, torch_answers
from edgebench.export.parity import (
    Ladder,
    Limits,
    climb,
    compare,
    onnx_divergence,
    torch_divergence,
)
from edgebench.export.quantization import quantize


def patched(model: onnx.ModelProto, name: str, change: float) -> onnx.ModelProto:
    """Return a copy with ``change`` added to the first element of one constant."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    tensor = next(tensor for tensor in twin.graph.initializer if tensor.name == name)
    content = numpy_helper.to_array(tensor).copy()
    content.flat[0] += np.array(change).astype(content.dtype)
    tensor.CopyFrom(numpy_helper.from_array(content, name))
    return twin


def ladder(
    float_model: onnx.ModelProto,
    int8_model: onnx.ModelProto | None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Ladder:
    """Climb with the trained digits network on its test images."""
    made = trained()
    return climb(
        made.model,
        float_model,
        int8_model,
        pixels=made.test.numpy(),
        labels=made.test_labels.numpy(),
        preprocessing=made.preprocessing,
        limits=limits,
    )


def test_a_true_export_climbs_to_the_top() -> None:
    """Rounding on the float rung, equal answers, and int8 within a point."""
    found = ladder(*handed())
    assert found.failed is None
    single, small = found.rungs
    assert (single.reference, single.candidate) == ("PyTorch float32", "ONNX float32")
    assert (small.reference, small.candidate) == ("ONNX float32", "ONNX int8")
    assert single.max_abs_diff < 1e-4
    assert single.top1_agreement == 1.0
    assert single.images == small.images == 360
    assert single.reference_accuracy > 0.9
    assert abs(small.reference_accuracy - small.candidate_accuracy) <= 0.01
    assert small.reference_accuracy == single.candidate_accuracy


def test_accuracies_are_those_of_pytorch() -> None:
    """Counted once more, from the raw pixels, with the formula written out."""
    made = trained()
    mean, std = made.preprocessing.mean[0], made.preprocessing.std[0]
    logits = made.model((made.test.float() / 255 - mean) / std)
    expected = (logits.argmax(1) == made.test_labels).double().mean().item()
    assert ladder(handed()[0], None).rungs[0].reference_accuracy == expected


@pytest.mark.parametrize("operator", ["0.1/Conv", "0.5/Conv", "3/Gemm"])
def test_one_patched_weight_fails_the_float_rung_at_its_operator(operator: str) -> None:
    """The first diverging operator is the one whose weight was touched."""
    graph, small = handed()
    found = ladder(patched(graph, f"{operator}.weight", 0.05), small)
    assert found.failed is found.rungs[0]
    assert found.failed.divergence is not None
    assert found.failed.divergence.operator == operator
    assert found.failed.divergence.beyond
    assert found.failed.failures[0].startswith("max_abs_diff ")
    assert str(found.failed.divergence).startswith(
        f"first diverging operator: '{operator}', relative error "
    )


def test_a_patched_int8_weight_fails_the_int8_rung_at_its_operator() -> None:
    """The float rung stands; the search lays float and int8 values side by side."""
    graph, small = handed()
    found = ladder(graph, patched(small, "0.5/Conv.weight_scale", 3.0))
    assert found.rungs[0].passed
    assert found.failed is found.rungs[1]
    assert found.failed.failures[0].startswith("accuracy drop ")
    assert found.failed.divergence is not None
    assert found.failed.divergence.operator == "0.5/Conv"


def test_a_swapped_normalisation_fails_the_float_rung_at_the_input() -> None:
    """A file with another mean is fed otherwise than the network was."""
    made = trained()
    wrong = replace(made.preprocessing, mean=(0.9,))
    found = ladder(to_onnx(made.model, (1, 16, 16), metadata=wrong.metadata()), None)
    assert found.failed is found.rungs[0]
    assert found.failed.divergence is not None
    assert found.failed.divergence.op == "Input"
    assert "the input (preprocessing)" in str(found.failed.divergence)


def test_a_normalisation_swapped_in_the_int8_file_alone_fails_there() -> None:
    """Each file is fed by its own metadata."""
    made = trained()
    graph, small = handed()
    twin = onnx.ModelProto()
    twin.CopyFrom(small)
    onnx.helper.set_model_props(twin, replace(made.preprocessing, std=(5.0,)).metadata())
    found = ladder(graph, twin)
    assert found.failed is found.rungs[1]
    assert found.failed.divergence is not None
    assert found.failed.divergence.op == "Input"


def test_a_file_without_metadata_is_fed_as_the_run_says() -> None:
    """A bare export is still the trained model."""
    assert ladder(to_onnx(trained().model, (1, 16, 16)), None).failed is None


def test_softmax_is_compared_with_softmax() -> None:
    """Probabilities of the file against probabilities of PyTorch."""
    assert ladder(to_onnx(trained().model, (1, 16, 16), softmax=True), None).failed is None


def test_limits_are_the_users() -> None:
    """A limit no export can keep fails, and says the value and the limit."""
    found = ladder(*handed(), Limits(max_abs_diff=0.0, max_accuracy_drop=-1.0))
    assert [rung.passed for rung in found.rungs] == [False, False]
    assert found.rungs[0].failures[0].endswith(" > 0")
    assert found.rungs[0].failures[1] == "accuracy drop 0.0000 > -1.0000"
    divergence = found.rungs[0].divergence
    assert divergence is not None
    assert not divergence.beyond
    assert str(divergence).startswith("no operator's relative error is above 1e-05; it grows most")


def test_a_limit_that_is_no_number_is_refused() -> None:
    """A NaN would let everything pass."""
    with pytest.raises(EdgebenchError) as caught:
        Limits(max_abs_diff=float("nan"))
    assert str(caught.value) == "the limit max_abs_diff must be a number, but got nan"


def test_the_comparison_by_hand() -> None:
    """Three images, two classes, every figure written out."""
    reference = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    candidate = np.array([[1, 0], [1, 0], [1, 0.5]], np.float32)
    labels = np.array([0, 1, 1])
    both = {"labels": labels, "limits": Limits(max_accuracy_drop=0.0)}
    rung = compare("onnx", ("a", "b"), reference, candidate, **both, exact=True)
    assert rung.failures == (
        "max_abs_diff 1 > 0.0001",
        "agreement 0.6667 < 0.9990",
        "accuracy drop 0.3333 > 0.0000",
    )
    assert rung.mean_abs_diff == pytest.approx(2.5 / 6)
    assert (rung.reference_accuracy, rung.candidate_accuracy) == (2 / 3, 1 / 3)
    int8 = compare("int8", ("a", "b"), reference, candidate, **both, exact=False)
    assert int8.failures == ("accuracy drop 0.3333 > 0.0000",)


@pytest.mark.parametrize(
    ("images", "lost", "limit", "passed"),
    [
        (64, 1, 0.01, True),  # one image of 64 is 1.6 points, and luck
        (64, 2, 0.01, True),
        (64, 3, 0.01, False),
        (64, 1, 0.0, False),  # 0 means 0
        (1000, 10, 0.01, True),
        (1000, 11, 0.01, False),
    ],
)
def test_two_images_are_luck_unless_the_limit_is_zero(
    images: int, lost: int, limit: float, passed: bool
) -> None:
    """On a large split the limit is the limit."""
    reference = np.tile(np.array([[1, 0]], np.float32), (images, 1))
    candidate = reference.copy()
    candidate[:lost] = [[0, 1]]
    limits = Limits(max_accuracy_drop=limit)
    labels = np.zeros(images, np.int64)
    rung = compare(
        "int8", ("a", "b"), reference, candidate, labels=labels, limits=limits, exact=False
    )
    assert rung.passed is passed


def test_answers_that_are_not_finite_never_pass() -> None:
    """A NaN fails even where no limit is crossed."""
    logits = np.array([[1.0, 0.0]], np.float32)
    broken = np.array([[np.nan, 0.0]], np.float32)
    both = {"labels": np.array([0]), "limits": Limits()}
    for exact in (True, False):
        rung = compare("onnx", ("a", "b"), logits, broken, **both, exact=exact)
        assert rung.failures[0] == "the answers are not finite"


def test_the_proof_is_plain_json_and_the_metrics_are_flat() -> None:
    """What is written and logged is what was measured."""
    found = ladder(*handed())
    proof = json.loads(json.dumps(found.as_dict()))
    assert proof["passed"] is True
    assert [rung["name"] for rung in proof["rungs"]] == ["onnx", "int8"]
    assert proof["limits"]["max_abs_diff"] == 1e-4
    metrics = found.metrics()
    assert metrics["parity/max_abs_diff"] == proof["rungs"][0]["max_abs_diff"]
    assert metrics["parity/accuracy_int8"] == proof["rungs"][1]["candidate_accuracy"]
    assert metrics["parity/accuracy_pytorch"] == proof["rungs"][0]["reference_accuracy"]
    assert len(metrics) == 9


@pytest.mark.parametrize("case", cases(), ids=label)
def test_every_family_is_laid_beside_its_export_without_a_divergence(case: Case) -> None:
    """On a true export no operator of any family is beyond the float tolerance."""
    model, graph = exported(case)
    images = normalised(pixels(8))
    found = torch_divergence(model, graph, images, images)
    assert found is not None
    assert not found.beyond
    small = quantize(graph, images)
    beside = onnx_divergence(graph, small, images, images)
    assert beside is not None
    assert not beside.beyond


@pytest.mark.parametrize("case", cases(), ids=label)
def test_every_convolution_of_every_family_is_found(case: Case) -> None:
    """Patching any weighted operator names it."""
    model, graph = exported(case)
    images = normalised(pixels(8))
    weighted = [node.name for node in graph.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(weighted) >= 3
    for name in weighted:
        broken = patched(graph, f"{name}.weight", 0.3)
        found = torch_divergence(model, broken, images, images)
        assert found is not None
        assert found.operator == name


def test_a_module_called_twice_is_left_out() -> None:
    """Its two answers cannot be told apart by its path, so neither is compared."""

    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)
            self.dense = torch.nn.Linear(768, 5)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.dense(self.conv(self.conv(images)).flatten(1))
            return logits

    torch.manual_seed(0)
    model = Twice()
    graph = to_onnx(model, (3, 16, 16))
    images = normalised(pixels(4))
    found = torch_divergence(model, graph, images, images)
    assert found is not None
    assert not found.beyond
    assert torch_answers(model, torch.from_numpy(images)).shape == (4, 5)


def test_the_users_model_keeps_its_mode_and_hooks() -> None:
    """The search works on a copy."""
    model = build(("gap", ()))
    graph = to_onnx(model, (3, 16, 16), metadata=Preprocessing((0.0,), (1.0,), ()).metadata())
    images = normalised(pixels(2))
    torch_divergence(model, graph, images, images)
    assert model.training
    assert all(not module._forward_hooks for module in model.modules())
