"""A line over one axis of the sweep: how a figure depends on a choice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes as Panel

from edgebench.record import Row, Scalar, StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Axis, Epoch, Log, Metrics, Picture
from edgebench.report.canvas import legend_below, logarithmic, metric_axis, panels, style
from edgebench.report.grouping import (
    averaged,
    grouped,
    legend_title,
    listed,
    mean_of,
    named,
    value_of,
    written,
)
from edgebench.report.means import Mean

LEAST_GAP = 0.08
"""Of an axis's length, between two ticks that stand at the values tried."""


@FIGURE_KINDS.register
def line(
    record: StudyRecord,
    title: str,
    *,
    x: Axis,
    y: Metrics,
    by: Axes = "",
    log: Log = "none",
    epoch: Epoch = "last",
) -> Picture | None:
    """Draw metrics over an axis of the sweep, a line for each group.

    Each metric of ``y``, one or a list, has a panel, over the axis ``x``, runs that differ in
    others, as in ``train.seed``, averaged, with Student's 95 % interval as bars. Texts stand at
    equal distances.
    """
    axes, metrics = listed(by), listed(y)
    cells = grouped(record, [*axes, x])
    if not cells:
        return None
    places = _places([key[-1] for key in cells])
    groups = list(dict.fromkeys(key[:-1] for key in cells))
    figure, found = panels(len(metrics))
    rows: list[dict[str, object]] = []
    for panel, metric in zip(found, metrics, strict=True):
        for index, group in enumerate(groups):
            points = _points(cells, group, metric, epoch)
            _draw(panel, places, points, style(index), named(axes, group) or metric)
            shown = dict(zip(axes, group, strict=True))
            rows += [
                {**shown, x: value, "metric": metric, "mean": mean.mean, "low": mean.low,
                 "high": mean.high, "runs": mean.count}
                for value, mean in points
            ]  # fmt: skip
        metric_axis(panel, metric)
        _scales(panel, places, log)
        panel.set_xlabel(x.rpartition(".")[2].replace("_", " "))
    note = averaged(record, [*axes, x])
    figure.suptitle(title, fontsize=11)
    if axes or note:
        legend_below(figure, found[0], legend_title(axes, note))
    return Picture(figure, rows) if rows else None


def _places(values: Sequence[Scalar | None]) -> dict[Scalar | None, float]:
    """Return where each value stands: a number at itself, others in a row."""
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct):
        return {value: float(value) for value in distinct if isinstance(value, int | float)}
    return {value: float(index) for index, value in enumerate(distinct)}


def _points(
    cells: dict[tuple[Scalar | None, ...], list[Row]],
    group: tuple[Scalar | None, ...],
    metric: str,
    epoch: Epoch,
) -> list[tuple[Scalar | None, Mean]]:
    points = []
    for key, rows in cells.items():
        values = [v for row in rows if (v := value_of(row, metric, epoch)) is not None]
        if key[:-1] == group and values:
            points.append((key[-1], mean_of(values, metric)))
    return points


def _draw(
    panel: Panel,
    places: dict[Scalar | None, float],
    points: Sequence[tuple[Scalar | None, Mean]],
    look: tuple[str, str, str],
    name: str,
) -> None:
    colour, mark, dash = look
    xs = [places[value] for value, _ in points]
    ys = [mean.mean for _, mean in points]
    panel.plot(xs, ys, dash, color=colour, marker=mark, ms=4.5, lw=1.6, label=name)
    for value, mean in points:
        if mean.low is not None and mean.high is not None:
            panel.errorbar(
                places[value], mean.mean, [[mean.mean - mean.low], [mean.high - mean.mean]],
                fmt="none", ecolor=colour, capsize=3, lw=1,
            )  # fmt: skip


def _scales(panel: Panel, places: dict[Scalar | None, float], log: Log) -> None:
    if any(isinstance(value, str | bool) or value is None for value in places):
        names = [written(value) for value in places]
        turned = 30 if sum(map(len, names)) > 30 else 0
        panel.set_xticks(
            list(places.values()), names, rotation=turned, ha="right" if turned else "center",
            fontsize=8,
        )  # fmt: skip
    elif "x" in log and min(places.values()) > 0:
        logarithmic(panel, "x")
    elif _apart(sorted(places.values())):  # where they were measured, not round numbers between
        panel.set_xticks(list(places.values()))
    logarithmic(panel, log.replace("x", ""))


def _apart(values: Sequence[float]) -> bool:
    """Tell whether each value has room for its number below it."""
    gaps = [high - low for low, high in pairwise(values)]
    return len(values) > 1 and min(gaps) >= LEAST_GAP * (values[-1] - values[0])
