"""A budget: the limits that a candidate must meet before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgebench.footprint import Target
from edgebench.limits import Verdict, uses
from edgebench.metrics import limited

CONVENTION = "st"
"""By which a search measures where its budget names no other."""


@dataclass(frozen=True)
class Budget:
    """Limits that a candidate must meet before it is trained.

    A limit holds for the figure that it names: a board's limits are of the upper figures
    (``rom_upper_bytes``), so that what meets them fits; a limit that the user states on
    ``rom_bytes`` is of the estimate.

    Attributes:
        limits: The most of each figure (``rom_upper_bytes``, ``macc_int8``, ...), in its unit.
        target: The name of the board that some of the limits come from, or None.
        board: That board, of which latency is estimated, or None.
        runtime: The convention that the search measures by: what will run the model.
    """

    limits: Mapping[str, float]
    target: str | None = None
    board: Target | None = None
    runtime: str = CONVENTION

    def usage(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return used / limit - 1 of each limited figure that is known; feasible iff all <= 0."""
        return {n: figures[n] / limit - 1 for n, limit in self.limits.items() if n in figures}

    def excess(self, figures: Mapping[str, float]) -> str | None:
        """Say which limits ``figures`` break, or may break, and by how much, or None."""
        broken = [
            use.reason(self.target or "")
            for use in uses(limited(self.limits), figures)
            if use.verdict is not Verdict.FITS
        ]
        return "; ".join(broken) or None
