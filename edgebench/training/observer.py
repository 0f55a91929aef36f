"""Who watches a training: what is told at its start, each step, each epoch and its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgebench.data import Dataset
from edgebench.training.recipe import Recipe

if TYPE_CHECKING:
    from edgebench.training.loop import Training

Epoch = dict[str, float]
"""``train/loss``, ``train/accuracy``, ``val/loss`` and ``val/accuracy`` of one epoch."""


@dataclass(frozen=True)
class Stop:
    """Asks that training ends after this epoch, and says why."""

    reason: str


@dataclass(frozen=True)
class Pause:
    """Asks that training is laid aside after this epoch; it goes on from its state another time."""


@dataclass(frozen=True)
class Standing:
    """How far a training is.

    Attributes:
        seconds: That it has taken so far.
        packed: Returns its state, which `train` goes on from.
    """

    seconds: float
    packed: Callable[[], bytes]


@dataclass(frozen=True)
class Step:
    """One step, after the backward pass and before the weights change.

    Attributes:
        number: From 1, over all epochs.
        epoch: From 1.
        loss: The batch's loss, a scalar on the device, detached.
        learning_rate: What the step is taken with.
        model: In training mode; its parameters hold their gradients.
        inputs: Normalized images ``[B, C, H, W]`` float32.
        labels: ``[B]`` int64.
        criterion: The loss of logits ``[B, classes]`` and labels.
    """

    number: int
    epoch: int
    loss: Tensor
    learning_rate: float
    model: nn.Module
    inputs: Tensor
    labels: Tensor
    criterion: Callable[[Tensor, Tensor], Tensor]


class Observer:
    """Does nothing; a subclass overrides what it wants to hear.

    An observer may look at the model and must leave it, and PyTorch's random state, as they are.
    A method that raises ends the training.
    """

    def on_start(self, model: nn.Module, dataset: Dataset, recipe: Recipe) -> None:
        """Before the first step; ``model`` and the splits stand on the device."""

    def on_step(self, step: Step) -> None:
        """Before each change of the weights; a loop with no such observer builds no `Step`."""

    def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
        """After epoch ``number`` (from 1); a `Stop` ends the training with what it has."""

    def on_standing(self, number: int, metrics: Epoch, standing: Standing) -> Stop | Pause | None:
        """After every observer's `on_epoch`; a `Pause` lays the training aside."""

    def on_end(self, model: nn.Module, dataset: Dataset, training: Training) -> None:
        """After the last epoch, with the best epoch's weights; not after a failure or a pause."""

    def state(self) -> Mapping[str, Any]:
        """Return what is to be remembered over a pause: plain data and tensors.

        All attributes are, unless a subclass says otherwise.
        """
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned, after `on_start`."""
        vars(self).update(state)
