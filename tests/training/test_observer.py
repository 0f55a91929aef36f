"""The observer protocol: who is told what, when, and what it costs when nobody listens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgebench import data
from edgebench.data import Dataset
from edgebench.models import MODELS
from edgebench.registry import bind
from edgebench.training import Epoch, Observer, Recipe, Step, Stop, Training, loop, train
from edgebench.training.batches import normalizer

CPU = torch.device("cpu")
STEPS = 576 // 64


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return the made images with a known answer."""
    return data.load("synthetic")


def fit(dataset: Dataset, *observers: Observer, **options: Any) -> tuple[Training, nn.Module]:
    """Train a small network for two epochs of 9 steps."""
    torch.manual_seed(1)
    model = MODELS["gap"](dataset.input_shape, 4, width=4, blocks=2)
    given = {"epochs": 2, "batch_size": 64, "learning_rate": 3e-3} | options
    recipe = Recipe(**bind(Recipe, given))
    return train(model, dataset, recipe, device=CPU, seed=1, observers=observers), model


class Diary(Observer):
    """Writes down every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self, model: nn.Module, dataset: Dataset, recipe: Recipe) -> None:
        """Before the first step."""
        assert recipe.epochs == 2
        assert {one.device for one in (*model.parameters(), dataset.train.images)} == {CPU}
        self.calls.append("start")

    def on_step(self, step: Step) -> None:
        """Before each change of the weights."""
        self.calls.append(f"step {step.number} of epoch {step.epoch}")

    def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
        """After each epoch."""
        assert set(metrics) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
        self.calls.append(f"epoch {number}")
        return None

    def on_end(self, model: nn.Module, dataset: Dataset, training: Training) -> None:
        """After the last epoch, with the best weights."""
        normalize = normalizer(dataset.mean, dataset.std, CPU)
        _, counts = loop.evaluate(model, dataset.validation, normalize)
        assert (counts == training.counts).all()
        self.calls.append("end")


def test_everything_is_told_in_order(dataset: Dataset) -> None:
    """Start, then the steps of each epoch and the epoch, then the end; steps count on."""
    diary = Diary()
    fit(dataset, diary)
    first = [f"step {number} of epoch 1" for number in range(1, STEPS + 1)]
    second = [f"step {number} of epoch 2" for number in range(STEPS + 1, 2 * STEPS + 1)]
    assert diary.calls == ["start", *first, "epoch 1", *second, "epoch 2", "end"]


class Gradient(Observer):
    """Checks a step against PyTorch: gradient, loss and rate are those of this batch."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.before: list[torch.Tensor] = []

    def on_step(self, step: Step) -> None:
        """Recompute the loss, and its gradient by another way."""
        self.rates.append(step.learning_rate)
        parameters = list(step.model.parameters())
        weights = [parameter.detach().clone() for parameter in parameters]
        assert not self.before or not torch.equal(self.before[0], weights[0])
        self.before = weights
        buffers = {name: value.clone() for name, value in step.model.named_buffers()}
        loss = step.criterion(step.model(step.inputs).float(), step.labels)
        gradients = torch.autograd.grad(loss, parameters)
        for name, value in step.model.named_buffers():
            value.copy_(buffers[name])
        torch.testing.assert_close(loss.detach(), step.loss)
        assert not step.loss.requires_grad
        for mine, parameter in zip(gradients, parameters, strict=True):
            torch.testing.assert_close(parameter.grad, mine, rtol=1e-3, atol=1e-5)


def test_a_step_is_seen_before_the_weights_change(dataset: Dataset) -> None:
    """The gradients of the batch stand on the parameters; the rate is the schedule's."""
    observer = Gradient()
    fit(dataset, observer, precision="float32", learning_rate=0.1, schedule="exponential")
    steps = 2 * STEPS
    assert observer.rates == pytest.approx([0.1 * 0.01 ** (n / steps) for n in range(steps)])


def test_looking_changes_nothing(dataset: Dataset) -> None:
    """The same weights with and without observers."""
    watched = (Diary(), Gradient())
    results = [fit(dataset, *seen, precision="float32") for seen in ((), watched)]
    for left, right in zip(*(model.parameters() for _, model in results), strict=True):
        assert torch.equal(left, right)
    assert results[0][0].curve == results[1][0].curve


class EpochsOnly(Observer):
    """Listens to epochs alone."""

    def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
        """Go on."""
        return None if number else Stop(str(metrics))


def test_no_step_is_built_where_nobody_listens(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop then never makes a `Step`; one listener among others is enough for it to."""
    built: list[int] = []

    class Counted(Step):
        def __init__(self, number: int, *others: Any) -> None:
            super().__init__(number, *others)
            built.append(number)

    monkeypatch.setattr(loop, "Step", Counted)
    fit(dataset, EpochsOnly(), Observer())
    assert built == []
    fit(dataset, EpochsOnly(), Diary())
    assert built == list(range(1, 2 * STEPS + 1))


class StopAfter(Observer):
    """Asks for an end after an epoch."""

    def __init__(self, epoch: int, reason: str) -> None:
        self.epoch, self.reason = epoch, reason

    def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
        """Ask once."""
        return Stop(self.reason) if metrics and number == self.epoch else None


def test_an_observer_may_stop_the_training(dataset: Dataset) -> None:
    """The reason is kept, the others still hear of the epoch and the end, the first stop counts."""
    diary = Diary()
    training, model = fit(
        dataset, StopAfter(1, "cannot join the front"), StopAfter(1, "too slow"), diary
    )
    assert training.stopped == "cannot join the front"
    assert len(training.curve) == 1
    assert diary.calls[-2:] == ["epoch 1", "end"]
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_stop_after_the_last_epoch_stops_nothing(dataset: Dataset) -> None:
    """The training is complete all the same."""
    training, _ = fit(dataset, StopAfter(2, "cannot join the front"))
    assert training.stopped is None
    assert len(training.curve) == 2


class Cut(Exception):
    """What an observer raises."""


def test_what_an_observer_raises_ends_the_training(dataset: Dataset) -> None:
    """As an interrupted worker does."""

    class Raises(Observer):
        def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
            raise Cut(number, metrics)

    with pytest.raises(Cut):
        fit(dataset, Raises())
