"""A band between the least and the greatest value at each step: how much a training varies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgebench.record import Row, StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Log, Picture, Series
from edgebench.report.canvas import canvas, legend_below, logarithmic, metric_axis, style
from edgebench.report.grouping import Key, grouped, legend_title, listed, named, series_of

Band = tuple[list[float], list[float], list[float]]


@FIGURE_KINDS.register
def band(
    record: StudyRecord,
    title: str,
    *,
    y: Series,
    y_high: Series = "",
    by: Axes = "",
    log: Log = "none",
) -> Picture | None:
    """Fill, at each step, from the least ``y`` of a group's runs to their greatest.

    With ``y_high`` it is filled up to the greatest ``y_high`` instead, so that one run with a
    series of minima and one of maxima has a band too. Between two groups it is said at which share
    of the steps the second's band is narrower. A logarithmic axis leaves that share as it is.
    """
    axes = listed(by)
    bands: dict[Key, Band] = {}
    for key, members in grouped(record, axes).items():
        found = _band(members, y, y_high or y)
        if found[0]:
            bands[key] = found
    if not bands:
        return None
    figure, panel = canvas()
    rows: list[dict[str, object]] = []
    for index, (key, (steps, low, high)) in enumerate(bands.items()):
        colour, mark, dash = style(index)
        name = named(axes, key) or y
        panel.fill_between(steps, low, high, color=colour, alpha=0.3, lw=0, label=name)
        for edge in (low, high):
            panel.plot(
                steps, edge, dash, color=colour, lw=0.8, marker=mark, ms=3,
                markevery=max(1, len(steps) // 8),
            )  # fmt: skip
        shown = dict(zip(axes, key, strict=True))
        rows += [
            {**shown, "step": step, "low": least, "high": most}
            for step, least, most in zip(steps, low, high, strict=True)
        ]
    metric_axis(panel, y)
    panel.set_xlabel("step" if "." in y else "epoch")
    logarithmic(panel, log)
    figure.suptitle(title, fontsize=11)
    legend_below(figure, panel, legend_title(axes, _narrower(bands, axes)))
    return Picture(figure, rows)


def _band(members: Sequence[Row], low: str, high: str) -> Band:
    lows = [series_of(row, low) for row in members]
    highs = [series_of(row, high) for row in members]
    lengths = [len(values) for _, values in (*lows, *highs)]
    count = min(length for length in lengths) if lengths else 0
    steps = lows[0][0][:count] if count else []
    return (
        steps,
        [min(values[place] for _, values in lows) for place in range(count)],
        [max(values[place] for _, values in highs) for place in range(count)],
    )


def _narrower(bands: dict[Key, Band], axes: Sequence[str]) -> str:
    """Say at which share of their common steps each band is narrower than the one before."""
    said = []
    for (one, first), (other, second) in pairwise(bands.items()):
        widths = [
            (high - low, high_2 - low_2)
            for (low, high), (low_2, high_2) in zip(
                zip(*first[1:], strict=True), zip(*second[1:], strict=True), strict=False
            )
        ]
        share = sum(theirs < mine for mine, theirs in widths) / len(widths)
        said.append(
            f"{named(axes, other)} narrower than {named(axes, one)} at {100 * share:.0f} % of "
            f"{len(widths)} steps"
        )
    return "; ".join(said)
