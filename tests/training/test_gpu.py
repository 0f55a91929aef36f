"""Training on a GPU: what holds on a CPU holds there. ``python3 develop.py gpu`` runs these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgebench import data, trial
from edgebench.models import MODELS
from edgebench.record import State
from edgebench.registry import bind
from edgebench.space import TrialConfig
from edgebench.training import Epoch, Observer, Pause, Recipe, Standing, Step, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here"),
]
STEPS = 576 // 64


def fit(*observers: Observer, **options: object) -> tuple[list[torch.Tensor], float]:
    """Train a small network on the GPU; return its weights and its validation accuracy."""
    torch.manual_seed(3)
    dataset = data.load("synthetic")
    model = MODELS["gap"](dataset.input_shape, 4, width=8, blocks=2)
    recipe = Recipe(
        **bind(Recipe, {"epochs": 2, "batch_size": 64, "learning_rate": 3e-3} | options)
    )
    found = train(model, dataset, recipe, device=torch.device("cuda"), seed=3, observers=observers)
    return [one.detach().cpu() for one in model.parameters()], found.best_accuracy


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_the_same_seed_gives_the_same_weights(precision: str) -> None:
    """Bit by bit, on one device."""
    (first, accuracy), (again, _) = (fit(precision=precision) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert accuracy > 0.8


class NoWaiting(Observer):
    """Has PyTorch raise where the host waits for the device between an epoch's steps."""

    def on_step(self, step: Step) -> None:
        """Watch from the first step of an epoch to its last."""
        place = (step.number - 1) % STEPS
        torch.cuda.set_sync_debug_mode("default" if place == STEPS - 1 else "error")


@pytest.mark.parametrize("augmentation", ["none", "flip+crop", "flip+crop+cutout"])
def test_an_epoch_never_waits_for_the_device(augmentation: str) -> None:
    """Data, augmentation and steps are queued; the sums are read at the end of the epoch."""
    try:
        fit(NoWaiting(), augmentation=augmentation)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_trial_goes_the_whole_way(tmp_path: Path) -> None:
    """Trained on the GPU, exported and proven on the CPU."""
    axes = {"model.family": "gap", "model.width": 8, "model.blocks": 2}
    config = TrialConfig(axes | {"train.epochs": 2, "train.batch_size": 64}, "synthetic")
    gate = trial.gate(config, None, (3, 16, 16), 4)
    outcome = trial.run(config, gate, data_dir=tmp_path, device=torch.device("cuda"))
    assert (outcome.state, outcome.reason) == (State.FINISHED, None)
    assert outcome.metrics["parity/max_abs_diff"] < 1e-3


def test_a_pause_changes_no_weight() -> None:
    """Dropout's and mixup's numbers too: the device's own generator goes on where it stood."""

    class Pausing(Observer):
        """Pauses after the first epoch."""

        kept = b""

        def on_standing(self, number: int, metrics: Epoch, standing: Standing) -> Pause | None:
            """Keep the state."""
            del metrics
            if number > 1:
                return None
            self.kept = standing.packed()
            return Pause()

        def state(self) -> dict[str, Any]:
            """Nothing of it is the training's."""
            return {}

    dataset = data.load("synthetic")
    recipe = Recipe(epochs=3, batch_size=64, mixup=0.2)

    def trained(observer: Observer, start: bytes | None = None) -> list[torch.Tensor]:
        torch.manual_seed(3)
        network = MODELS["gap"](dataset.input_shape, 4, width=8, blocks=2)
        model = torch.nn.Sequential(network, torch.nn.Dropout(0.1))
        cuda = torch.device("cuda")
        train(model, dataset, recipe, device=cuda, seed=3, observers=[observer], start=start)
        return [one.detach().cpu() for one in model.parameters()]

    whole, pausing = trained(Observer()), Pausing()
    trained(pausing)
    resumed = trained(Pausing(), pausing.kept)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))
