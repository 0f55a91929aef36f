"""A budget: the limits that a candidate must meet before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgebench.metrics import limited
from edgebench.units import over_limit


@dataclass(frozen=True)
class Budget:
    """Limits that a candidate must meet before it is trained.

    Attributes:
        limits: The most of each figure (``rom_bytes``, ``ram_bytes_int8``, ...), in its unit.
        target: The board that some of the limits come from, or None.
    """

    limits: Mapping[str, int]
    target: str | None = None

    def usage(self, figures: Mapping[str, int]) -> dict[str, float]:
        """Return used / limit - 1 of each limited figure that is known; feasible iff all <= 0."""
        return {n: figures[n] / limit - 1 for n, limit in self.limits.items() if n in figures}

    def excess(self, figures: Mapping[str, int]) -> str | None:
        """Say which limits ``figures`` break and by how much, or None."""
        broken = [
            over_limit(metric.title, figures[metric.key], limit, metric.sign, self.target or "")
            for metric, limit in limited(self.limits)
            if figures.get(metric.key, 0) > limit
        ]
        return "; ".join(broken) or None
