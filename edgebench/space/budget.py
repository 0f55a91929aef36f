"""A budget: the limits that a candidate must meet before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgebench.metrics import limits


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
        of_target = f" of {self.target}" if self.target else ""
        table, broken = limits(), []
        for name, ratio in self.usage(figures).items():
            if ratio > 0:
                used, limit = figures[name], self.limits[name]
                unit = " B" if table[name].unit == "bytes" else ""
                broken.append(
                    f"{table[name].title} {used:,}{unit} is over {limit:,}{unit}{of_target} by "
                    f"{used - limit:,}{unit}"
                )
        return "; ".join(broken) or None
