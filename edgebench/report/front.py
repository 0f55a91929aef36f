"""The non-dominated trials, and how much of the objective space they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgebench.metrics import metric_of
from edgebench.record import Objective, Row, StudyRecord, costs, front

__all__ = ["best", "covered", "expected_gain", "front", "hypervolume", "progress", "ranked"]

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Points = npt.NDArray[np.float64]

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


MEMBERS_SHOWN = 30
"""The most members of a front that a table names; csv and json have them all."""


def shown_members(record: StudyRecord) -> list[Row]:
    """Return the members of a study's front that tables name: the best in the first objective."""
    return ranked(record.front(), record.objectives)[:MEMBERS_SHOWN]


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Return the volume that ``points`` dominate below ``reference``, every axis minimized.

    Exact for any number of axes: the sum of what each point adds to those after it (While,
    Bradstreet and Barone, A Fast Way of Calculating Exact Hypervolumes, 2012).
    """
    import numpy as np

    edge = np.asarray(reference, dtype=float)
    inside = [point for point in points if all(np.asarray(point) < edge)]
    return _volume(np.array(inside, dtype=float).reshape(-1, len(edge)), edge)


def _volume(points: Points, edge: Points) -> float:
    """Return the volume of points x axes, all of them below ``edge``."""
    import numpy as np

    if len(points) == 0 or len(edge) == 1:
        return float(edge[0] - points.min()) if len(points) else 0.0
    if len(edge) == 2:
        points = points[points[:, 0].argsort()]
        widths = np.diff(np.append(points[:, 0], edge[0]))
        return float(widths @ (edge[1] - np.minimum.accumulate(points[:, 1])))
    points = np.unique(points, axis=0)
    covering = (points[:, None] <= points[None]).all(axis=2).sum(axis=0)
    points = points[covering == 1]  # by itself alone: the others add nothing
    points = points[(-points[:, -1]).argsort(kind="stable")]
    # The points that come later are better on the last axis: there each slab is as high as its own.
    return sum(
        float(edge[-1] - point[-1]) * _added(point[:-1], points[index + 1 :, :-1], edge[:-1])
        for index, point in enumerate(points)
    )


def _added(point: Points, others: Points, edge: Points) -> float:
    """Return the volume that ``point`` dominates and none of ``others`` does."""
    import numpy as np

    return float(np.prod(edge - point)) - _volume(np.maximum(others, point), edge)


def progress(rows: Sequence[Row], objectives: Sequence[Objective]) -> list[tuple[int, float]]:
    """Return (trial, hypervolume so far) in order of trials, as a share of the study's own box.

    The box spans from the best value of each objective among the feasible rows to a tenth of the
    range beyond the worst, so that the extreme members count too. An objective that never varies
    is left out.
    """
    import numpy as np

    names = [goal.name for goal in objectives]
    done = sorted((row for row in rows if row.feasible and row.complete(names)), key=_number)
    if not done:
        return []
    paid = costs(done, objectives)
    spans = paid.max(axis=0) - paid.min(axis=0)
    varying = spans > 0
    if not varying.any():
        return [(row.trial, 1.0) for row in done]
    unit = (paid - paid.min(axis=0))[:, varying] / spans[varying]
    edge = np.full(unit.shape[1], BEYOND)
    box = float(np.prod(edge))
    grown: list[tuple[int, float]] = []
    members, volume = unit[:0], 0.0
    for row, point in zip(done, unit, strict=True):
        if not (members <= point).all(axis=1).any():
            volume += _added(point, members, edge) / box
            members = np.vstack([members[~(point <= members).all(axis=1)], point])
        grown.append((row.trial, min(volume, 1.0)))
    return grown


def covered(
    rows: Sequence[Row],
    objectives: Sequence[Objective],
    limits: Mapping[str, float] | None,
    among: Sequence[Row] = (),
) -> float:
    """Return the share, 0..1, of all that could be sought that the front of ``rows`` covers.

    It is the hypervolume in a box that reaches from what is perfect, an accuracy of 1 and costs of
    0, to an accuracy of 0 and the highest costs: the budget's, or where there is no limit a tenth
    more than those of the costliest feasible row of ``rows`` and ``among``. So under a budget it
    never falls while a study goes on.
    """
    import numpy as np

    members = front(rows, objectives)
    if not members:
        return 0.0
    points = _in_box(members, objectives, limits, [*rows, *among])
    return hypervolume(np.unique(points, axis=0).tolist(), [1.0] * len(objectives))


def expected_gain(
    rows: Sequence[Row],
    objectives: Sequence[Objective],
    limits: Mapping[str, float] | None,
    *,
    trained: int,
    more: int,
    among: Sequence[Row] = (),
) -> float:
    """Return what ``more`` trials like the ``trained`` ones may add to `covered`.

    Over all orders in which n trials could have come, the last one added in the mean S / n, with S
    the sum of what each member of the front covers alone. Of m further ones
    S m / (n + m + 1) is expected: exactly so for the greatest of numbers that are evenly
    distributed, which of n is n / (n + 1) on average. A method that learns may add more.
    """
    import numpy as np

    members = front(rows, objectives)
    seen = {id(row) for row in members}
    behind = front([row for row in rows if id(row) not in seen], objectives)
    if not members or not trained or not more:
        return 0.0
    points = _in_box([*members, *behind], objectives, limits, [*rows, *among])
    edge = np.ones(len(objectives))
    inside = np.all(points < edge, axis=1)
    known, counts = np.unique(points[inside], axis=0, return_counts=True)
    mine = {tuple(point) for point in points[: len(members)].tolist()}
    alone = sum(
        _added(known[place], np.delete(known, place, axis=0), edge)
        for place in range(len(known))
        if counts[place] == 1 and tuple(known[place].tolist()) in mine  # equal ones share theirs
    )
    return alone * more / (trained + more + 1)


def _in_box(
    rows: Sequence[Row],
    objectives: Sequence[Objective],
    limits: Mapping[str, float] | None,
    among: Sequence[Row],
) -> Points:
    """Return the costs of ``rows``, of which 0 is perfect and 1 the edge of what is sought."""
    names = [goal.name for goal in objectives]
    whole = [row for row in among if row.feasible and row.complete(names)]
    paid = costs(rows, objectives)
    for place, goal in enumerate(objectives):
        if goal.goal == "maximize":
            paid[:, place] += 1.0  # costs are the negative of what is sought
            continue
        limit = _limit(goal.name, limits or {})
        highest = limit or BEYOND * max(row.metrics[goal.name] for row in whole)
        paid[:, place] /= highest or 1.0
    return paid


def _limit(name: str, limits: Mapping[str, float]) -> float | None:
    """Return the budget's limit of a figure, which may be of its upper figure."""
    metric = metric_of(name)
    keys = [metric.key, *([metric_of(metric.upper).key] if metric.upper else [])]
    return next((limits[key] for key in keys if key in limits), None)


def _number(row: Row) -> int:
    return row.trial
