"""Pictures of a study, readable in print and with any colour vision.

Each function returns a matplotlib figure that belongs to no window and no global state, so a
tracker may log it and a command may save it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    MaxNLocator,
    PercentFormatter,
)

from edgebench.metrics import Dtype, charted, deciding, metric_of
from edgebench.record import Objective, Row, State, StudyRecord
from edgebench.report.boards import Board
from edgebench.report.canvas import COLOURS, DASHES, MARKS, canvas, logarithmic, metric_axis
from edgebench.report.front import front, progress, ranked
from edgebench.report.intervals import wilson
from edgebench.report.rows import images_behind, metrics_shown
from edgebench.report.sheet import stretched
from edgebench.units import label

LIMIT = "#a63c06"


def figures(record: StudyRecord, boards: Sequence[Board] = ()) -> Iterator[tuple[str, Figure]]:
    """Yield (file stem, figure) of everything the record has the data for."""
    for cost in charted(record.dtype):
        if any(cost.name in row.metrics for row in record.rows):
            yield f"accuracy-{cost.stem}", trade_off(record, cost.name, boards)
    if any(row.curves for row in record.rows):
        yield "learning-curves", learning_curves(record)
    if progress(record.rows, record.objectives):
        yield "hypervolume", hypervolume_curve(record)
    for row in ranked(front(record.rows, record.objectives), record.objectives):
        if record.dtype in row.confusion:
            yield f"confusion-{row.name}", confusion_matrix(row, record.classes, record.dtype)
        if row.filters is not None:
            yield f"filters-{row.name}", first_filters(row)


def trade_off(record: StudyRecord, metric: str, boards: Sequence[Board] = ()) -> Figure:
    """Draw accuracy over a footprint ``metric``, with the front of the two and boards' limits.

    Bars are 95 % Wilson intervals of the front's members; rings mark the study's own front, which
    may have more objectives than the two shown.
    """
    accuracy = metrics_shown(record)[0]
    rows = [row for row in record.rows if row.feasible and {metric, accuracy} <= set(row.metrics)]
    figure, axes = canvas()
    for family, mark, colour in _families(record.rows):
        inside = [row for row in rows if row.params.get("model.family") == family]
        x, y = _columns(inside, metric, accuracy)
        axes.scatter(x, y, marker=mark, color=colour, label=family, s=26, alpha=0.85, zorder=3)
    goals = (Objective(metric, "minimize"), Objective(accuracy, "maximize"))
    steps = sorted(front(rows, goals), key=lambda row: (row.metrics[metric], row.trial))
    x, y = _columns(steps, metric, accuracy)
    if len(steps) > 1:
        axes.step(x, y, where="post", color="#5b6b7a", lw=1.2, ls=":", label="front of the two")
    members = [row for row in front(record.rows, record.objectives) if row in rows]
    x, y = _columns(members, metric, accuracy)
    axes.scatter(x, y, s=90, facecolor="none", edgecolor="black", label="study's front", zorder=4)
    if images := images_behind(accuracy, record):
        ends = np.array([wilson(value, images) for value in y]).reshape(-1, 2).T
        axes.errorbar(x, y, abs(ends - y), fmt="none", ecolor="#5b6b7a", lw=0.8, capsize=2)
    axes.margins(y=0.12)  # room for the names of the limits
    metric_axis(axes, metric, "x")
    if rows:
        logarithmic(axes, "x")
    _limits(axes, record, metric, boards)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(ylabel=label(accuracy), title=f"{record.study}: {label(accuracy)} and {label(metric)}")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def learning_curves(record: StudyRecord, curve: str = "val/accuracy") -> Figure:
    """Draw one thin line a trial and the median of each family's whole trials over the epochs.

    A pruned trial is a dotted line that ends in a cross; its few epochs are in no median.
    """
    figure, axes = canvas()
    for index, (family, _, colour) in enumerate(_families(record.rows)):
        rows = [
            row for row in record.rows
            if row.params.get("model.family") == family and len(row.curves.get(curve, ())) > 0
        ]  # fmt: skip
        whole = [row for row in rows if row.state != State.PRUNED]
        for row in rows:
            values = row.curves[curve]
            pruned = row.state == State.PRUNED
            axes.plot(
                range(1, len(values) + 1), values, ":" if pruned else "-", color=colour, lw=0.6,
                alpha=0.5 if pruned else 0.3, marker="x", markevery=[-1] if pruned else [], ms=4,
            )  # fmt: skip
        if whole:
            middle = _median([row.curves[curve] for row in whole])
            dash = DASHES[index % len(DASHES)]
            name = f"{family}, median of {len(whole)}" if len(whole) > 1 else family
            axes.plot(range(1, len(middle) + 1), middle, dash, color=colour, lw=2.2, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if metric_of(curve).unit == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(xlabel="epoch", ylabel=label(curve))
    axes.set_title(f"{record.study}: learning curves by family")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def _median(curves: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Return the median of each epoch over the curves that have it."""
    padded = np.full((len(curves), max(map(len, curves))), np.nan)
    for line, values in zip(padded, curves, strict=True):
        line[: len(values)] = values
    middle: npt.NDArray[np.float64] = np.nanmedian(padded, axis=0)
    return middle


def hypervolume_curve(record: StudyRecord) -> Figure:
    """Draw how much of the study's own objective box its front covers, trial by trial."""
    figure, axes = canvas()
    grown = progress(record.rows, record.objectives)
    numbers, volumes = [number for number, _ in grown], [volume for _, volume in grown]
    axes.step(numbers, volumes, where="post", color=COLOURS[0], lw=1.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    goals = ", ".join(label(goal.name) for goal in record.objectives)
    axes.set(xlabel="trial", ylabel="share of the study's box", ylim=(0, 1.02))
    axes.set_title(f"{record.study}: hypervolume of {goals}")
    return figure


def confusion_matrix(row: Row, classes: Sequence[str] = (), dtype: Dtype = "float32") -> Figure:
    """Draw the share of each true class (rows) that was predicted each class (columns)."""
    counts = np.asarray(row.confusion[dtype], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(classes) if len(classes) == len(counts) else [str(i) for i in range(len(counts))]
    figure, axes = canvas(6.4, 5.6)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1, decimals=0), shrink=0.85)
    bar.set_label("share of the true class")
    if len(counts) <= 20:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        for (true, predicted), share in np.ndenumerate(shares):
            ink = "black" if share > 0.55 else "white"
            count = str(int(counts[true, predicted]))
            axes.text(predicted, true, count, ha="center", va="center", color=ink, fontsize=7)
    axes.grid(visible=False)
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"{row.name}: confusion, {dtype}, validation images",
    )
    return figure


def first_filters(row: Row) -> Figure:
    """Draw the first layer's filters: in colour for three inputs, else their mean, in grey.

    Each filter is stretched to its own range, so brightness compares within a filter only.
    """
    weights = np.asarray(row.filters, dtype=float)
    across = int(np.ceil(np.sqrt(len(weights) * 1.6)))
    down = int(np.ceil(len(weights) / across))
    width = max(0.6 * across + 0.6, 3.0)  # room for a name
    said = f"{row.name}: first layer, {len(weights)} filters"
    title = textwrap.wrap(said, max(int(14 * width), 12))  # 14 letters an inch, at 9 points
    height = 0.6 * down + 0.55 + 0.15 * len(title)
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    grid = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, kernel in zip(grid, weights, strict=False):
        axes.imshow(stretched(kernel), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    figure.suptitle("\n".join(title), fontsize=9)
    return figure


def _families(rows: Sequence[Row]) -> list[tuple[object, str, str]]:
    """Return (family, mark, colour); a family keeps its own whatever the picture leaves out."""
    families = sorted({str(row.params.get("model.family")) for row in rows})
    return [
        (family, MARKS[i % len(MARKS)], COLOURS[i % len(COLOURS)])
        for i, family in enumerate(families)
    ]


def _columns(rows: Sequence[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    return [row.metrics[x] for row in rows], [row.metrics[y] for row in rows]


def _limits(axes: Axes, record: StudyRecord, metric: str, boards: Sequence[Board]) -> None:
    """Draw the budget and the boards' limits within reach; lines close together share a label."""
    left: dict[str, float | None] = {board.name: _left(board, metric) for board in boards}
    row, budget = metric_of(metric), record.budget or {}
    own = budget.get(row.key, budget.get(deciding(row).key))
    left |= {f"budget{f' ({record.target})' if record.target else ''}": own}
    low, high = axes.get_xlim()
    near = [(edge, name) for name, edge in left.items() if edge and low / 2 <= edge <= high * 2]
    clusters: list[list[tuple[float, str]]] = []
    for edge, name in sorted(near):
        axes.axvline(edge, color=LIMIT, lw=1, ls="--", zorder=1)
        if clusters and edge < clusters[-1][-1][0] * (high / low) ** 0.035:
            clusters[-1].append((edge, name))
        else:
            clusters.append([(edge, name)])
    for cluster in clusters:
        more = f" +{len(cluster) - 1}" if len(cluster) > 1 else ""
        axes.annotate(
            cluster[-1][1] + more, (cluster[0][0], 0.99), (-3, 0), rotation=90, fontsize=6.5,
            xycoords=axes.get_xaxis_transform(), textcoords="offset points", color=LIMIT,
            ha="right", va="top",
        )  # fmt: skip


def _left(board: Board, metric: str) -> int | None:
    left = {"flash": board.flash_bytes, "ram": board.ram_bytes}
    return left.get(metric_of(metric).memory or "")
