"""The ladder: a true export passes it, a broken one fails on its rung and at its operator."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from export_cases import (
    Case,
    build,
    cases,
    exported,
    handed,
    images_of,
    int8,
    label,
    normalized,
    pixels,
    trained,
)
from onnx import numpy_helper

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.export import to_onnx, torch_logits
from edgebench.export.parity import (
    Ladder,
    Limits,
    compare,
    onnx_divergence,
    require_passed,
    run_ladder,
    torch_divergence,
)


def patched(model: onnx.ModelProto, name: str, change: float) -> onnx.ModelProto:
    """Return a copy with ``change`` added to the first element of one constant."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    tensor = next(tensor for tensor in twin.graph.initializer if tensor.name == name)
    content = numpy_helper.to_array(tensor).copy()
    content.flat[0] += np.array(change).astype(content.dtype)
    tensor.CopyFrom(numpy_helper.from_array(content, name))
    return twin


def doubled(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy with one constant twice as large, which no input can hide."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    tensor = next(tensor for tensor in twin.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), name))
    return twin


def ladder(
    float_model: onnx.ModelProto,
    int8_model: onnx.ModelProto | None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Ladder:
    """Compare with the trained digits network on its test images."""
    made = trained()
    return run_ladder(
        made.model,
        float_model,
        int8_model,
        pixels=made.test.numpy(),
        labels=made.test_labels.numpy(),
        preprocessing=made.preprocessing,
        limits=limits,
    )


def test_a_true_export_passes_every_rung() -> None:
    """Rounding on the float rung, equal classes, and int8 within a point."""
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


def test_a_swapped_normalization_fails_the_float_rung_at_the_input() -> None:
    """A file with another mean is fed otherwise than the network was."""
    made = trained()
    wrong = replace(made.preprocessing, mean=(0.9,))
    found = ladder(to_onnx(made.model, (1, 16, 16), metadata=wrong.metadata()), None)
    assert found.failed is found.rungs[0]
    assert found.failed.divergence is not None
    assert found.failed.divergence.op == "Input"
    assert "the input (preprocessing)" in str(found.failed.divergence)


def test_a_normalization_swapped_in_the_int8_file_alone_fails_there() -> None:
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


def test_the_first_broken_rung_is_raised() -> None:
    """Its name, its reasons and the operator; a ladder without one raises nothing."""
    graph, small = handed()
    require_passed(*ladder(graph, small).rungs)
    broken = ladder(patched(graph, "0.5/Conv.weight", 0.05), small)
    with pytest.raises(CheckFailed) as caught:
        require_passed(*broken.rungs)
    reason, operator = caught.value.mistakes
    assert reason.startswith("the rung from PyTorch float32 to ONNX float32 failed: max_abs_diff ")
    assert operator.startswith("first diverging operator: '0.5/Conv', relative error ")


def test_limits_are_the_users() -> None:
    """A limit no export can keep fails, and says the value and the limit."""
    found = ladder(*handed(), Limits(max_abs_diff=0.0, max_accuracy_drop=-1.0))
    assert [rung.passed for rung in found.rungs] == [False, False]
    assert found.rungs[0].failures[0].endswith(" > 0")
    assert found.rungs[0].failures[1] == "accuracy drop 0.0000 > -1.0000"
    divergence = found.rungs[0].divergence
    assert divergence is not None
    assert not divergence.beyond
    assert str(divergence).startswith("no operator's relative error is above 0.0001; it grows most")


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
    ("largest", "apart", "passed"),
    [
        (0.5, 0.9e-4, True),
        (0.5, 1.1e-4, False),  # below 1 the limit is absolute
        (-50.0, 49e-4, True),  # rounding of a logit of 50 is larger than that of one of 0.5
        (-50.0, 51e-4, False),
    ],
)
def test_a_large_logit_may_differ_by_its_share(largest: float, apart: float, passed: bool) -> None:
    """The limit is relative to the largest logit of the reference where that is above 1."""
    reference = np.array([[largest, 0.0]])
    both = {"labels": np.array([1]), "limits": Limits()}
    rung = compare(
        "onnx", ("a", "b"), reference, reference + np.array([0.0, apart]), **both, exact=True
    )
    assert rung.max_abs_logit == abs(largest)
    assert rung.passed is passed


def test_what_the_limit_is_relative_to_is_said() -> None:
    """The message has the limit, its share and the logit; the table what was allowed."""
    reference = np.array([[20.0, 0.0]])
    both = {"labels": np.array([0]), "limits": Limits()}
    rung = compare("onnx", ("a", "b"), reference, reference + 0.5, **both, exact=True)
    assert rung.failures == ("max_abs_diff 0.5 > 0.002 (0.0001 of the largest logit, 20)",)
    assert Ladder((rung,), Limits()).rows()[0]["allowed"] == "2.00e-03"


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


def test_outputs_that_are_not_finite_never_pass() -> None:
    """A NaN fails even where no limit is crossed."""
    logits = np.array([[1.0, 0.0]], np.float32)
    broken = np.array([[np.nan, 0.0]], np.float32)
    both = {"labels": np.array([0]), "limits": Limits()}
    for exact in (True, False):
        rung = compare("onnx", ("a", "b"), logits, broken, **both, exact=exact)
        assert rung.failures[0] == "the outputs are not finite"


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
    images = images_of(case, 8)
    found = torch_divergence(model, graph, images, images)
    assert found is not None
    assert not found.beyond
    beside = onnx_divergence(graph, int8(case), images, images)
    assert beside is not None
    assert beside.error < 2 * beside.tolerance  # random weights keep less than trained ones


@pytest.mark.parametrize("case", cases(), ids=label)
def test_every_convolution_of_every_family_is_found(case: Case) -> None:
    """Spoiling any weighted operator names it."""
    model, graph = exported(case)
    images = images_of(case, 8)
    weighted = [node.name for node in graph.graph.node if node.op_type in ("Conv", "Gemm")]
    assert weighted
    for name in weighted:
        found = torch_divergence(model, doubled(graph, f"{name}.weight"), images, images)
        assert found is not None
        assert (found.operator, found.beyond) == (name, True)


def test_a_module_called_twice_is_left_out() -> None:
    """Its two outputs cannot be told apart by its path, so neither is compared."""

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
    images = normalized(pixels(4))
    found = torch_divergence(model, graph, images, images)
    assert found is not None
    assert not found.beyond
    assert torch_logits(model, torch.from_numpy(images)).shape == (4, 5)


def test_the_users_model_keeps_its_mode_and_hooks() -> None:
    """The search works on a copy."""
    model = build(("gap", ()))
    _, graph = exported(("gap", ()))
    images = images_of(("gap", ()), 2)
    torch_divergence(model, graph, images, images)
    assert model.training
    assert all(not module._forward_hooks for module in model.modules())
