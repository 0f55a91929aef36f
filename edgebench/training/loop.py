"""Train one network: the fast path of a small CNN on a CPU or a GPU, seeded and repeatable.

bfloat16 autocast is used where the hardware computes in it, channels-last everywhere, the whole
data set stands on the device. ``torch.compile`` is not used: its start-up and its backward pass
cost more than it gains on networks this small on a CPU.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebench.data import Augmentation, Dataset, Split
from edgebench.errors import EdgebenchError
from edgebench.training.augmentation import Normaliser, normaliser, training_batches
from edgebench.training.recipe import Decayed, Precision, Recipe

EVALUATION_BATCH = 500
Epoch = dict[str, float]
"""``train/loss``, ``train/accuracy``, ``val/loss`` and ``val/accuracy`` of one epoch."""


class TrainingFailed(Exception):
    """The candidate could not be trained; the message is the reason for its row."""


@dataclass(frozen=True)
class Training:
    """What training leaves behind; the model holds the weights of ``best_epoch``."""

    curve: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    precision: str

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
    on_epoch: Callable[[int, Epoch], None],
) -> Training:
    """Train ``model`` in place on the training split and keep the weights of the best epoch.

    Args:
        model: Takes float32 ``[N, *dataset.input_shape]``, returns logits ``[N, classes]``.
        dataset: Its training and validation splits are read, its test split never.
        recipe: The recipe.
        device: Where to train; the model is moved there and stays.
        seed: Decides order, augmentation and dropout: on one device and thread count the same
            seed gives the same weights.
        on_epoch: Called after each epoch with its number (from 1) and metrics; it may raise.

    Raises:
        TrainingFailed: The loss is not finite, or memory ran out.
    """
    torch.manual_seed(seed)
    precision = resolve_precision(recipe.precision, device)
    started = time.perf_counter()
    with _repeatable(), _out_of_memory_as_failure():
        curve, best_epoch = _epochs(
            model,
            dataset,
            recipe,
            device=device,
            precision=precision,
            generator=torch.Generator().manual_seed(seed),
            on_epoch=on_epoch,
        )
    return Training(tuple(curve), best_epoch, time.perf_counter() - started, precision)


def _epochs(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    device: torch.device,
    precision: str,
    generator: torch.Generator,
    on_epoch: Callable[[int, Epoch], None],
) -> tuple[list[Epoch], int]:
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lags
    normalise = normaliser(dataset.mean, dataset.std, device)
    training, validation = (_moved(part, device) for part in (dataset.train, dataset.validation))
    steps = max(1, len(training) // recipe.batch_size)
    optimizer, scheduler = _optimizer(model, recipe, steps)
    augmentation: Augmentation = (
        dataset.augmentation if recipe.augmentation == "auto" else recipe.augmentation
    )
    _check_border(dataset, recipe, augmentation)
    curve: list[Epoch] = []
    best_epoch, best_weights = 0, {}
    for number in range(1, recipe.epochs + 1):
        batches = training_batches(
            training,
            recipe.batch_size,
            augmentation=augmentation,
            padding=recipe.crop_padding,
            border=recipe.crop_border,
            generator=generator,
        )
        model.train()
        loss, accuracy = _one_epoch(
            model,
            batches=batches,
            normalise=normalise,
            optimizer=optimizer,
            scheduler=scheduler,
            label_smoothing=recipe.label_smoothing,
            precision=precision,
        )
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the training loss became {loss} in epoch {number} (learning rate "
                f"{recipe.learning_rate:g})"
            )
        val_loss, val_accuracy = evaluate(model, validation, normalise)
        metrics = {
            "train/loss": loss,
            "train/accuracy": accuracy,
            "val/loss": val_loss,
            "val/accuracy": val_accuracy,
        }
        curve.append(metrics)
        if not best_epoch or val_accuracy > curve[best_epoch - 1]["val/accuracy"]:
            best_epoch = number
            best_weights = {name: value.clone() for name, value in model.state_dict().items()}
        on_epoch(number, metrics)
    model.load_state_dict(best_weights)
    return curve, best_epoch


def _check_border(dataset: Dataset, recipe: Recipe, augmentation: Augmentation) -> None:
    _, height, width = dataset.input_shape
    widest = min(height, width) - 1
    mirrored = recipe.crop_border == "reflect" and augmentation != "none"
    if mirrored and recipe.crop_padding > widest:
        raise TrainingFailed(
            f"train.crop_padding: {recipe.crop_padding} pixels cannot be mirrored in images of "
            f"{height}x{width}; the nearest valid value is {widest}"
        )


def _one_epoch(
    model: nn.Module,
    *,
    batches: Iterator[tuple[Tensor, Tensor]],
    normalise: Normaliser,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    label_smoothing: float,
    precision: str,
) -> tuple[float, float]:
    """Run one epoch; the sums stay on the device, so that a GPU is not waited for every step."""
    losses, hits, seen = [], [], 0
    for images, labels in batches:
        optimizer.zero_grad(set_to_none=True)
        inputs = normalise(images)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(inputs)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
        hits.append((logits.argmax(1) == labels).sum())
        seen += len(labels)
    return float(torch.stack(losses).mean()), float(torch.stack(hits).sum()) / seen


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, normalise: Normaliser) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy (0..1) of ``split`` in float32, as it will ship."""
    model.eval()
    losses, hits = [], []
    for start in range(0, len(split), EVALUATION_BATCH):
        labels = split.labels[start : start + EVALUATION_BATCH]
        logits = model(normalise(split.images[start : start + EVALUATION_BATCH]))
        losses.append(functional.cross_entropy(logits, labels, reduction="sum"))
        hits.append((logits.argmax(1) == labels).sum())
    return float(torch.stack(losses).sum()) / len(split), float(torch.stack(hits).sum()) / len(
        split
    )


def _optimizer(
    model: nn.Module, recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    decayed = _decayed(model, recipe.decayed)
    ids = {id(parameter) for parameter in decayed}
    spared = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    decay = recipe.weight_decay
    if recipe.optimizer == "adamw":
        decay /= recipe.learning_rate  # PyTorch multiplies by it, the paper and `Recipe` do not
    groups = [
        {"params": decayed, "weight_decay": decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        # Fused: one pass over the weights a step instead of several (benchmarks/training_step.py).
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    else:
        optimizer = torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=True
        )
    total = steps * recipe.epochs
    shapes = {
        "cosine": lambda step: 0.5 * (1 + math.cos(math.pi * min(step, total) / total)),
        "one_cycle": lambda step: min(
            (step + 1) / max(1, 0.2 * total), (total - step) / (0.8 * total)
        ),
        "constant": lambda step: 1.0,  # noqa: ARG005 - the schedulers' signature
    }
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shapes[recipe.schedule])


def _decayed(model: nn.Module, which: Decayed) -> list[nn.Parameter]:
    """Return the parameters that `Recipe.decayed` names; a layer's norm is the module after it."""
    if which == "all":
        return list(model.parameters())
    leaves = [module for module in model.modules() if not list(module.children())]
    normed = {
        id(layer.weight)
        for layer, after in itertools.pairwise(leaves)
        if isinstance(after, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
        and hasattr(layer, "weight")
    }
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    return [w for w in weights if which == "weights" or id(w) not in normed]


def _moved(split: Split, device: torch.device) -> Split:
    return Split(split.images.to(device), split.labels.to(device))


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Let cuDNN choose deterministic algorithms without timing them; a no-op on a CPU."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


@contextlib.contextmanager
def _out_of_memory_as_failure() -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed(f"out of memory: {_first_line(error)}") from None
    except RuntimeError as error:  # the CPU allocator has no exception class of its own
        if "not enough memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        raise TrainingFailed(f"out of memory: {_first_line(error)}") from None
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
