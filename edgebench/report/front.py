"""The non-dominated trials, and how much of the objective space they cover."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgebench.record import Objective, Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BEYOND = 1.1  # the reference point of `progress`, in ranges from the best value


def front(rows: Sequence[Row], objectives: Sequence[Objective]) -> list[Row]:
    """Return the feasible rows that no feasible row dominates, in the order given.

    A row dominates another when it is nowhere worse and somewhere better. Rows with equal
    objectives do not dominate each other, so all of them stay or none does. Rows that lack an
    objective, or have a non-finite one, take no part.
    """
    import numpy as np

    candidates = [row for row in rows if row.feasible and _complete(row, objectives)]
    if not candidates or not objectives:
        return []
    costs = _costs(candidates, objectives)
    kept = []
    for row, cost in zip(candidates, costs, strict=True):
        dominated = np.all(costs <= cost, axis=1) & np.any(costs < cost, axis=1)
        if not dominated.any():
            kept.append(row)
    return kept


def best(rows: Sequence[Row], objectives: Sequence[Objective]) -> Row | None:
    """Return the front member that is best in the first objective, the others breaking ties."""
    members = front(rows, objectives)
    return min(members, key=lambda row: (*_costs([row], objectives)[0], row.trial), default=None)


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
    done = sorted((r for r in rows if r.feasible and _complete(r, objectives)), key=_number)
    if not done:
        return []
    costs = _costs(done, objectives)
    spans = costs.max(axis=0) - costs.min(axis=0)
    varying = spans > 0
    if not varying.any():
        return [(row.trial, 1.0) for row in done]
    unit = ((costs - costs.min(axis=0))[:, varying] / spans[varying]).tolist()
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


def _complete(row: Row, objectives: Sequence[Objective]) -> bool:
    return all(math.isfinite(row.metrics.get(goal.name, math.nan)) for goal in objectives)


def _costs(rows: Sequence[Row], objectives: Sequence[Objective]) -> npt.NDArray[np.float64]:
    """Return rows x objectives with every column turned so that less is better."""
    import numpy as np

    signs = [-1.0 if goal.goal == "maximize" else 1.0 for goal in objectives]
    return np.array(
        [[s * row.metrics[g.name] for s, g in zip(signs, objectives, strict=True)] for row in rows]
    )
