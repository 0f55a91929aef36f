"""What ends a training without a result: a loss that explodes, memory that runs out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

EXPLODED = 100.0
"""A training loss this many times the one that training began with is no fluctuation.

A network that knows nothing and says so has a cross-entropy of ln(classes), 2.3 for ten classes;
100 times that means logits that are hundreds apart on wrong answers. The weights that make them
do not come back within a run, and an export would carry them on.
"""


class TrainingFailed(Exception):
    """The candidate could not be trained; the message is the reason for its row."""


def check_finite(what: str, value: float, epoch: int, learning_rate: float) -> None:
    """Raise TrainingFailed where a loss is not a finite number."""
    if not math.isfinite(value):
        raise TrainingFailed(
            f"the {what} became {value} in epoch {epoch} (learning rate {learning_rate:g})"
        )


def check_batch(model: nn.Module, batch_size: int) -> None:
    """Raise TrainingFailed where batches of one image leave a batch norm nothing to average."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    if batch_size == 1 and any(isinstance(layer, kinds) for layer in model.modules()):
        raise TrainingFailed(
            "train.batch_size: 1 leaves batch norm nothing to average over; the nearest valid "
            "value is 2"
        )


def check_exploded(loss: float, begin: float, epoch: int, learning_rate: float) -> None:
    """Raise TrainingFailed where the training loss of an epoch is far above its ``begin``."""
    if loss > EXPLODED * begin:
        raise TrainingFailed(
            f"the training loss rose from {begin:.3g} to {loss:.3g} in epoch {epoch} (learning "
            f"rate {learning_rate:g})"
        )


def check_weights(model: nn.Module, loss: float, epoch: int, learning_rate: float) -> None:
    """Raise TrainingFailed where a weight or a running statistic is not a finite number."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise TrainingFailed(
                f"'{name}' holds values that are no finite numbers after epoch {epoch}, training "
                f"loss {loss:.3g} (learning rate {learning_rate:g})"
            )


@contextlib.contextmanager
def out_of_memory_as_failure() -> Iterator[None]:
    """Raise TrainingFailed where the device or the machine has no memory left."""
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
