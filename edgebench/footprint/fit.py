"""Whether a footprint fits a board, with the margins that are left or missed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgebench.limits import Verdict


@dataclass(frozen=True)
class Fit:
    """Whether a footprint fits a target; margins are bytes and per cent of what is free.

    ``fits`` is the promise that it does: the verdict's first answer. The margins are those of the
    figures, the upper margins those of the upper figures (None where there are none). ``limit`` is
    the first memory that stands against the promise, ``flash`` or ``ram``, or None; ``reason``
    says by how much it is missed, or how much is left.
    """

    name: str
    fits: bool
    verdict: Verdict
    flash_bytes: int
    ram_bytes: int
    reserve_flash_bytes: int
    reserve_ram_bytes: int
    rom_margin_bytes: int
    rom_margin_percent: float
    rom_upper_margin_bytes: int | None
    ram_margin_bytes: int
    ram_margin_percent: float
    ram_upper_margin_bytes: int | None
    limit: str | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return the ``target`` object of ``profile --format json``."""
        return asdict(self)
