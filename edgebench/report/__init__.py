"""The comparison that people act on: a study's record in, tables, pictures and a page out.

Everything here is a pure function of a `StudyRecord`; nothing here trains, searches or tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.record import Objective, Row, StudyRecord

__all__ = ["Board", "Objective", "Row", "StudyRecord"]


@dataclass(frozen=True)
class Board:
    """The bytes that a board leaves to a model: its memories less what the rest takes."""

    name: str
    flash_bytes: int
    ram_bytes: int
