"""The record asked again for another board or data type: who fits, and by which limit not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgebench.errors import EdgebenchError
from edgebench.limits import Use, Verdict, memory_limits, uses
from edgebench.metrics import Dtype, Metric, in_dtype, limited, metric_of
from edgebench.record import Objective, Row, State, StudyRecord
from edgebench.report.front import shown_members
from edgebench.units import Bytes

_SEVERITY = (Verdict.FITS, Verdict.MAY_FIT, Verdict.DOES_NOT_FIT)


@dataclass(frozen=True)
class Board:
    """The bytes that a board leaves to a model: its memories less what the rest takes."""

    name: str
    flash_bytes: int
    ram_bytes: int


def refit(record: StudyRecord, board: Board) -> StudyRecord:
    """Return the record as if ``board`` were the budget: what does not fit carries the reason.

    Nothing is trained again, so a trial refused under the study's own budget stays refused. A time
    that was estimated for the study's own board is none of this one's, and is left out.
    """
    budget = {metric.key: limit for metric, limit in _limits(board, record.dtype)}
    if record.target != board.name:
        record = _without_times(record, board)
    return _judged(record, record.objectives, budget, board.name, record.dtype)


def _without_times(record: StudyRecord, board: Board) -> StudyRecord:
    """Return the record without times of a board: neither as figures nor as objectives."""
    timed = {name for row in record.rows for name in row.metrics if _is_time(name)}
    if not timed:
        return record
    rows = [
        dataclasses.replace(row, metrics={n: v for n, v in row.metrics.items() if n not in timed})
        for row in record.rows
    ]
    sought = tuple(goal for goal in record.objectives if not _is_time(goal.name))
    remark = (
        f"Latency: estimated for {record.target} alone, and left out here; 'edgebench profile RUN "
        f"--target {board.name}' estimates it for this board."
    )
    return dataclasses.replace(
        record, rows=rows, objectives=sought, remarks=(*record.remarks, remark)
    )


def _is_time(name: str) -> bool:
    metric = metric_of(name)
    return metric.footprint and metric.unit == "milliseconds"


def redeploy(record: StudyRecord, dtype: Dtype) -> StudyRecord:
    """Return the record as if the model shipped in ``dtype``: objectives and budget follow.

    A limit keeps its number and bounds the same figure of the other model.

    Raises:
        EdgebenchError: The study has no figures of that data type.
    """
    if not any(metric_of(name).dtype == dtype for row in record.rows for name in row.metrics):
        raise EdgebenchError(f"the study '{record.study}' has no {dtype} figures")
    objectives = tuple(
        dataclasses.replace(goal, name=in_dtype(goal.name, dtype)) for goal in record.objectives
    )
    bounds = limited(record.budget)
    budget = {metric_of(in_dtype(one.name, dtype)).key: limit for one, limit in bounds}
    return _judged(record, objectives, budget or None, record.target, dtype)


def _judged(
    record: StudyRecord,
    objectives: tuple[Objective, ...],
    budget: Mapping[str, float] | None,
    target: str | None,
    dtype: Dtype,
) -> StudyRecord:
    """Return the record under another budget: what was trained and is over carries the reason."""
    bounds = limited(budget)
    rows = [
        dataclasses.replace(row, reason=_misfit(row, bounds, target))
        if row.state == State.FINISHED
        else row
        for row in record.rows
    ]
    return dataclasses.replace(
        record, rows=rows, objectives=objectives, budget=budget, target=target, deployed=dtype
    )


def fit_matrix(record: StudyRecord, boards: Sequence[Board]) -> list[dict[str, object]]:
    """Return front x boards: the tighter memory's spare share where it fits, else the first limit.

    ``RAM 12 % spare`` reads: fits, and the upper figure of RAM, the tighter memory, has 12 per cent
    to spare; ``may fit: RAM up to x1.05``: the estimate is under what the board leaves, and the
    upper figure is 1.05 times that; ``no: ROM x17.5``: the model is 17.5 times what is left. All of
    it is of the model in the study's deployed data type.
    """
    members = shown_members(record)
    return [
        {
            "board": board.name,
            "free flash": Bytes(board.flash_bytes),
            "free RAM": Bytes(board.ram_bytes),
            **{row.name: _margin(row, board, record.dtype) for row in members},
        }
        for board in boards
    ]


def _limits(board: Board, dtype: Dtype) -> list[tuple[Metric, float]]:
    """Return the upper figures that the board's memories bound, each with its limit."""
    return memory_limits(dtype, board.flash_bytes, board.ram_bytes)


def _uses(row: Row, bounds: Sequence[tuple[Metric, float]]) -> list[Use]:
    """Return what a trial takes of the limits, as far as it is recorded."""
    return uses(bounds, {metric_of(name).key: value for name, value in row.metrics.items()})


def _misfit(row: Row, bounds: Sequence[tuple[Metric, float]], target: str | None) -> str | None:
    for use in _uses(row, bounds):
        if use.verdict is not Verdict.FITS:
            return use.reason(target or "")
    return None


def _margin(row: Row, board: Board, dtype: Dtype) -> str | None:
    found = _uses(row, _limits(board, dtype))
    if not found:
        return None
    worst = max((use.verdict for use in found), key=_SEVERITY.index)
    judged = [use for use in found if use.verdict is worst]
    taken, title, known = max(
        (use.most / use.limit if use.limit else math.inf, use.title, use.upper is not None)
        for use in judged
    )
    title = title.replace(" int8", "")
    if worst is Verdict.FITS:
        return f"{title} {100 * (1 - taken):.0f} % spare"
    if worst is Verdict.MAY_FIT:
        return f"may fit: {title} {'up to' if known else 'at least'} x{taken:.2f}"
    return f"no: no {title}" if math.isinf(taken) else f"no: {title} x{taken:.2f}"
