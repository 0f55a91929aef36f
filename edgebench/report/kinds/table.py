"""A table: a row a group, a column a figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from edgebench.record import StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Epoch, Metrics, Picture
from edgebench.report.grouping import averaged, grouped, listed, mean_of, value_of, written
from edgebench.report.means import student
from edgebench.units import label, quantity, text


@FIGURE_KINDS.register
def table(
    record: StudyRecord, title: str, *, by: Axes, y: Metrics, epoch: Epoch = "last"
) -> Picture | None:
    """Write a row for each value of ``by`` and a column for each metric of ``y``.

    The runs of a group are averaged; of several, half of Student's 95 % interval stands behind
    the mean.
    """
    axes, metrics = listed(by), listed(y)
    groups = grouped(record, axes)
    if not groups:
        return None
    cells: list[list[str]] = []
    rows: list[dict[str, object]] = []
    for key, members in groups.items():
        line = [written(value) for value in key]
        exact: dict[str, object] = dict(zip(axes, key, strict=True))
        for metric in metrics:
            values = [v for row in members if (v := value_of(row, metric, epoch)) is not None]
            mean = mean_of(values, metric) if values else None
            line.append(_cell(metric, values))
            exact[metric] = mean.mean if mean else None
            exact[f"{metric} low"] = mean.low if mean else None
            exact[f"{metric} high"] = mean.high if mean else None
        cells.append(line)
        rows.append({**exact, "runs": len(members)})
    heads = [*(axis.rpartition(".")[2] for axis in axes), *map(label, metrics)]
    note = averaged(record, axes).replace("bars", "±")
    return Picture(_drawn(title, heads, cells, note, len(axes)), rows)


def _cell(metric: str, values: Sequence[float]) -> str:
    """Write the mean of several values with half of its interval, which no limit cuts."""
    if not values:
        return text(None)
    mean = student(values, share=False)
    found = text(quantity(metric, mean.mean))
    if mean.low is None or mean.high is None or mean.low == mean.high:
        return found
    return f"{found} ± {text(quantity(metric, (mean.high - mean.low) / 2))}"


def _drawn(title: str, heads: list[str], cells: list[list[str]], note: str, texts: int) -> Figure:
    widths = [max(len(line[i]) for line in [heads, *cells]) + 3 for i in range(len(heads))]
    size = (max(5.0, 0.085 * sum(widths)), 0.27 * (len(cells) + 1) + 0.75)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    shares = [width / sum(widths) for width in widths]
    drawn = axes.table(cells, colLabels=heads, colWidths=shares, loc="center", cellLoc="right")
    drawn.auto_set_font_size(value=False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.3)
    for (line, column), cell in drawn.get_celld().items():
        cell.visible_edges = "B" if line == 0 else ""
        if column < texts:
            cell.get_text().set_horizontalalignment("left")
        if line == 0:
            cell.get_text().set_fontweight("bold")
        elif line % 2 == 0:
            cell.set_facecolor("#f2f5f7")
    figure.suptitle(title, fontsize=11)
    if note:
        figure.supxlabel(note, fontsize=8)
    return figure
