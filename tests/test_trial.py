"""One candidate through all stages, and every way it can end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edgebench import data, export, trial
from edgebench.errors import EdgebenchError
from edgebench.models import MODELS
from edgebench.space import Budget, TrialConfig

CPU = torch.device("cpu")


def run(budget: Budget | None = None, **params: Any) -> trial.Outcome:
    """Run a small candidate on the made images."""
    axes = {"model.family": "gap", "model.width": 8, "model.blocks": 2}
    axes |= {"train.epochs": 2, "train.batch_size": 32, "train.learning_rate": 3e-3}
    axes |= {name.replace("__", "."): value for name, value in params.items()}
    return trial.run(
        TrialConfig(axes, "synthetic"),
        budget,
        data_dir=Path("unused"),
        device=CPU,
        on_epoch=lambda *_: None,
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
    images = trial.preprocessing(dataset).apply(dataset.test.images.numpy())
    ours = export.torch_logits(model, torch.from_numpy(images))
    assert np.abs(export.onnx_logits(outcome.onnx, images) - ours).max() < 1e-4
    accuracy = (ours.argmax(1) == dataset.test.labels.numpy()).mean()
    config = TrialConfig({"model.family": "gap"}, "synthetic")
    assert trial.examine(outcome.onnx, config, Path("unused")) == accuracy


def test_the_model_carries_its_preprocessing() -> None:
    """Mean, deviation and class names travel inside the file."""
    outcome = run()
    assert outcome.onnx is not None
    dataset = data.load("synthetic")
    assert export.Preprocessing.of(onnx.load_from_string(outcome.onnx)) == trial.preprocessing(
        dataset
    )


def test_over_the_budget_is_never_trained() -> None:
    """Refused with the reason and the ratio; the footprint is known all the same."""
    outcome = run(Budget({"rom_bytes": 1000}, "a-board"))
    assert outcome.state == "refused"
    rom = outcome.metrics["footprint/rom_bytes"]
    assert outcome.reason == f"ROM {rom:,} B is over 1,000 B of a-board by {rom - 1000:,} B"
    assert outcome.usage == {"rom_bytes": rom / 1000 - 1}
    assert outcome.curve == ()
    assert outcome.onnx is None


def test_within_the_budget_is_trained() -> None:
    """A limit that is met leaves its margin in the record."""
    outcome = run(Budget({"rom_bytes": 10**6}))
    assert outcome.state == "finished"
    assert outcome.usage["rom_bytes"] < 0


def test_a_network_that_cannot_be_built_is_refused() -> None:
    """16 pixels cannot be halved 7 times; the sweep goes on with the reason."""
    outcome = run(model__blocks=7)
    assert outcome.state == "refused"
    assert outcome.reason is not None
    assert outcome.reason.startswith("model.blocks: 7 blocks halve the input 7 times")


def test_a_diverging_training_fails_with_its_reason() -> None:
    """Not an exception: a row."""
    outcome = run(train__optimizer="sgd", train__learning_rate=1e30, train__schedule="constant")
    assert outcome.state == "failed"
    assert outcome.reason is not None
    assert outcome.reason.startswith("the training loss became ")


def test_two_sources_that_disagree_fail_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both figures are in the reason."""
    real = trial.export.count_macs
    monkeypatch.setattr(trial.export, "count_macs", lambda *given: real(*given) + 1)
    outcome = run()
    macs = int(outcome.metrics["footprint/macs"])
    assert outcome.state == "failed"
    assert outcome.reason == (
        f"the MACs disagree: {macs:,} in the ONNX graph, {macs + 1:,} by fvcore"
    )


def test_data_that_cannot_be_read_is_the_users_mistake() -> None:
    """The request is wrong, not the candidate."""
    with pytest.raises(EdgebenchError, match="there is no folder"):
        trial.run(
            TrialConfig({"model.family": "gap"}, "folder:/nowhere/at/all"),
            None,
            data_dir=Path("unused"),
            device=CPU,
            on_epoch=lambda *_: None,
        )
