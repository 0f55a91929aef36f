"""Train one network: the fast path of a small CNN on a CPU or a GPU, seeded and repeatable.

bfloat16 autocast is used where the hardware computes in it and channels-last wherever it is safe;
the whole data set stands on the device. ``torch.compile`` is not used: its start-up and its
backward pass cost more than it gains on networks this small on a CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgebench.data import Dataset, Split
from edgebench.scores import SCORES, Counts
from edgebench.training.balance import criterion_of
from edgebench.training.batches import (
    Criterion,
    Normalizer,
    mixed,
    normalizer,
    training_batches,
)
from edgebench.training.decay import decayed_parameters
from edgebench.training.device import memory_format, resolve_precision
from edgebench.training.evaluation import evaluate
from edgebench.training.failure import (
    check_batch,
    check_exploded,
    check_finite,
    check_weights,
    out_of_memory_as_failure,
)
from edgebench.training.judged import Judged
from edgebench.training.observer import Epoch, Observer, Step, Stop
from edgebench.training.recipe import Recipe
from edgebench.training.regularization import regularize


@dataclass(frozen=True)
class Training:
    """What training leaves behind; the model holds the weights of ``best_epoch``.

    ``best_epoch`` is the one that the recipe keeps, and ``counts`` its validation images by true
    and predicted class, int64 ``[classes, classes]``. ``stopped`` is the reason of the observer
    that ended it before the recipe's last epoch, or None.
    """

    curve: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    precision: str
    counts: Counts
    stopped: str | None = None

    @property
    def best_accuracy(self) -> float:
        """The validation accuracy of the epoch whose weights the model holds, 0..1."""
        return self.curve[self.best_epoch - 1]["val/accuracy"]


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    device: torch.device,
    seed: int,
    observers: Sequence[Observer] = (),
) -> Training:
    """Train ``model`` in place on the training split and keep the weights of the best epoch.

    Args:
        model: Takes float32 ``[N, *dataset.input_shape]``, returns logits ``[N, classes]``.
        dataset: Its training and validation splits are read, its test split never.
        recipe: The recipe.
        device: Where to train; the model is moved there and stays.
        seed: Decides order, augmentation and dropout: on one device and thread count the same
            seed gives the same weights.
        observers: Are told of each step and epoch, in this order; one may stop the training.

    Raises:
        TrainingFailed: The loss explodes, a loss or weight is not finite, memory ran out, or the
            batches are too small for batch norm.
    """
    check_batch(model, recipe.batch_size)
    torch.manual_seed(seed)
    precision = resolve_precision(recipe.precision, device)
    started = time.perf_counter()
    with _repeatable(), out_of_memory_as_failure():
        order = memory_format(model, device)
        normalize = normalizer(dataset.mean, dataset.std, device, order)
        placed = dataclasses.replace(
            dataset,
            train=_moved(dataset.train, device),
            validation=_moved(dataset.validation, device),
        )
        model.to(device, memory_format=order)  # type: ignore[call-overload]  # stub lags
        for observer in observers:
            observer.on_start(model, placed, recipe)
        run = _Run(model, placed, recipe, normalize, precision, observers)
        curve, kept, stopped = _epochs(run, torch.Generator().manual_seed(seed))
        seconds = time.perf_counter() - started
        training = Training(tuple(curve), kept.epoch, seconds, precision, kept.counts, stopped)
        for observer in observers:
            observer.on_end(model, placed, training)
    return training


@dataclass
class _Run:
    """One training in progress: what stays the same from step to step, and how far it is."""

    model: nn.Module
    dataset: Dataset
    recipe: Recipe
    normalize: Normalizer
    precision: str
    observers: Sequence[Observer]
    steps: int = 0
    first_loss: float = math.nan

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


@dataclass(frozen=True)
class _Kept:
    """The epoch whose weights are kept, its validation images as counts, and how good it was."""

    epoch: int
    counts: Counts
    score: float
    weights: dict[str, Tensor]


def _epochs(run: _Run, generator: torch.Generator) -> tuple[list[Epoch], _Kept, str | None]:
    """Return the metrics of each epoch, the epoch that is kept, and why an observer stopped."""
    recipe, rate = run.recipe, run.recipe.learning_rate
    score = SCORES["balanced_accuracy" if recipe.kept_epoch == "balanced" else "accuracy"]
    curve: list[Epoch] = []
    kept: _Kept | None = None
    for number in range(1, recipe.epochs + 1):
        loss, accuracy = _one_epoch(run, number, generator)
        judged = run.judged.after_epoch(run.dataset, run.normalize)
        val_loss, counts = evaluate(judged, run.dataset.validation, run.normalize)
        check_finite("validation loss", val_loss, number, rate)
        check_weights(judged, loss, number, rate)
        metrics = {
            "train/loss": loss,
            "train/accuracy": accuracy,
            "val/loss": val_loss,
            "val/accuracy": SCORES["accuracy"](counts),
        }
        curve.append(metrics)
        good = score(counts)
        if kept is None or good > kept.score or recipe.kept_epoch == "last":
            weights = {name: value.clone() for name, value in judged.state_dict().items()}
            kept = _Kept(number, counts, good, weights)
        answers = [observer.on_epoch(number, metrics) for observer in run.observers]
        stops = [answer.reason for answer in answers if isinstance(answer, Stop)]
        if stops:
            break
    assert kept is not None  # noqa: S101 - a recipe has an epoch
    run.model.load_state_dict(kept.weights)
    return curve, kept, stops[0] if stops and number < recipe.epochs else None


def _one_epoch(run: _Run, number: int, generator: torch.Generator) -> tuple[float, float]:
    """Run one epoch; the sums stay on the device, so that a GPU is not waited for every step.

    Returns:
        The mean loss of the steps, and the share of the images that were classified correctly.

    Raises:
        TrainingFailed: The mean loss is not finite, or far above the very first step's.
    """
    run.model.train()
    losses, hits, seen = [], [], 0
    for images, labels in training_batches(
        run.dataset,
        run.recipe.batch_size,
        augmentation=run.recipe.augmentation,
        generator=generator,
        sampling=run.recipe.sampling,
    ):
        run.steps += 1
        loss, logits = _step(run, number, run.normalize(images), labels)
        losses.append(loss)
        hits.append((logits.argmax(1) == labels).sum())
        seen += len(labels)
    mean = float(torch.stack(losses).mean())
    if number == 1:
        run.first_loss = max(float(losses[0]), math.log(len(run.dataset.classes)))
    check_finite("training loss", mean, number, run.recipe.learning_rate)
    check_exploded(mean, run.first_loss, number, run.recipe.learning_rate)
    return mean, float(torch.stack(hits).sum()) / seen


def _step(run: _Run, epoch: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Change the weights once; return the loss and the logits of the batch."""
    criterion: Criterion = run.criterion
    if run.recipe.mixup:
        inputs, criterion = mixed(inputs, criterion, run.recipe.mixup)
    run.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
        logits = run.model(inputs)
    loss = criterion(logits.float(), labels)
    loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
    if run.step_observers:
        rate = float(run.optimizer.param_groups[0]["lr"])
        step = Step(run.steps, epoch, loss.detach(), rate, run.model, inputs, labels, criterion)
        for observer in run.step_observers:
            observer.on_step(step)
    if run.recipe.l1 or run.recipe.l2:
        regularize(run.decayed, run.recipe.l1, run.recipe.l2)
    run.optimizer.step()
    run.scheduler.step()
    run.judged.after_step()
    return loss.detach(), logits.detach()


def _moved(split: Split, device: torch.device) -> Split:
    return Split(split.images.to(device), split.labels.to(device))


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Let cuDNN choose deterministic algorithms without timing them; a no-op on a CPU."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield
