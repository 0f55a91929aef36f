"""A training that is paused and gone on with is the one that was never paused, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgebench import data
from edgebench.analysis import ANALYSES
from edgebench.data import Dataset
from edgebench.models import MODELS
from edgebench.registry import bind
from edgebench.training import (
    OPTIMIZERS,
    SCHEDULES,
    Epoch,
    Observer,
    Pause,
    Recipe,
    Standing,
    Stop,
    Training,
    train,
)

EPOCHS = 4


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return the made images with a known answer."""
    return data.load("synthetic")


class PauseAfter(Observer):
    """Pauses after an epoch, and keeps the state."""

    def __init__(self, epoch: int | None) -> None:
        self.epoch, self.kept, self.told = epoch, b"", list[int]()

    def on_standing(self, number: int, metrics: Epoch, standing: Standing) -> Pause | None:
        """Pause."""
        assert standing.seconds > 0
        assert 0 <= metrics["val/accuracy"] <= 1
        self.told.append(number)
        if number != self.epoch:
            return None
        self.kept = standing.packed()
        return Pause()

    def state(self) -> dict[str, Any]:
        """Nothing of it is the training's."""
        return {}


def fit(
    dataset: Dataset, options: dict[str, Any], *observers: Observer, **more: Any
) -> tuple[Training, nn.Module]:
    """Train a small network with dropout, from the same seed, whatever was drawn before."""
    torch.manual_seed(7)
    model = MODELS["vgg"](dataset.input_shape, 4, width=4, blocks=2, hidden=8)
    model = nn.Sequential(model, nn.Dropout(0.1))
    torch.rand(int(torch.randint(9, (1,))))
    given = {"epochs": EPOCHS, "batch_size": 96, "learning_rate": 3e-3, "kept_epoch": "last"}
    recipe = Recipe(**bind(Recipe, given | options))
    cpu = torch.device("cpu")
    return train(model, dataset, recipe, device=cpu, seed=3, observers=observers, **more), model


def same(one: nn.Module, other: nn.Module) -> bool:
    """Compare all weights and statistics bit for bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


@pytest.mark.parametrize(
    "options",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        *({"schedule": name, "warmup": 0.4} for name in SCHEDULES),
        {"ema_decay": 0.9, "l1": 1e-4, "l2": 1e-4},
        {"norm_statistics": "precise", "kept_epoch": "best"},
        {"mixup": 0.4, "sampling": "balanced", "augmentation": "cutout"},
    ],
    ids=str,
)
def test_the_same_weights_as_without_a_pause(dataset: Dataset, options: dict[str, Any]) -> None:
    """Twice paused; every recipe's weights, curve and kept epoch."""
    whole, model = fit(dataset, options)
    state = None
    for epoch in (1, 3):
        pause = PauseAfter(epoch)
        part, _ = fit(dataset, options, pause, start=state)
        assert part.paused
        assert len(part.curve) == epoch
        state = pause.kept
    last = PauseAfter(None)
    ended, resumed = fit(dataset, options, last, start=state)
    assert last.told == [4]
    assert same(model, resumed)
    assert (ended.curve, ended.best_epoch) == (whole.curve, whole.best_epoch)
    assert (ended.counts == whole.counts).all()
    assert not ended.paused


def test_without_the_optimizers_state_it_would_be_another_training(dataset: Dataset) -> None:
    """What this file compares tells a resumed training from one that only has the weights."""
    _, model = fit(dataset, {})
    pause = PauseAfter(1)
    fit(dataset, {}, pause)
    forgetful = torch.optim.Optimizer.load_state_dict
    torch.optim.Optimizer.load_state_dict = lambda *_: None  # type: ignore[method-assign,assignment]
    try:
        _, resumed = fit(dataset, {}, PauseAfter(None), start=pause.kept)
    finally:
        torch.optim.Optimizer.load_state_dict = forgetful  # type: ignore[method-assign]
    assert not same(model, resumed)


@pytest.mark.parametrize("name", ANALYSES)
def test_what_observes_remembers_over_a_pause(dataset: Dataset, name: str) -> None:
    """Every analysis finds what it would have found without."""
    whole, before, after = (ANALYSES[name]() for _ in range(3))
    fit(dataset, {}, whole)
    pause = PauseAfter(2)
    fit(dataset, {}, before, pause)
    fit(dataset, {}, after, PauseAfter(None), start=pause.kept)
    assert after.artifact() == whole.artifact()


def test_one_that_is_not_gone_on_with_ends_with_what_it_has(dataset: Dataset) -> None:
    """As if it had been stopped where it was paused: no epoch more, the kept weights."""

    class Stopper(Observer):
        """Stops after the second epoch."""

        def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
            """Stop."""
            del metrics
            return Stop("enough") if number == 2 else None

    stopped, model = fit(dataset, {}, Stopper())
    pause = PauseAfter(2)
    fit(dataset, {}, pause)
    ended, other = fit(dataset, {}, PauseAfter(None), start=pause.kept, stop="enough")
    assert (
        (ended.stopped, ended.curve) == (stopped.stopped, stopped.curve) == ("enough", ended.curve)
    )
    assert same(model, other)
    assert ended.seconds > 0
