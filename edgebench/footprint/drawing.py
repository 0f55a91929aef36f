"""The memory plan as a picture: which buffer lies where in the arena, while which kernels run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import EdgebenchError
from edgebench.footprint.measure import Footprint
from edgebench.footprint.planning import Buffer, Plan
from edgebench.units import Bytes, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {
    "input": "#009E73",
    "activation": "#56B4E9",
    "output": "#E69F00",
    "scratch": "#BBBBBB",
}
"""The colour of each kind of buffer (Okabe and Ito's, which colour-blind readers tell apart)."""
NAMED_FROM = 0.035  # of the arena: what a box must be high to have room for its name
TICKS = 60  # kernels that are named below the picture


def draw(footprint: Footprint, path: Path) -> None:
    """Write the memory plan as a picture: kernels across, offsets up, a box a buffer.

    Raises:
        EdgebenchError: The convention has no plan, or the file cannot be written.
    """
    plan = footprint.plan
    if plan is None:
        raise EdgebenchError(f"the convention '{footprint.convention}' proves a bound, not a plan")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = len(footprint.layers)
    figure = Figure(figsize=(min(max(7.0, 0.5 * steps + 3), 24), 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for one in sorted(plan.buffers, key=lambda buffer: buffer.first):
        _box(axes, footprint, plan, one)
    _frame(axes, footprint, plan)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise EdgebenchError(f"cannot write {path}: {error}") from error


def _kind(one: Buffer, steps: int) -> str:
    """Return what a buffer is; one that lives before the first kernel is the input's."""
    if one.scratch:
        return "scratch"
    if one.first < 0:
        return "input"
    return "output" if one.last >= steps else "activation"


def _box(axes: Axes, footprint: Footprint, plan: Plan, one: Buffer) -> None:
    from matplotlib.patches import Rectangle

    steps = len(footprint.layers)
    kind = _kind(one, steps)
    first, last = max(one.first, 0), min(one.last, steps - 1)
    corner, width = (first - 0.5, plan.offsets[one.name]), last - first + 1
    named = axes.get_legend_handles_labels()[1]
    axes.add_patch(
        Rectangle(
            corner,
            width,
            one.size,
            facecolor=KINDS[kind],
            edgecolor="0.2",
            linewidth=0.8,
            alpha=0.75,
            hatch="///" if one.scratch else None,
            label=None if kind in named else kind,
        )
    )
    if one.size >= NAMED_FROM * plan.peak and steps <= TICKS:
        size = Bytes(one.size).text("decimal")
        between = "\n" if one.size >= 2 * NAMED_FROM * plan.peak else "  "
        said = size if one.scratch else f"{shortened(one.name, 14 * width)}{between}{size}"
        middle = (corner[0] + width / 2, corner[1] + one.size / 2)
        axes.annotate(said, middle, ha="center", va="center", fontsize=6.5, linespacing=0.95)


def _frame(axes: Axes, footprint: Footprint, plan: Plan) -> None:
    """Write the axes, the title and the peak."""
    from matplotlib.ticker import FuncFormatter

    steps = len(footprint.layers)
    every = max(1, -(-steps // TICKS))
    axes.set_xlim(-0.6, steps - 0.4)
    axes.set_ylim(0, plan.peak * 1.1 or 1)
    names = [shortened(layer.name, 24) for layer in footprint.layers[::every]]
    axes.set_xticks(
        range(0, steps, every), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=7
    )
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: Bytes(int(value)).text("decimal"))
    )
    axes.axhline(plan.peak, color="black", linewidth=0.8, linestyle="--")
    peak = f"peak {Bytes(plan.peak).text('decimal')} ({plan.peak:,} B)"
    axes.annotate(peak, (steps - 0.45, plan.peak), ha="right", va="bottom", fontsize=8)
    axes.set(xlabel="kernels in order", ylabel="offset in the arena")
    model = f" of {Path(footprint.model).name}" if footprint.model else ""
    axes.set_title(
        f"Memory plan{model}, {footprint.dtype}, by {footprint.convention}; overlaps are in place",
        fontsize=10,
    )
