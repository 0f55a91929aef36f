"""One table of every figure that is recorded: its name, unit, better direction, split and dtype.

What may be an objective, what a budget may limit, how a figure is labelled, in which unit it is
written, which columns a table shows, what is charted and which memory of a board bounds it are all
read from here: a new figure is one row.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from edgebench.registry import Registry

Goal = Literal["maximize", "minimize"]
Unit = Literal["bytes", "count", "share", "seconds", "milliseconds", "number"]
Split = Literal["train", "validation", "test"]
Dtype = Literal["float32", "int8"]
Memory = Literal["flash", "ram"]

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
        twin: The name of the same figure of the model in the other data type, or "".
        per_epoch: One value an epoch, rather than one a trial.
        searched: It may be an objective: known without the test split.
        footprint: It follows from the architecture alone, so a budget may limit it, and it is an
            attribute of `edgebench.footprint.Footprint` by its `key`.
        shown: A table of trials has a column for it wherever it is recorded.
        binomial: A share of single images, so that Wilson's interval says how sure it is.
        charted: A cost that accuracy is drawn against, and that a slider of the page limits.
        memory: The memory of a board that bounds it, or None.
        upper: The name of its upper figure, which is not exceeded and so decides whether a board's
            limit is met, or "".
        estimate: The name of the figure that this is the upper figure of, or "".
    """

    name: str
    title: str
    unit: Unit = "number"
    goal: Goal | None = None
    split: Split | None = None
    dtype: Dtype | None = None
    twin: str = ""
    per_epoch: bool = False
    searched: bool = False
    footprint: bool = False
    shown: bool = False
    binomial: bool = False
    charted: bool = False
    memory: Memory | None = None
    upper: str = ""
    estimate: str = ""

    @property
    def key(self) -> str:
        """The last part of the name, as a budget writes it: ``rom_bytes``."""
        return self.name.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The figure's short name in files and in the page, whatever the data type: ``rom``."""
        return self.key.removesuffix(INT8).removesuffix("_bytes").removesuffix("_ms")

    @property
    def sign(self) -> str:
        """What stands behind an exact number of it: ``B``, ``ms``, or nothing."""
        return {"bytes": "B", "milliseconds": "ms"}.get(self.unit, "")

    @property
    def figure(self) -> str:
        """The title without the data type: ``ROM`` of ``ROM int8``."""
        return self.title.replace(" int8", "")

    def in_both(self) -> tuple[Metric, Metric]:
        """Return this figure of the float32 model and, named by `INT8`, of the int8 model."""
        name, (title, comma, more) = f"{self.name}{INT8}", self.title.partition(",")
        single = dataclasses.replace(self, dtype="float32", twin=name)
        return single, dataclasses.replace(
            self,
            name=name,
            title=f"{title} int8{comma}{more}",
            dtype="int8",
            twin=self.name,
            upper=self.upper and f"{self.upper}{INT8}",
            estimate=self.estimate and f"{self.estimate}{INT8}",
        )

    def with_upper(self) -> tuple[Metric, Metric]:
        """Return this figure and its upper figure: ``rom_bytes`` and ``rom_upper_bytes``."""
        stem, _, unit = self.name.rpartition("_")
        upper = Metric(
            f"{stem}_upper_{unit}", f"{self.title}, upper", self.unit, estimate=self.name
        )
        return dataclasses.replace(self, upper=upper.name), upper


METRICS: Registry[Metric] = Registry("metric")


def _add(*metrics: Metric) -> None:
    for metric in metrics:
        METRICS.add(metric.name, metric)


_add(
    Metric("train/loss", "training loss", "number", "minimize", "train", per_epoch=True),
    Metric("train/accuracy", "training accuracy", "share", "maximize", "train", per_epoch=True),
    Metric("val/loss", "validation loss", "number", "minimize", "validation", per_epoch=True),
    Metric(
        "val/accuracy", "validation accuracy", "share", "maximize", "validation", "float32",
        per_epoch=True, binomial=True,
    ),
    Metric(
        "val/accuracy_best", "accuracy", "share", "maximize", "validation", "float32",
        twin=f"val/accuracy{INT8}", searched=True, shown=True, binomial=True,
    ),
    Metric(
        f"val/accuracy{INT8}", "accuracy int8", "share", "maximize", "validation", "int8",
        twin="val/accuracy_best", searched=True, shown=True, binomial=True,
    ),
    Metric("val/epoch_best", "best epoch", "count"),
    *Metric(
        "test/accuracy", "test accuracy", "share", "maximize", "test", shown=True, binomial=True
    ).in_both(),
)  # fmt: skip
# Of `edgebench.scores`: what an accuracy hides where classes are uneven.
for _score, _title in (
    ("balanced_accuracy", "balanced accuracy"),
    ("recall_worst", "worst recall"),
    ("macro_f1", "macro F1"),
):
    _add(
        *Metric(
            f"val/{_score}", _title, "share", "maximize", "validation", searched=True
        ).in_both(),
        *Metric(f"test/{_score}", f"test {_title}", "share", "maximize", "test").in_both(),
    )
for _cost in (
    Metric("footprint/macs", "MACs", "count"),
    Metric("footprint/macc", "MACC", "count", shown=True, charted=True),
    Metric("footprint/parameters", "parameters", "count", shown=True),
    *Metric(
        "footprint/rom_bytes", "ROM", "bytes", shown=True, charted=True, memory="flash"
    ).with_upper(),
    *Metric(
        "footprint/ram_bytes", "RAM", "bytes", shown=True, charted=True, memory="ram"
    ).with_upper(),
    Metric("footprint/activations_bytes", "activations", "bytes"),
    # Of a board: where the budget names one, and its time can be estimated honestly.
    *Metric(
        "footprint/latency_ms", "latency", "milliseconds", shown=True, charted=True
    ).with_upper(),
):
    _add(*dataclasses.replace(_cost, goal="minimize", searched=True, footprint=True).in_both())
_add(
    Metric("time/train_s", "training time", "seconds", "minimize", searched=True),
    Metric("audit/macs_fvcore", "MACs by fvcore", "count"),
    Metric("parity/accuracy_pytorch", "accuracy in PyTorch", "share"),
    # Means over the seeds of `edgebench finalize`, with Student's interval: of no single split.
    Metric("final/seeds", "seeds retrained", "count"),
    Metric("final/val_accuracy_mean", "accuracy, mean over seeds", "share", "maximize"),
)
for _figure in (
    # Of the C that `edgebench firmware` compiled for a processor, and ran in an emulator.
    Metric("firmware/rom_bytes", "firmware ROM", "bytes", "minimize", shown=True),
    Metric("firmware/ram_bytes", "firmware RAM", "bytes", "minimize", shown=True),
    Metric("firmware/instructions", "firmware instructions", "count", "minimize", shown=True),
    Metric("firmware/instructions_per_mac", "instructions a MAC", "number", "minimize"),
    Metric("parity/max_abs_diff", "parity, largest difference", "number", "minimize"),
    Metric("parity/mean_abs_diff", "parity, mean difference", "number", "minimize"),
    Metric("parity/top1_agreement", "parity, agreement", "share", "maximize"),
    Metric("parity/accuracy", "parity, accuracy", "share", "maximize"),
    Metric("final/test_accuracy_mean", "test accuracy, mean over seeds", "share", "maximize"),
    Metric("final/test_accuracy_low", "test accuracy, mean's low end", "share", "maximize"),
    Metric("final/test_accuracy_high", "test accuracy, mean's high end", "share", "maximize"),
):
    _add(*_figure.in_both())


def _recall(name: str) -> Metric | None:
    """Return the row of the recall of one class, ``val/recall/cat``; None for another name."""
    found = re.fullmatch(f"(val|test)/recall({INT8})?/(.+)", name)
    if found is None:
        return None
    part, suffix, class_name = found.groups()
    split: Split = "validation" if part == "val" else "test"
    dtype, title = ("int8", " int8") if suffix else ("float32", "")
    return Metric(
        name,
        f"{'' if part == 'val' else 'test '}recall of {class_name}{title}",
        "share",
        "maximize",
        split,
        dtype,  # type: ignore[arg-type]  # one of the two
        twin=f"{part}/recall{'' if suffix else INT8}/{class_name}",
        searched=part == "val",
    )


def searched() -> tuple[str, ...]:
    """Return the names of the figures that may be objectives; ``val/recall/CLASS`` may be too."""
    return tuple(name for name, metric in METRICS.items() if metric.searched)


def limits() -> dict[str, Metric]:
    """Return the figures that a budget may limit, by their key (``rom_bytes_int8``)."""
    return {metric.key: metric for metric in METRICS.values() if metric.footprint}


def deciding(metric: Metric) -> Metric:
    """Return the figure that decides whether a board's limit of ``metric`` is met."""
    return METRICS[metric.upper] if metric.upper else metric


def estimated(metric: Metric) -> Metric:
    """Return the figure that ``metric`` is the upper figure of, or itself."""
    return METRICS[metric.estimate] if metric.estimate else metric


def limited(budget: Mapping[str, float] | None) -> list[tuple[Metric, float]]:
    """Return the figures that ``budget`` (limits by key) bounds, each with its limit."""
    known = limits()
    return [(known[key], limit) for key, limit in (budget or {}).items() if key in known]


def figures(dtype: Dtype) -> Iterator[Metric]:
    """Yield the figures of the model in ``dtype``, and those that no data type changes."""
    yield from (metric for metric in METRICS.values() if metric.dtype in (None, dtype))


def charted(dtype: Dtype) -> list[Metric]:
    """Return the costs that accuracy is drawn against, those that a memory bounds first."""
    chosen = [metric for metric in figures(dtype) if metric.charted]
    return sorted(chosen, key=lambda metric: metric.memory is None)


def in_dtype(name: str, dtype: Dtype) -> str:
    """Return the name of the same figure of the model in ``dtype``."""
    metric = metric_of(name)
    return metric.twin if metric.twin and metric.dtype != dtype else name


def metric_of(name: str) -> Metric:
    """Return the row of a figure; one that the table does not know reads as a plain number."""
    return METRICS[name] if name in METRICS else _recall(name) or Metric(name, name)
