"""The figures that a sweep file asks for: what a kind of figure is, and how those asked are drawn.

A kind is a function ``kind(record, title, *, option=default, ...)`` that returns a `Picture`, or
None where the record has nothing to show yet; its keyword-only options are what the sweep file may
set. To add one, add one file to ``kinds/`` that registers it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from edgebench.record import FigureAsked, Row, StudyRecord
from edgebench.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Names(enum.Enum):
    """What the text of an option names; the sweep file is checked by it."""

    AXIS = "axis of the sweep"
    METRIC = "metric"
    SERIES = "series"


Axes = Annotated[str | list[str], Names.AXIS]
"""One axis of the sweep or several: a group for each combination of their values."""
Axis = Annotated[str, Names.AXIS]
Metric = Annotated[str, Names.METRIC]
Metrics = Annotated[str | list[str], Names.METRIC]
Series = Annotated[str, Names.SERIES]
"""What a run has one value a step of: a metric of each epoch, or ``ANALYSIS.SERIES``."""
SeriesList = Annotated[str | list[str], Names.SERIES]
Log = Literal["none", "x", "y", "xy"]
"""Which axes are logarithmic."""
Epoch = Literal["last", "best"]
"""Which epoch's value of a metric that every epoch has."""
FIGURE_OPTIONS = {
    "by": "An axis or a list of them, variant too: a group for each of its values, to which runs "
    "belong whatever else they differ in (where: {AXIS: VALUE} takes some of them)",
    "log": "Which axes of the picture are logarithmic",
    "epoch": "Of a metric that each epoch has, as train/loss: the value of the last epoch, or the "
    "best of all; other metrics have one value",
}
"""Options that several kinds of figure have alike, and what each is for."""


@dataclass(frozen=True)
class Picture:
    """A figure, and the numbers in it: one row a point, ready to be a CSV file."""

    figure: Figure
    rows: Sequence[dict[str, object]]


FigureKind = Callable[..., Picture | None]
FIGURE_KINDS: Registry[FigureKind] = Registry("kind of figure", package="edgebench.report.kinds")


def asked_figures(record: StudyRecord) -> Iterator[tuple[str, Picture]]:
    """Yield (name, picture) of each figure that the study's sweep file asks for and that has data.

    ``curves`` and ``analyses`` of the rows must have been read for the kinds that draw them.
    """
    for asked in record.figures:
        rows = [row for row in record.rows if _shown(row, asked)]
        shown = dataclasses.replace(record, rows=rows)
        title = asked.title or f"{record.study}: {asked.name}"
        picture = FIGURE_KINDS[asked.kind](shown, title, **asked.options)
        if picture is not None:
            yield asked.name, picture


def _shown(row: Row, asked: FigureAsked) -> bool:
    return all(row.params.get(axis) in allowed for axis, allowed in asked.where.items())
