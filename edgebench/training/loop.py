"""Train one network: the fast path of a small CNN on a CPU or a GPU, seeded and repeatable.

bfloat16 autocast is used where the hardware computes in it, channels-last everywhere, the whole
data set stands on the device. ``torch.compile`` is not used: its start-up and its backward pass
cost more than it gains on networks this small on a CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgebench.data import Dataset, Split
from edgebench.errors import EdgebenchError
from edgebench.training.batches import Normalizer, normalizer, training_batches
from edgebench.training.decay import decayed_parameters
from edgebench.training.evaluation import evaluate
from edgebench.training.failure import (
    check_exploded,
    check_finite,
    check_weights,
    out_of_memory_as_failure,
)
from edgebench.training.observer import Epoch, Observer, Step, Stop
from edgebench.training.recipe import Precision, Recipe


@dataclass(frozen=True)
class Training:
    """What training leaves behind; the model holds the weights of ``best_epoch``.

    ``stopped`` is the reason of the observer that ended it before the recipe's last epoch, or
    None.
    """

    curve: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    precision: str
    stopped: str | None = None

    @property
    def best_accuracy(self) -> float:
        """The highest validation accuracy of any epoch, 0..1."""
        return self.curve[self.best_epoch - 1]["val/accuracy"]


def choose_device(asked: str = "auto") -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        EdgebenchError: ``cuda`` is asked for and there is none.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked == "cuda" and not torch.cuda.is_available():
        raise EdgebenchError("--device cuda: PyTorch sees no CUDA device here; use cpu or auto")
    return torch.device(asked)


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether the hardware multiplies in bfloat16, rather than emulating it.

    On a CPU that needs AVX512-BF16 or AMX (x86-64) or the BF16 extension (64-bit Arm): without
    them PyTorch converts back and forth and is slower than in float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_precision(asked: Precision, device: torch.device) -> str:
    """Return ``float32`` or ``bfloat16``; ``auto`` asks the hardware."""
    if asked != "auto":
        return asked
    return "bfloat16" if computes_bfloat16(device) else "float32"


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
        TrainingFailed: The loss explodes, a loss or weight is not finite, or memory ran out.
    """
    torch.manual_seed(seed)
    precision = resolve_precision(recipe.precision, device)
    started = time.perf_counter()
    with _repeatable(), out_of_memory_as_failure():
        normalize = normalizer(dataset.mean, dataset.std, device)
        placed = dataclasses.replace(
            dataset,
            train=_moved(dataset.train, device),
            validation=_moved(dataset.validation, device),
        )
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lags
        for observer in observers:
            observer.on_start(model, placed, recipe)
        run = _Run(model, placed, recipe, normalize, precision, observers)
        curve, best_epoch, stopped = _epochs(run, torch.Generator().manual_seed(seed))
        training = Training(
            tuple(curve), best_epoch, time.perf_counter() - started, precision, stopped
        )
        for observer in observers:
            observer.on_end(model, placed, training)
    return training


@dataclass
class _Run:
    """One training in progress: what stays the same from step to step."""

    model: nn.Module
    dataset: Dataset
    recipe: Recipe
    normalize: Normalizer
    precision: str
    observers: Sequence[Observer]
    steps: int = 0
    first_loss: float = math.nan
    optimizer: torch.optim.Optimizer = field(init=False)
    scheduler: torch.optim.lr_scheduler.LRScheduler = field(init=False)
    criterion: Callable[[Tensor, Tensor], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        """Make the optimizer, its schedule and the loss that the recipe names."""
        per_epoch = max(1, len(self.dataset.train) // self.recipe.batch_size)
        self.optimizer, self.scheduler = optimization(
            self.model, self.dataset.input_shape, self.recipe, per_epoch * self.recipe.epochs
        )
        self.criterion = functools.partial(self.recipe.loss.member, **self.recipe.loss.options)
        self.step_observers = [
            one for one in self.observers if type(one).on_step is not Observer.on_step
        ]


def optimization(
    model: nn.Module, input_shape: tuple[int, int, int], recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return the optimizer of ``model`` and what sets its rate before each of ``steps`` steps."""
    decayed = decayed_parameters(model, input_shape, recipe.decayed_parameters)
    ids = {id(parameter) for parameter in decayed}
    spared = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    optimizer: torch.optim.Optimizer = recipe.optimizer(decayed, spared, recipe.learning_rate)
    share = functools.partial(recipe.schedule.member, **recipe.schedule.options)
    # The scheduler asks once more after the last step, for a step that is never taken.
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: share(min(step, steps - 1), steps)
    )


def _epochs(run: _Run, generator: torch.Generator) -> tuple[list[Epoch], int, str | None]:
    """Return the metrics of each epoch, the best epoch, and why an observer stopped."""
    recipe, rate = run.recipe, run.recipe.learning_rate
    curve: list[Epoch] = []
    best_epoch, best_weights = 0, {}
    for number in range(1, recipe.epochs + 1):
        loss, accuracy = _one_epoch(run, number, generator)
        val_loss, val_accuracy = evaluate(run.model, run.dataset.validation, run.normalize)
        check_finite("validation loss", val_loss, number, rate)
        check_weights(run.model, loss, number, rate)
        metrics = {
            "train/loss": loss,
            "train/accuracy": accuracy,
            "val/loss": val_loss,
            "val/accuracy": val_accuracy,
        }
        curve.append(metrics)
        if not best_epoch or val_accuracy > curve[best_epoch - 1]["val/accuracy"]:
            best_epoch = number
            best_weights = {name: value.clone() for name, value in run.model.state_dict().items()}
        answers = [observer.on_epoch(number, metrics) for observer in run.observers]
        stops = [answer.reason for answer in answers if isinstance(answer, Stop)]
        if stops:
            break
    run.model.load_state_dict(best_weights)
    return curve, best_epoch, stops[0] if stops and number < recipe.epochs else None


def _one_epoch(run: _Run, number: int, generator: torch.Generator) -> tuple[float, float]:
    """Run one epoch; the sums stay on the device, so that a GPU is not waited for every step.

    Returns:
        The mean loss of the steps, and the share of the images that were classified correctly.

    Raises:
        TrainingFailed: The mean loss is not finite, or far above the very first step's.
    """
    model, optimizer = run.model.train(), run.optimizer
    losses, hits, seen = [], [], 0
    for images, labels in training_batches(
        run.dataset,
        run.recipe.batch_size,
        augmentation=run.recipe.augmentation,
        generator=generator,
    ):
        run.steps += 1
        optimizer.zero_grad(set_to_none=True)
        inputs = run.normalize(images)
        with torch.autocast(
            inputs.device.type, torch.bfloat16, enabled=run.precision == "bfloat16"
        ):
            logits = model(inputs)
        loss = run.criterion(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        if run.step_observers:
            _tell(run, number, loss, inputs, labels)
        optimizer.step()
        run.scheduler.step()
        losses.append(loss.detach())
        hits.append((logits.argmax(1) == labels).sum())
        seen += len(labels)
    mean = float(torch.stack(losses).mean())
    if number == 1:
        run.first_loss = max(float(losses[0]), math.log(len(run.dataset.classes)))
    check_finite("training loss", mean, number, run.recipe.learning_rate)
    check_exploded(mean, run.first_loss, number, run.recipe.learning_rate)
    return mean, float(torch.stack(hits).sum()) / seen


def _tell(run: _Run, epoch: int, loss: Tensor, inputs: Tensor, labels: Tensor) -> None:
    """Tell the observers that listen to steps of this one."""
    rate = float(run.optimizer.param_groups[0]["lr"])
    step = Step(run.steps, epoch, loss.detach(), rate, run.model, inputs, labels, run.criterion)
    for observer in run.step_observers:
        observer.on_step(step)


def _moved(split: Split, device: torch.device) -> Split:
    return Split(split.images.to(device), split.labels.to(device))


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Let cuDNN choose deterministic algorithms without timing them; a no-op on a CPU."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield
