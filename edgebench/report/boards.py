"""The record asked again for other boards: who fits, with which margin, or by which limit not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgebench.record import Row, StudyRecord
from edgebench.report.front import front, ranked
from edgebench.units import Bytes


@dataclass(frozen=True)
class Board:
    """The bytes that a board leaves to a model: its memories less what the rest takes."""

    name: str
    flash_bytes: int
    ram_bytes: int


def refit(record: StudyRecord, board: Board) -> StudyRecord:
    """Return the record as if ``board`` were the budget: what does not fit carries the reason.

    Nothing is trained again, so a trial refused under the study's own budget stays refused.
    """
    rows = [
        dataclasses.replace(row, reason=_misfit(row, board)) if row.feasible else row
        for row in record.rows
    ]
    limits = {"rom_bytes": board.flash_bytes, "ram_bytes": board.ram_bytes}
    return dataclasses.replace(record, rows=rows, budget=limits, target=board.name)


def fit_matrix(record: StudyRecord, boards: Sequence[Board]) -> list[dict[str, object]]:
    """Return front x boards: the tighter memory's spare share where it fits, else the first limit.

    ``ram 12 %`` reads: fits, and RAM, the tighter memory, has 12 per cent to spare; ``no: ROM
    x17.5`` reads: ROM is the first limit, and the model is 17.5 times what the board leaves.
    """
    members = ranked(front(record.rows, record.objectives), record.objectives)
    return [
        {
            "board": board.name,
            "flash left": Bytes(board.flash_bytes),
            "RAM left": Bytes(board.ram_bytes),
            **{row.name: _margin(row, board) for row in members},
        }
        for board in boards
    ]


def _needs(row: Row, board: Board) -> list[tuple[str, float, int]]:
    """Return (memory, bytes needed, bytes left) for the memories that the row has figures of."""
    pairs = [("ROM", "footprint/rom_bytes", board.flash_bytes)]
    pairs.append(("RAM", "footprint/ram_bytes", board.ram_bytes))
    return [(name, row.metrics[key], limit) for name, key, limit in pairs if key in row.metrics]


def _misfit(row: Row, board: Board) -> str | None:
    for name, needed, limit in _needs(row, board):
        if needed > limit:
            over = int(needed - limit)
            return f"{name} {int(needed):,} B is over {limit:,} B of {board.name} by {over:,} B"
    return None


def _margin(row: Row, board: Board) -> str | None:
    needs = _needs(row, board)
    spare = [(1 - needed / limit if limit else -math.inf, name) for name, needed, limit in needs]
    if not spare:
        return None
    tightest, name = min(spare)
    if math.isinf(tightest):
        return f"no: no {name}"
    if tightest < 0:
        return f"no: {name} x{1 - tightest:.2f}"
    return f"{name} {100 * tightest:.0f} % spare"
