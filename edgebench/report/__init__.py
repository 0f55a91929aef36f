"""The comparison that people act on: a study's record in, tables, pictures and a page out.

Everything here is a pure function of a `StudyRecord`; nothing here trains, searches or tracks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.record import StudyRecord
from edgebench.report.asked import FIGURE_KINDS, FIGURE_OPTIONS, Names, Picture, asked_figures
from edgebench.report.boards import Board, fit_matrix, redeploy, refit
from edgebench.report.document import document, notes, table_one
from edgebench.report.finals import TEST, VALIDATION, Finals, Member, finals_document
from edgebench.report.front import best, covered, expected_gain, front, hypervolume, ranked
from edgebench.report.intervals import too_few
from edgebench.report.means import T_95, Mean, student, welch_tied
from edgebench.report.page import page
from edgebench.report.rows import as_json, listed, metrics_shown, trials, verdict
from edgebench.report.table import plain, render

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

__all__ = [
    "FIGURE_KINDS",
    "FIGURE_OPTIONS",
    "TEST",
    "T_95",
    "VALIDATION",
    "Board",
    "Finals",
    "Mean",
    "Member",
    "Names",
    "Picture",
    "as_json",
    "asked_figures",
    "best",
    "covered",
    "document",
    "expected_gain",
    "figures",
    "filters_png",
    "finals_document",
    "fit_matrix",
    "front",
    "hypervolume",
    "listed",
    "metrics_shown",
    "notes",
    "page",
    "plain",
    "ranked",
    "redeploy",
    "refit",
    "render",
    "student",
    "table_one",
    "too_few",
    "trials",
    "verdict",
    "welch_tied",
]


def figures(record: StudyRecord, boards: Sequence[Board] = ()) -> Iterator[tuple[str, Figure]]:
    """Yield (file stem, figure) for every picture of a study that has something to show."""
    from edgebench.report import plots  # imports matplotlib

    yield from plots.figures(record, boards)


def filters_png(weights: npt.ArrayLike) -> bytes:
    """Return filters (out, in, height, width) side by side as a PNG, each in its own range."""
    from edgebench.report import sheet  # matplotlib takes a second to import

    return sheet.filters_png(weights)
