"""Figures against limits: the one place that judges an estimate and its upper figure by them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgebench.metrics import Dtype, Metric, deciding, estimated
from edgebench.metrics import figures as figures_of


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


def over_limit(title: str, used: float, limit: float, unit: str = "", of: str = "") -> str:
    """Say that a figure is over its limit and by how much; the one sentence for it.

    ``ROM 73,000,000 B is over 20,000,000 B of a-board by 53,000,000 B``; ``of`` names whose limit
    it is.
    """
    of = f" of {of}" if of else ""
    over = _exact(used - limit, unit)
    return f"{title} {_exact(used, unit)} is over {_exact(limit, unit)}{of} by {over}"


def perhaps_over_limit(
    title: str, used: float, limit: float, unit: str = "", of: str = "", *, upper: float | None
) -> str:
    """Say that a figure is under its limit, but its upper figure is over it, or is not known."""
    within = _exact(limit, unit) + (f" of {of}" if of else "")
    if upper is None:
        return f"may fit: {title} is at least {_exact(used, unit)}, under {within}"
    return (
        f"may fit: {title} {_exact(used, unit)} is under {within}, but may be up to "
        f"{_exact(upper, unit)}, {_exact(upper - limit, unit)} over"
    )


def _exact(value: float, unit: str) -> str:
    number = f"{value:,.2f}" if unit == "ms" else f"{int(value):,}"
    return f"{number} {unit}".rstrip()


_NAMED = re.compile(r"(?:may fit: )?(.+?) (?:[\d,.]+(?: B| ms)? )?is (?:over|under|at least) ")


def limit_named(reason: str) -> str | None:
    """Return the title of the first figure that ``reason`` says is over or may be, or None.

    The inverse of `over_limit` and `perhaps_over_limit`: ``ROM`` of the example there.
    """
    found = _NAMED.match(reason)
    return found[1] if found else None
