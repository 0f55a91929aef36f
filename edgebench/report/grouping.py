"""Runs in groups: by the axes that a figure compares, with means over what it does not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from edgebench.metrics import metric_of
from edgebench.record import Row, Scalar, State, StudyRecord
from edgebench.report.means import Mean, student

Key = tuple[Scalar | None, ...]


def listed(names: str | Sequence[str]) -> list[str]:
    """Return one name or several as a list; "" is none."""
    return [name for name in ([names] if isinstance(names, str) else names) if name]


def grouped(record: StudyRecord, axes: Sequence[str]) -> dict[Key, list[Row]]:
    """Return the finished runs by their values of ``axes``, in order of the values.

    Numbers are sorted; texts stand in the order in which they were tried.
    """
    found: dict[Key, list[Row]] = {}
    for row in record.rows:
        if row.state is State.FINISHED:
            found.setdefault(tuple(row.params.get(axis) for axis in axes), []).append(row)
    places = [_places(key[index] for key in found) for index in range(len(axes))]
    order = sorted(
        found, key=lambda key: [place[value] for place, value in zip(places, key, strict=True)]
    )
    return {key: found[key] for key in order}


def _places(values: Iterable[Scalar | None]) -> Mapping[Scalar | None, int]:
    """Return the rank of each value."""
    distinct = list(dict.fromkeys(values))
    numbers = [v for v in distinct if isinstance(v, int | float) and not isinstance(v, bool)]
    ordered = sorted(numbers) if len(numbers) == len(distinct) else distinct
    return {value: rank for rank, value in enumerate(ordered)}


def named(axes: Sequence[str], key: Key) -> str:
    """Return a group's name for a legend: texts as they are, numbers with their axis."""
    parts = []
    for axis, value in zip(axes, key, strict=True):
        short = axis.rpartition(".")[2]
        plain = isinstance(value, str) and len(axes) == 1
        parts.append(value if plain else f"{short} {written(value)}")
    return ", ".join(map(str, parts))


def written(value: Scalar | None) -> str:
    """Write the value of an axis."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def legend_title(axes: Sequence[str], note: str = "") -> str:
    """Return what stands over a legend: the axes that the groups differ in, and a note."""
    short = ", ".join(axis.rpartition(".")[2].replace("_", " ") for axis in axes)
    return "; ".join(part for part in (short, note) if part)


def value_of(row: Row, name: str, epoch: str = "last") -> float | None:
    """Return a run's figure, or None; of a metric that every epoch has, the last or the best."""
    metric, curve = metric_of(name), row.curves.get(name, ())
    if metric.per_epoch and epoch == "best" and curve:
        return max(curve) if metric.goal == "maximize" else min(curve)
    return row.metrics.get(name, curve[-1] if curve else None)


def mean_of(values: Sequence[float], name: str) -> Mean:
    """Return the mean of a figure over runs with Student's 95 % interval."""
    return student(values, share=metric_of(name).unit == "share")


def averaged(record: StudyRecord, shown: Sequence[str]) -> str:
    """Say what a point is the mean of: the axes that vary within it; "" where nothing does."""
    within: dict[str, None] = {}
    most = 1
    for rows in grouped(record, shown).values():
        most = max(most, len(rows))
        for one, other in pairwise(rows):
            for axis in {**one.params, **other.params}:
                if one.params.get(axis) != other.params.get(axis):
                    within[axis] = None
    if not within:
        return ""
    return f"means of up to {most} runs, over {', '.join(within)}; bars: Student's 95 % interval"


def series_of(row: Row, name: str) -> tuple[list[float], list[float]]:
    """Return steps and values of a series of a run: a metric by epoch, or ``ANALYSIS.SERIES``."""
    analysis, dot, key = name.partition(".")
    if not dot:
        values = list(row.curves.get(name, ()))
        return [float(number + 1) for number in range(len(values))], values
    content = row.analyses.get(analysis, {})
    values = list(content.get(key, ()))
    steps = content.get("step") or range(1, len(values) + 1)
    return [float(step) for step in steps][: len(values)], values


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """Return the moving mean over the last ``width`` values."""
    return [fmean(values[max(0, end - width) : end]) for end in range(1, len(values) + 1)]
