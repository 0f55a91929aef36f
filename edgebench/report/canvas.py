"""What pictures share: a canvas, and colours, marks and dashes that any eye tells apart."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from edgebench.metrics import metric_of
from edgebench.units import label

# Okabe and Ito's palette, with a mark and a dash for each, so that grey print tells them apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 6.6, 4.4  # inches of one panel alone


def canvas(width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure with one panel, of no window and no global state."""
    figure, [axes] = panels(1, width, height)
    return figure, axes


def panels(
    count: int, width: float | None = None, height: float = HEIGHT
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with ``count`` panels side by side."""
    size = (width or (WIDTH if count == 1 else 1 + 4.4 * count), height)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    found: Sequence[Axes] = figure.subplots(1, count, squeeze=False)[0]
    for axes in found:
        axes.grid(visible=True, color="#e3e8ec", lw=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


def style(index: int) -> tuple[str, str, str]:
    """Return colour, mark and dash of the group at ``index``; groups beyond seven change dashes."""
    turn = index // len(COLOURS) + index % len(COLOURS)
    return COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)], DASHES[turn % len(DASHES)]


def metric_axis(axes: Axes, name: str) -> None:
    """Label the upright axis by a metric, in its unit, or by a series of an analysis."""
    if metric_of(name).unit == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    _, dot, series = name.partition(".")
    axes.set_ylabel(series.removesuffix("_min").replace("_", " ") if dot else label(name))


def legend_below(figure: Figure, axes: Axes, title: str = "") -> None:
    """Put the legend under the panels, where it covers no data."""
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1 or title:
        longest = max(map(len, names), default=1)
        columns = max(1, min(len(names), int(85 * figure.get_figwidth() / WIDTH) // (longest + 6)))
        figure.legend(
            handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=8,
            title=title or None, title_fontsize=8,
        )  # fmt: skip
