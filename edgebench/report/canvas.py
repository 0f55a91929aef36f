"""What pictures share: a canvas, and colours, marks and dashes that any eye tells apart."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from edgebench.metrics import metric_of
from edgebench.units import label, quantity, text

# Okabe and Ito's palette, with a mark and a dash for each, so that grey print tells them apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 6.6, 4.4  # inches of one panel alone
DECADES = 100.0
"""From this ratio of its ends on, a logarithmic axis is marked at powers of ten alone."""


class LogTicks(LogLocator):
    """Marks of a logarithmic axis: powers of ten, or 1, 2, 5 where it spans less than two."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the marks between two ends above 0."""
        ratio = vmax / vmin if vmin > 0 else DECADES
        between = (1, 2, 5) if ratio > 8 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
        self.set_params(subs=(1,) if ratio >= DECADES else between)
        found: Sequence[float] = super().tick_values(vmin, vmax)
        return found


def logarithmic(axes: Axes, log: str) -> None:
    """Make the axes named in ``log`` (``x``, ``y``, ``xy``, ``none``) logarithmic.

    Numbers stand as they are where an axis spans less than two powers of ten, else as powers.
    """
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in log:
            before = axis.get_major_formatter()
            axes.set(**{f"{name}scale": "log"})
            axis.set_major_locator(LogTicks())
            ours = isinstance(before, PercentFormatter | FuncFormatter)  # a unit's
            axis.set_major_formatter(before if ours else FuncFormatter(_marks_of(axis)))
            axis.set_minor_formatter(NullFormatter())


def _marks_of(axis: Axis) -> Callable[[float, int | None], str]:
    """Return what writes the marks of a logarithmic axis, by how far it spans when it is drawn."""

    def written(value: float, _: int | None) -> str:
        low, high = axis.get_view_interval()
        return f"$10^{{{round(math.log10(value))}}}$" if high >= DECADES * low else f"{value:g}"

    return written


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
    """Return colour, mark and dash of the group at ``index``.

    Of as many groups as there are colours times marks no two have both alike.
    """
    turn = index // len(COLOURS) + index % len(COLOURS)
    return COLOURS[index % len(COLOURS)], MARKS[turn % len(MARKS)], DASHES[turn % len(DASHES)]


def metric_axis(axes: Axes, name: str, which: Literal["x", "y"] = "y") -> None:
    """Label an axis by a metric, in its unit, or by a series of an analysis."""
    axis, unit = (axes.xaxis if which == "x" else axes.yaxis), metric_of(name).unit
    if unit == "share":
        axis.set_major_formatter(PercentFormatter(1))
    elif unit != "number":
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(name, value)))
    _, dot, series = name.partition(".")
    said = series.removesuffix("_min").replace("_", " ") if dot else label(name)
    axes.set(**{f"{which}label": said})


def short(metric: str, value: float) -> str:
    """Write a round value of a metric in its unit, without empty decimals."""
    return re.sub(
        r"\.(\d*?)0+(?=\D|$)", lambda m: f".{m[1]}" if m[1] else "", text(quantity(metric, value))
    )


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
