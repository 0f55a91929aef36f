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
from edgebench.training.batches import (
    Criterion,
    mixed,
    normalizer,
    training_batches,
)
from edgebench.training.device import memory_format, resolve_precision
from edgebench.training.evaluation import evaluate
from edgebench.training.failure import (
    check_batch,
    check_exploded,
    check_finite,
    check_weights,
    out_of_memory_as_failure,
)
from edgebench.training.observer import Epoch, Observer, Pause, Standing, Step, Stop
from edgebench.training.quickening import quickened
from edgebench.training.recipe import Recipe
from edgebench.training.regularization import regularize
from edgebench.training.under_way import Kept, UnderWay


@dataclass(frozen=True)
class Training:
    """What training leaves behind; the model holds the weights of ``best_epoch``.

    ``best_epoch`` is the one that the recipe keeps, and ``counts`` its validation images by true
    and predicted class, int64 ``[classes, classes]``. ``stopped`` is the reason of the observer
    that ended it before the recipe's last epoch, or None. Where it was ``paused`` the model holds
    the last epoch's weights.
    """

    curve: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    precision: str
    counts: Counts
    stopped: str | None = None
    paused: bool = False

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
    start: bytes | None = None,
    stop: str | None = None,
) -> Training:
    """Train ``model`` in place on the training split and keep the weights of the best epoch.

    Args:
        model: Takes float32 ``[N, *dataset.input_shape]``, returns logits ``[N, classes]``.
        dataset: Its training and validation splits are read, its test split never.
        recipe: The recipe.
        device: Where to train; the model is moved there and stays.
        seed: Decides order, augmentation and dropout: on one device and thread count the same
            seed gives the same weights.
        observers: Are told of each step and epoch, in this order; one may stop or pause the
            training.
        start: The state that a paused training of this candidate left (`Standing.packed`), from
            which it goes on: on one device with the same weights, bit for bit, as without a pause.
        stop: Why a training that was paused is not gone on with: it ends with what it has.

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
        generator = torch.Generator().manual_seed(seed)
        run = UnderWay(model, placed, recipe, normalize, precision, observers, generator)
        if start is not None:
            run.restore(start)
        with quickened(model, device, watched=bool(run.step_observers)):
            asked = _epochs(run, started) if stop is None else Stop(stop)
        assert run.kept is not None  # noqa: S101 - a recipe has an epoch
        training = Training(
            tuple(run.curve),
            run.kept.epoch,
            run.seconds + time.perf_counter() - started,
            precision,
            run.kept.counts,
            asked.reason if isinstance(asked, Stop) else None,
            paused=isinstance(asked, Pause),
        )
        if training.paused:
            return training
        model.load_state_dict(run.kept.weights)
        for observer in observers:
            observer.on_end(model, placed, training)
    return training


def _epochs(run: UnderWay, started: float) -> Stop | Pause | None:
    """Train the epochs that are left; return what an observer asked for before the last one."""
    recipe, rate = run.recipe, run.recipe.learning_rate
    score = SCORES["balanced_accuracy" if recipe.kept_epoch == "balanced" else "accuracy"]
    for number in range(len(run.curve) + 1, recipe.epochs + 1):
        loss, accuracy = _one_epoch(run, number)
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
        run.curve.append(metrics)
        good = score(counts)
        if run.kept is None or good > run.kept.score or recipe.kept_epoch == "last":
            weights = {name: value.clone() for name, value in judged.state_dict().items()}
            run.kept = Kept(number, counts, good, weights)
        answers: list[Stop | Pause | None] = [
            observer.on_epoch(number, metrics) for observer in run.observers
        ]
        seconds = run.seconds + time.perf_counter() - started
        standing = Standing(seconds, functools.partial(run.packed, seconds))
        answers += [observer.on_standing(number, metrics, standing) for observer in run.observers]
        asked = [answer for answer in answers if answer is not None]
        if asked and number < recipe.epochs:
            return next((one for one in asked if isinstance(one, Stop)), asked[0])
    return None


def _one_epoch(run: UnderWay, number: int) -> tuple[float, float]:
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
        generator=run.generator,
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


def _step(run: UnderWay, epoch: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
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
