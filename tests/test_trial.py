"""One candidate through all stages, and every way it can end."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from family_instances import middling, smallest

from edgebench import data, export, trial
from edgebench.errors import EdgebenchError
from edgebench.export import untrained_graph, untrained_int8_graph
from edgebench.footprint import Latency, estimate, firmware_plan, load_target
from edgebench.models import MODELS
from edgebench.profiling import profile
from edgebench.record import Opening, State
from edgebench.space import Budget, TrialConfig
from edgebench.training import Observer, Stop

CPU = torch.device("cpu")


SHAPE = (3, 16, 16)


def config(**params: Any) -> TrialConfig:
    """Return a small candidate on the made images."""
    family = str(params.get("model__family", "gap"))
    axes: dict[str, Any] = {"model.family": family}
    axes |= {f"model.{name}": value for name, value in middling(family).items()}
    axes |= {"train.epochs": 2, "train.batch_size": 32, "train.learning_rate": 3e-3}
    axes |= {name.replace("__", "."): value for name, value in params.items()}
    return TrialConfig(axes, "synthetic")


def gated(budget: Budget | None = None, **params: Any) -> trial.Gate:
    """Measure a small candidate."""
    return trial.gate(config(**params), budget, SHAPE, 4)


def run(*, observers: Sequence[Observer] = (), **params: Any) -> trial.Outcome:
    """Run a small candidate that the gate admits."""
    return trial.run(
        config(**params),
        gated(**params),
        data_dir=Path("unused"),
        device=CPU,
        observers=observers,
    )


@pytest.mark.parametrize("family", MODELS)
def test_a_finished_trial_proves_itself(family: str) -> None:
    """All metrics of the contract stand; fvcore agrees; the shipped model answers alike."""
    outcome = run(model__family=family)
    assert outcome.state == "finished", outcome.reason
    assert {
        "val/accuracy_best",
        "time/train_s",
        "footprint/macs",
        "footprint/macc",
        "footprint/parameters",
        "footprint/rom_bytes",
        "footprint/ram_bytes",
        "footprint/activations_bytes",
    } <= set(outcome.metrics)
    assert outcome.metrics["audit/macs_fvcore"] == outcome.metrics["footprint/macs"]
    assert outcome.metrics["parity/top1_agreement"] == 1.0
    assert outcome.metrics["parity/max_abs_diff"] < 1e-4
    assert len(outcome.curve) == 2


def test_model_and_checkpoint_are_the_same_network() -> None:
    """The checkpoint rebuilt in PyTorch and the ONNX model give one answer to real images."""
    outcome = run()
    assert outcome.onnx is not None
    assert outcome.checkpoint is not None
    dataset = data.load("synthetic")
    model = MODELS["gap"](dataset.input_shape, 4, width=8, blocks=2)
    model.load_state_dict(torch.load(io.BytesIO(outcome.checkpoint), weights_only=True))
    opening = Opening("2026-01-01T00:00:00+00:00", "a test")
    test = dataset.open_test(opening)
    images = trial.preprocessing(dataset).apply(test.images.numpy())
    ours = export.torch_logits(model, torch.from_numpy(images))
    assert np.abs(export.onnx_logits(outcome.onnx, images) - ours).max() < 1e-4
    found = trial.judge(outcome.onnx, config(), Path("unused"), opening)
    assert found["test/accuracy"] == (ours.argmax(1) == test.labels.numpy()).mean()
    right = test.labels[test.labels == ours.argmax(1)]
    assert found["test/recall/upper-left"] == int((right == 0).sum()) / int(
        (test.labels == 0).sum()
    )


def test_the_model_carries_its_preprocessing() -> None:
    """Mean, deviation and class names travel inside the file."""
    outcome = run()
    assert outcome.onnx is not None
    dataset = data.load("synthetic")
    assert export.Preprocessing.of(onnx.load_from_string(outcome.onnx)) == trial.preprocessing(
        dataset
    )


def test_whitening_travels_with_the_model_and_is_counted() -> None:
    """Crops of 8x8: the matrix of 192 x 192 is the first layer, in the gate, the file and int8."""
    axes: dict[str, Any] = {"data__crop": 8, "data__normalization": "zca", "train__epochs": 1}
    asked = dataclasses.replace(config(**axes), int8=True)
    without = trial.gate(config(data__crop=8), None, (3, 8, 8), 4)
    gate = trial.gate(asked, None, (3, 8, 8), 4)
    macs, size = data.input_cost("zca", (3, 8, 8))
    assert (macs, size) == (192 * 192, 4 * (192 * 192 + 192))
    for name, more in (("macs", macs), ("parameters", size // 4)):
        both = gate.metrics, without.metrics
        assert both[0][f"footprint/{name}"] - both[1][f"footprint/{name}"] == more
    outcome = trial.run(asked, gate, data_dir=Path("unused"), device=CPU)
    assert outcome.state == "finished", outcome.reason
    assert outcome.onnx is not None
    constants = onnx.load_from_string(outcome.onnx).graph.initializer
    [matrix] = [
        onnx.numpy_helper.to_array(one) for one in constants if list(one.dims) == [192, 192]
    ]
    layer = trial.dataset_of(asked, Path("unused")).input_layer()
    assert layer is not None
    np.testing.assert_allclose(matrix, layer.state_dict()["weight"].numpy(), atol=1e-6)


def test_over_the_budget_is_refused_with_its_reason() -> None:
    """With the ratio by which it is over; the footprint is known all the same."""
    gate = gated(Budget({"rom_bytes": 1000}, "a-board"))
    rom = int(gate.metrics["footprint/rom_bytes"])
    assert gate.refusal == f"ROM {rom:,} B is over 1,000 B of a-board by {rom - 1000:,} B"
    assert gate.usage == {"rom_bytes": rom / 1000 - 1}


def test_a_board_asks_for_the_promise() -> None:
    """Between the estimate and the upper figure a candidate is refused: it only may fit."""
    known = gated().metrics
    rom, upper = (int(known[f"footprint/rom_{kind}bytes"]) for kind in ("", "upper_"))
    assert rom < upper
    gate = gated(Budget({"rom_upper_bytes": upper - 1}, "a-board"))
    assert gate.refusal == (
        f"may fit: ROM {rom:,} B is under {upper - 1:,} B of a-board, but may be up to "
        f"{upper:,} B, 1 B over"
    )
    assert gated(Budget({"rom_upper_bytes": upper}, "a-board")).refusal is None


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_a_budget_names_the_runtime(int8: bool) -> None:
    """The firmware's plan is what is limited, sought, and equal to that of the exported model."""
    asked = dataclasses.replace(config(), int8=int8)
    gate = trial.gate(asked, Budget({}, runtime="edgebench"), (3, 16, 16), 4)
    assert (gate.refusal, gate.convention) == (None, "edgebench")
    outcome = trial.run(asked, gate, data_dir=Path("unused"), device=CPU)
    assert outcome.state == "finished", outcome.reason
    model = onnx.load_from_string((outcome.onnx_int8 if int8 else outcome.onnx) or b"")
    plan = firmware_plan(profile(model), "streaming")
    suffix = "_int8" if int8 else ""
    assert gate.metrics[f"footprint/ram_bytes{suffix}"] == plan.arena.peak
    ram = f"ram_bytes{suffix}"
    limited = Budget({ram: plan.arena.peak - 1}, runtime="edgebench")
    assert trial.gate(asked, limited, (3, 16, 16), 4).refusal is not None
    assert trial.gate(asked, None, (3, 16, 16), 4).metrics[f"footprint/{ram}"] > plan.arena.peak


def timed(limit: float = 1e9, **params: Any) -> trial.Gate:
    """Measure an int8 candidate for a board, with a limit on its time."""
    board = load_target("stm32f746g-disco")
    budget = Budget({"latency_ms_int8": limit}, board.name, board)
    candidate = dataclasses.replace(config(**params), int8=True)
    return trial.gate(candidate, budget, (3, 32, 32), 4, needed=["footprint/latency_ms_int8"])


def test_a_time_is_estimated_for_the_board_and_limited() -> None:
    """The figure of `estimate` on the same graph; the provenance says how sure it is."""
    gate = timed(model__width=16)
    model = MODELS["gap"]((3, 32, 32), 4, width=16, blocks=2)
    int8 = untrained_int8_graph(untrained_graph(model, (3, 32, 32)))
    expected = estimate(profile(int8), load_target("stm32f746g-disco"), "st")
    assert isinstance(expected, Latency)
    assert gate.metrics["footprint/latency_ms_int8"] == expected.ms
    assert gate.metrics["footprint/latency_upper_ms_int8"] == expected.high_ms > expected.ms
    assert "footprint/latency_ms" not in gate.metrics  # float networks have no estimate
    assert gate.provenance_int8.endswith(f"; latency {expected.provenance}")
    assert "int8 networks" in gate.provenance_int8  # whose errors are not the float networks'
    assert "latency" not in gate.provenance
    refusal = timed(expected.ms - 1, model__width=16).refusal
    assert refusal is not None
    assert refusal.startswith(f"latency int8 {expected.ms:,.2f} ms is over ")


def test_a_candidate_without_an_estimate_of_its_time_is_refused_by_name() -> None:
    """The study limits it: a network too small for the model is not let through unmeasured."""
    refusal = timed(model__width=2).refusal
    assert refusal is not None
    assert refusal.startswith("latency int8: no estimate: networks under 250,000")


def test_within_the_budget_is_admitted() -> None:
    """A limit that is met leaves its margin."""
    gate = gated(Budget({"rom_bytes": 10**6}))
    assert gate.refusal is None
    assert gate.usage["rom_bytes"] < 0


def test_a_network_that_cannot_be_built_is_refused() -> None:
    """16 pixels cannot be halved 7 times; the sweep goes on with the reason."""
    refusal = gated(model__blocks=7).refusal
    assert refusal is not None
    assert refusal.startswith("model.blocks: 7 blocks halve the input 7 times")


@pytest.mark.parametrize("family", MODELS)
def test_the_gate_draws_no_weight(family: str) -> None:
    """It measures shapes: a network of a billion weights is refused as fast, in no memory."""
    state = torch.random.get_rng_state()
    chosen = {f"model.{name}": value for name, value in smallest(family).items()}
    candidate = TrialConfig({"model.family": family, **chosen}, "synthetic")
    assert trial.gate(candidate, None, (3, 32, 32), 4).metrics
    assert torch.equal(torch.random.get_rng_state(), state)
    huge = gated(Budget({"rom_bytes": 1000}), model__width=2**13)
    assert huge.refusal is not None
    assert huge.metrics["footprint/parameters"] > 10**9


def test_a_gate_says_by_which_rules_it_measured() -> None:
    """Recorded with the run, and never assumed when it is read."""
    gate = gated()
    assert gate.convention == "st"
    assert gate.provenance.startswith("estimated (st")


def test_a_diverging_training_fails_with_its_reason() -> None:
    """Not an exception: a row."""
    outcome = run(train__optimizer="sgd", train__learning_rate=1e30, train__schedule="constant")
    assert outcome.state == "failed"
    assert outcome.reason is not None
    assert outcome.reason.startswith("the training loss became ")


def test_a_rate_that_explodes_is_the_reason_and_not_the_export() -> None:
    """Found in the training, with the rate in the message."""
    outcome = run(train__learning_rate=1000.0, train__schedule="constant")
    assert outcome.state is State.FAILED
    assert outcome.reason is not None
    assert "1000" in outcome.reason
    assert "export" not in outcome.reason


def test_a_stopped_training_is_pruned_and_keeps_its_curve() -> None:
    """Nothing is exported; what is known of it is kept."""

    class Impatient(Observer):
        """Stops after the first epoch."""

        def on_epoch(self, number: int, metrics: dict[str, float]) -> Stop | None:
            """Stop."""
            return Stop(f"{len(metrics)} figures of epoch {number} are enough")

    outcome = run(observers=[Impatient()])
    assert outcome.state is State.PRUNED
    assert outcome.reason == "4 figures of epoch 1 are enough"
    assert len(outcome.curve) == 1
    assert outcome.metrics["val/accuracy_best"] == outcome.curve[0]["val/accuracy"]
    assert outcome.onnx is None


def test_the_precision_that_was_used_is_told() -> None:
    """Not the one that would be chosen here."""
    assert run(train__precision="float32").precision == "float32"


def test_a_gate_that_promised_other_figures_fails_the_trial() -> None:
    """What is measured is what ships."""
    honest = gated()
    macs = int(honest.metrics["footprint/rom_bytes"])
    wrong = dataclasses.replace(honest, metrics={**honest.metrics, "footprint/rom_bytes": macs + 1})
    outcome = trial.run(config(), wrong, data_dir=Path("unused"), device=CPU)
    assert outcome.state is State.FAILED
    assert outcome.reason == (
        f"the gate measured footprint/rom_bytes {macs + 1:,}, but the exported model has {macs:,}"
    )


def test_two_sources_that_disagree_fail_the_trial() -> None:
    """Both figures are in the reason, and nothing is trained."""
    honest = gated()
    macs = int(honest.metrics["footprint/macs"])
    wrong = dataclasses.replace(honest, metrics={**honest.metrics, "footprint/macs": macs - 1})
    outcome = trial.run(config(), wrong, data_dir=Path("unused"), device=CPU)
    assert outcome.state is State.FAILED
    assert outcome.curve == ()
    assert outcome.reason == (
        f"the MACs disagree: {macs - 1:,} in the ONNX graph, {macs:,} by fvcore"
    )


def test_data_that_cannot_be_read_is_the_users_mistake() -> None:
    """The request is wrong, not the candidate."""
    elsewhere = TrialConfig({"model.family": "gap"}, "folder:/nowhere/at/all")
    with pytest.raises(EdgebenchError, match="there is no folder"):
        trial.run(elsewhere, gated(), data_dir=Path("unused"), device=CPU)
