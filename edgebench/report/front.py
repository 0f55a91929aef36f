"""The non-dominated trials, and how much of the objective space they cover."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from edgebench.record import Objective, Row, costs, front

__all__ = ["best", "front", "hypervolume", "progress", "ranked"]

BEYOND = 1.1  # the reference point of `progress`, in ranges from the best value


def best(rows: Sequence[Row], objectives: Sequence[Objective]) -> Row | None:
    """Return the front member that is best in the first objective, the others breaking ties."""
    members = front(rows, objectives)
    return min(members, key=lambda row: (*costs([row], objectives)[0], row.trial), default=None)


def ranked(rows: Sequence[Row], objectives: Sequence[Objective]) -> list[Row]:
    """Return ``rows`` with the best in the first objective first, then by trial."""
    first = objectives[0]
    sign = -1 if first.goal == "maximize" else 1
    return sorted(rows, key=lambda row: (sign * row.metrics[first.name], row.trial))


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Return the volume that ``points`` dominate below ``reference``, every axis minimised.

    Exact for any number of axes, by slicing along the last one (Hypervolume by Slicing
    Objectives, While et al. 2006).
    """
    inside = [tuple(p) for p in points if all(x < r for x, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - min(point[0] for point in inside))
    inside.sort(key=lambda point: point[-1])
    levels = [point[-1] for point in inside] + [reference[-1]]
    return sum(
        (upper - lower) * hypervolume([p[:-1] for p in inside[: index + 1]], reference[:-1])
        for index, (lower, upper) in enumerate(itertools.pairwise(levels))
        if upper > lower
    )


def progress(rows: Sequence[Row], objectives: Sequence[Objective]) -> list[tuple[int, float]]:
    """Return (trial, hypervolume so far) in order of trials, as a share of the study's own box.

    The box spans from the best value of each objective among the feasible rows to a tenth of the
    range beyond the worst, so that the extreme members count too. An objective that never varies
    is left out.
    """
    names = [goal.name for goal in objectives]
    done = sorted((row for row in rows if row.feasible and row.complete(names)), key=_number)
    if not done:
        return []
    paid = costs(done, objectives)
    spans = paid.max(axis=0) - paid.min(axis=0)
    varying = spans > 0
    if not varying.any():
        return [(row.trial, 1.0) for row in done]
    unit = ((paid - paid.min(axis=0))[:, varying] / spans[varying]).tolist()
    reference = [BEYOND] * len(unit[0])
    box = math.prod(reference)
    grown: list[tuple[int, float]] = []
    members: list[list[float]] = []
    for row, point in zip(done, unit, strict=True):
        if not any(_covers(member, point) for member in members):
            members = [member for member in members if not _covers(point, member)] + [point]
            grown.append((row.trial, hypervolume(members, reference) / box))
        else:
            grown.append((row.trial, grown[-1][1]))
    return grown


def _covers(point: Sequence[float], other: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(point, other, strict=True))


def _number(row: Row) -> int:
    return row.trial
