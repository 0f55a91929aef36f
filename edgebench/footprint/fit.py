"""Whether a footprint fits: the one place that judges a figure and its upper figure by a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edgebench.metrics import Dtype, Metric, deciding, estimated
from edgebench.metrics import figures as figures_of
from edgebench.units import over_limit, perhaps_over_limit


class Verdict(StrEnum):
    """What can be said of a footprint and a board.

    It fits where its upper figures do, it does not where its figures are over already, and
    between the two it may.
    """

    FITS = "fits"
    MAY_FIT = "may fit"
    DOES_NOT_FIT = "does not fit"


@dataclass(frozen=True)
class Use:
    """What a model takes of something limited.

    Attributes:
        title: What is limited: ``ROM``.
        figure: The estimate.
        upper: What is not exceeded, or None where nothing can be promised.
        limit: The most that may be taken, in the same unit.
        unit: What stands behind the numbers: ``B``, ``ms`` or nothing.
        memory: ``flash`` or ``ram``, or "" where it is no memory of a board.
    """

    title: str
    figure: float
    upper: float | None
    limit: float
    unit: str = "B"
    memory: str = ""

    @property
    def verdict(self) -> Verdict:
        """Judge by the figure, and then by the upper one."""
        if self.figure > self.limit:
            return Verdict.DOES_NOT_FIT
        promised = self.upper is not None and self.upper <= self.limit
        return Verdict.FITS if promised else Verdict.MAY_FIT

    @property
    def most(self) -> float:
        """What decides: the figure where it is over already or all there is, else the upper one."""
        over = self.verdict is Verdict.DOES_NOT_FIT
        return self.figure if over or self.upper is None else self.upper

    def reason(self, of: str = "") -> str:
        """Say by how much the figure, or else the upper figure, is over; ``of`` whose limit."""
        if self.verdict is Verdict.DOES_NOT_FIT:
            return over_limit(self.title, self.figure, self.limit, self.unit, of)
        return perhaps_over_limit(
            self.title, self.figure, self.limit, self.unit, of, upper=self.upper
        )


def memory_limits(dtype: Dtype, flash: int, ram: int) -> list[tuple[Metric, float]]:
    """Return the upper figures that ``flash`` and ``ram`` (bytes left to a model) bound."""
    left = {"flash": flash, "ram": ram}
    return [(deciding(one), left[one.memory]) for one in figures_of(dtype) if one.memory]


def uses(bounds: Sequence[tuple[Metric, float]], figures: Mapping[str, float]) -> list[Use]:
    """Return what ``figures`` (by key) take of limits; what is not known at all is left out.

    A limit of an upper figure asks for a promise, one of the plain figure for the estimate alone.
    """
    found = []
    for metric, limit in bounds:
        known = estimated(metric)
        figure, upper = figures.get(known.key), figures.get(metric.key)
        if figure is None:
            figure, known = upper, metric
        if figure is not None:
            found.append(Use(known.title, figure, upper, limit, metric.sign, known.memory or ""))
    return found


def against(found: Sequence[Use]) -> Use | None:
    """Return what stands against the promise: the first that is over, else that may be, or None."""
    for verdict in (Verdict.DOES_NOT_FIT, Verdict.MAY_FIT):
        for use in found:
            if use.verdict is verdict:
                return use
    return None


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
