"""One table of every figure that is recorded: its name, unit, better direction, split and dtype.

What may be an objective, what a budget may limit, how a figure is labelled, in which unit it is
written and which columns a table shows are all read from here: a new figure is one row.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from edgebench.errors import EdgebenchError
from edgebench.registry import Registry

Goal = Literal["maximize", "minimize"]
Unit = Literal["bytes", "count", "share", "seconds", "milliseconds", "number"]
Split = Literal["train", "validation", "test"]
Dtype = Literal["float32", "int8"]

INT8 = "_int8"
"""The suffix of a figure of the int8 model."""


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        name: As MLflow records it, ``footprint/rom_bytes``.
        title: In a few words, for a column or an axis.
        unit: What the number counts.
        goal: The better direction, or None where neither is.
        split: The images that it is measured on, or None.
        dtype: The data type of the model that it describes, or None where that is no matter.
        per_epoch: One value an epoch, rather than one a trial.
        searched: It may be an objective: known without the test split.
        footprint: It follows from the architecture alone, so a budget may limit it, and it is an
            attribute of `edgebench.footprint.Footprint` by its `key`.
        shown: A table of trials has a column for it wherever it is recorded.
    """

    name: str
    title: str
    unit: Unit
    goal: Goal | None = None
    split: Split | None = None
    dtype: Dtype | None = None
    per_epoch: bool = False
    searched: bool = False
    footprint: bool = False
    shown: bool = False

    @property
    def key(self) -> str:
        """The last part of the name, as a budget writes it: ``rom_bytes``."""
        return self.name.rpartition("/")[2]


METRICS: Registry[Metric] = Registry("metric")


def _add(*metrics: Metric) -> None:
    for metric in metrics:
        METRICS.add(metric.name, metric)


def _both(metric: Metric) -> None:
    """Add a figure of the float32 model and the same figure of the int8 model."""
    single = dataclasses.replace(metric, dtype="float32")
    name, title = f"{metric.name}{INT8}", f"{metric.title} int8"
    small = dataclasses.replace(metric, name=name, title=title, dtype="int8")
    _add(single, small)


_add(
    Metric("train/loss", "training loss", "number", "minimize", "train", per_epoch=True),
    Metric("train/accuracy", "training accuracy", "share", "maximize", "train", per_epoch=True),
    Metric("val/loss", "validation loss", "number", "minimize", "validation", per_epoch=True),
    Metric(
        "val/accuracy", "last accuracy", "share", "maximize", "validation", "float32",
        per_epoch=True,
    ),
    Metric(
        "val/accuracy_best", "accuracy", "share", "maximize", "validation", "float32",
        searched=True, shown=True,
    ),
    Metric(
        "val/accuracy_int8", "accuracy int8", "share", "maximize", "validation", "int8",
        searched=True, shown=True,
    ),
    Metric("val/epoch_best", "best epoch", "count"),
    Metric("time/train_s", "training time", "seconds", "minimize", searched=True),
    Metric("audit/macs_fvcore", "MACs by fvcore", "count"),
    Metric("parity/max_abs_diff", "parity, largest difference", "number", "minimize"),
    Metric("parity/mean_abs_diff", "parity, mean difference", "number", "minimize"),
    Metric("parity/top1_agreement", "parity, agreement", "share", "maximize"),
)  # fmt: skip
_both(Metric("test/accuracy", "test accuracy", "share", "maximize", "test", shown=True))
for _figure in (
    Metric("footprint/macs", "MACs", "count"),
    Metric("footprint/macc", "MACC", "count", shown=True),
    Metric("footprint/parameters", "parameters", "count", shown=True),
    Metric("footprint/rom_bytes", "ROM", "bytes", shown=True),
    Metric("footprint/ram_bytes", "RAM", "bytes", shown=True),
    Metric("footprint/activations_bytes", "activations", "bytes"),
):
    _both(dataclasses.replace(_figure, goal="minimize", searched=True, footprint=True))


def searched() -> tuple[str, ...]:
    """Return the names of the figures that may be objectives."""
    return tuple(name for name, metric in METRICS.items() if metric.searched)


def limits() -> dict[str, Metric]:
    """Return the figures that a budget may limit, by their key (``rom_bytes_int8``)."""
    return {metric.key: metric for metric in METRICS.values() if metric.footprint}


def metric_of(name: str) -> Metric:
    """Return the row of a figure; one that the table does not know reads as a plain number."""
    try:
        return METRICS[name]
    except EdgebenchError:
        return Metric(name, name, "number")
