"""Curves over epochs or steps: how a training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge
from matplotlib.ticker import MaxNLocator

from edgebench.record import Row, StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Log, Picture, SeriesList
from edgebench.report.canvas import legend_below, logarithmic, metric_axis, panels, style
from edgebench.report.grouping import (
    averaged,
    grouped,
    legend_title,
    listed,
    mean_of,
    named,
    series_of,
    smoothed,
)
from edgebench.report.means import Mean


@FIGURE_KINDS.register
def curves(
    record: StudyRecord,
    title: str,
    *,
    y: SeriesList,
    by: Axes = "",
    log: Log = "none",
    smooth: Annotated[int, Ge(1)] = 1,
) -> Picture | None:
    """Draw curves over the epochs or the steps: how a training went.

    Each series of ``y``, one or a list, has a panel: a metric over the epochs, ``ANALYSIS.SERIES``
    over the steps, the runs of a group averaged, with Student's 95 % interval as a shade.
    ``smooth`` is the number of values of a moving mean.
    """
    axes, series = listed(by), listed(y)
    groups = grouped(record, axes)
    figure, found = panels(len(series))
    rows: list[dict[str, object]] = []
    for panel, name in zip(found, series, strict=True):
        for index, (key, members) in enumerate(groups.items()):
            steps, means = _curve(members, name, smooth)
            if not steps:
                continue
            colour, mark, dash = style(index)
            panel.plot(
                steps, [mean.mean for mean in means], dash, color=colour, lw=1.6, marker=mark,
                ms=3.5, markevery=max(1, len(steps) // 10), label=named(axes, key) or name,
            )  # fmt: skip
            if means[0].low is not None:
                low = [mean.mean if mean.low is None else mean.low for mean in means]
                high = [mean.mean if mean.high is None else mean.high for mean in means]
                panel.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
            shown = dict(zip(axes, key, strict=True))
            rows += [
                {**shown, "series": name, _unit(name): step, "mean": mean.mean, "low": mean.low,
                 "high": mean.high, "runs": mean.count}
                for step, mean in zip(steps, means, strict=True)
            ]  # fmt: skip
        metric_axis(panel, name)
        panel.set_xlabel(_unit(name))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        logarithmic(panel, log)
    note = averaged(record, axes).replace("bars", "shade")
    figure.suptitle(title, fontsize=11)
    if axes or note:
        legend_below(figure, found[0], legend_title(axes, note))
    return Picture(figure, rows) if rows else None


def _unit(series: str) -> str:
    return "step" if "." in series else "epoch"


def _curve(members: Sequence[Row], name: str, smooth: int) -> tuple[list[float], list[Mean]]:
    """Return the steps that all members reached, and the mean over them at each."""
    found = [series_of(row, name) for row in members]
    found = [(steps, smoothed(values, smooth)) for steps, values in found if values]
    if not found:
        return [], []
    steps = min((steps for steps, _ in found), key=len)
    together = zip(*(values[: len(steps)] for _, values in found), strict=True)
    return steps, [mean_of(values, name) for values in together]
