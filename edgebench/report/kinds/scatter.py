"""A point for each run: one figure against another."""

from __future__ import annotations

from edgebench.record import StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Epoch, Log, Metric, Picture
from edgebench.report.canvas import canvas, legend_below, logarithmic, metric_axis, style
from edgebench.report.grouping import grouped, legend_title, listed, named, value_of


@FIGURE_KINDS.register
def scatter(
    record: StudyRecord,
    title: str,
    *,
    x: Metric,
    y: Metric,
    by: Axes = "",
    log: Log = "none",
    epoch: Epoch = "last",
) -> Picture | None:
    """Draw each finished run at its metrics ``x`` and ``y``, coloured and marked by ``by``."""
    axes = listed(by)
    figure, panel = canvas()
    rows: list[dict[str, object]] = []
    for index, (key, members) in enumerate(grouped(record, axes).items()):
        colour, mark, _ = style(index)
        points = []
        for row in members:
            across, up = value_of(row, x, epoch), value_of(row, y, epoch)
            if across is not None and up is not None:
                points.append((across, up))
                shown = dict(zip(axes, key, strict=True))
                rows.append({"trial": row.trial, "name": row.name, **shown, x: across, y: up})
        if points:
            xs, ys = zip(*points, strict=True)
            panel.scatter(xs, ys, color=colour, marker=mark, s=30, label=named(axes, key) or y)
    if not rows:
        return None
    metric_axis(panel, y)
    metric_axis(panel, x, "x")
    logarithmic(panel, log)
    figure.suptitle(title, fontsize=11)
    if axes:
        legend_below(figure, panel, legend_title(axes))
    return Picture(figure, rows)
