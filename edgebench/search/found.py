"""What a search has found so far: how much its front covers, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.record import Row, front
from edgebench.report import covered
from edgebench.space import Sweep


class Found:
    """The front of a study under way; what a trial costs here does not grow with their number.

    Attributes:
        covered: The share of what could be sought that the front covers, 0..1.
        enough: Whether the last trials gained less than ``stop_when`` asks for.
    """

    def __init__(self, sweep: Sweep, rows: Sequence[Row], trained: Sequence[Row]) -> None:
        self._objectives = sweep.objectives
        self._limits = sweep.budget.limits if sweep.budget else None
        self._stop_when = sweep.stop_when
        self._members = front(rows, sweep.objectives)
        self._costliest = [self._most(goal.name, rows) for goal in sweep.objectives]
        self._judge(trained)

    def add(self, row: Row, trained: Sequence[Row]) -> None:
        """Take a trial that ended; ``trained`` are all that did, where ``stop_when`` is asked."""
        if row.feasible:
            self._members = front([*self._members, row], self._objectives)
            for place, goal in enumerate(self._objectives):
                self._costliest[place] = self._most(goal.name, [*self._costliest[place], row])
        self._judge(trained)

    def _judge(self, trained: Sequence[Row]) -> None:
        among = [row for rows in self._costliest for row in rows]
        self.covered = covered(self._members, self._objectives, self._limits, among)
        self.enough = False
        asked = self._stop_when
        if asked is not None and len(trained) > asked.trials and self.covered:
            earlier = trained[: -asked.trials]
            before = covered(earlier, self._objectives, self._limits, among)
            self.enough = self.covered - before < asked.hypervolume_gain * self.covered

    def _most(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Return the feasible row that has most of a figure, if there is any."""
        having = [row for row in rows if row.feasible and row.complete([name])]
        return [max(having, key=lambda row: row.metrics[name])] if having else []
