"""A training under way: what it is made of, and its state, from which it can go on.

The state is all that the following steps depend on: weights and statistics, optimizer, schedule,
average, the random generators, the epoch that is kept so far, and what the observers remember.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgebench.data import Dataset
from edgebench.scores import Counts
from edgebench.training.balance import criterion_of
from edgebench.training.batches import Normalizer
from edgebench.training.decay import decayed_parameters
from edgebench.training.judged import Judged
from edgebench.training.observer import Epoch, Observer
from edgebench.training.recipe import Recipe


@dataclass(frozen=True)
class Kept:
    """The epoch whose weights are kept, its validation images as counts, and how good it was."""

    epoch: int
    counts: Counts
    score: float
    weights: dict[str, Tensor]


@dataclass
class UnderWay:
    """One training in progress: what stays the same from step to step, and how far it is.

    ``generator`` orders the images; ``seconds`` are those of its parts before a pause.
    """

    model: nn.Module
    dataset: Dataset
    recipe: Recipe
    normalize: Normalizer
    precision: str
    observers: Sequence[Observer]
    generator: torch.Generator
    steps: int = 0
    first_loss: float = math.nan
    seconds: float = 0.0
    curve: list[Epoch] = field(default_factory=list)
    kept: Kept | None = None

    def __post_init__(self) -> None:
        """Make what the recipe names: optimizer, schedule, loss, the network that is judged."""
        recipe = self.recipe
        per_epoch = max(1, len(self.dataset.train) // recipe.batch_size)
        self.decayed = decayed_parameters(
            self.model, self.dataset.input_shape, recipe.decayed_parameters
        )
        self.optimizer, self.scheduler = optimization(
            self.model, self.decayed, recipe, per_epoch * recipe.epochs
        )
        self.criterion = criterion_of(recipe, self.dataset)
        self.judged = Judged(self.model, recipe)
        self.step_observers = [
            one for one in self.observers if type(one).on_step is not Observer.on_step
        ]

    def packed(self, seconds: float) -> bytes:
        """Return the state after an epoch, where training has taken ``seconds`` in all."""
        assert self.kept is not None  # noqa: S101 - an epoch ended
        device = self.normalize.device
        kept = vars(self.kept) | {"counts": torch.from_numpy(self.kept.counts)}
        return _bytes(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.scheduler.state_dict(),
                "judged": self.judged.state(),
                "order": self.generator.get_state(),
                "random": torch.get_rng_state(),
                "random_device": torch.cuda.get_rng_state(device)
                if device.type == "cuda"
                else None,
                "steps": self.steps,
                "first_loss": self.first_loss,
                "seconds": seconds,
                "curve": self.curve,
                "kept": kept,
                "observers": _bytes([observer.state() for observer in self.observers]),
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a state that `packed` returned in a training of the same candidate."""
        device = self.normalize.device
        found = _read(state, "cpu")  # what belongs to the device is copied there
        self.model.load_state_dict(found["model"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.scheduler.load_state_dict(found["schedule"])
        self.judged.restore(found["judged"])
        self.generator.set_state(found["order"])
        self.steps, self.first_loss = found["steps"], found["first_loss"]
        self.seconds, self.curve = found["seconds"], found["curve"]
        self.kept = Kept(**found["kept"] | {"counts": found["kept"]["counts"].numpy()})
        for observer, remembered in zip(
            self.observers, _read(found["observers"], device), strict=True
        ):
            observer.restore(remembered)
        torch.set_rng_state(found["random"])
        if self._cuda:
            torch.cuda.set_rng_state(found["random_device"], device)

    @property
    def _cuda(self) -> bool:
        return self.normalize.device.type == "cuda"


def optimization(
    model: nn.Module, decayed: Sequence[nn.Parameter], recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return the optimizer of ``model`` and what sets its rate before each of ``steps`` steps."""
    ids = {id(parameter) for parameter in decayed}
    spared = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    optimizer: torch.optim.Optimizer = recipe.optimizer(decayed, spared, recipe.learning_rate)
    schedule = functools.partial(recipe.schedule.member, **recipe.schedule.options)

    def share(step: int) -> float:
        # The scheduler asks once more after the last step, for a step that is never taken.
        step = min(step, steps - 1)
        found: float = schedule(step, steps)
        if recipe.warmup:
            found *= min(1.0, (step + 1) / (recipe.warmup * steps))
        return found

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def _bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _read(content: bytes, device: str | torch.device) -> Any:
    """Return plain data and tensors: nothing else is read, so that a state can run no code."""
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
