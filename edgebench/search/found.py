"""What a search has found so far: how much its front covers, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.record import Row, State, front
from edgebench.report import covered, expected_gain
from edgebench.space import Sweep

TRAINED = (State.FINISHED, State.PRUNED)
FEWEST = 3
"""Trials from which on it is said what others may add."""


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
        self._members, self._behind = self._fronts(rows)
        self._count = sum(row.state in TRAINED for row in rows)
        self._costliest = [self._most(goal.name, rows) for goal in sweep.objectives]
        self._judge(trained)

    def add(self, row: Row, trained: Sequence[Row]) -> None:
        """Take a trial that ended; ``trained`` are all that did, where ``stop_when`` is asked."""
        self._count += row.state in TRAINED
        if row.feasible:
            self._members, self._behind = self._fronts([*self._members, *self._behind, row])
            for place, goal in enumerate(self._objectives):
                self._costliest[place] = self._most(goal.name, [*self._costliest[place], row])
        self._judge(trained)

    def gain(self, more: int) -> float | None:
        """Return what so many trials more may add to `covered`; None after too few to tell."""
        if self._count < FEWEST:
            return None
        if more not in self._gains:
            self._gains[more] = expected_gain(
                [*self._members, *self._behind],
                self._objectives,
                self._limits,
                trained=self._count,
                more=more,
                among=[row for rows in self._costliest for row in rows],
            )
        return self._gains[more]

    def _judge(self, trained: Sequence[Row]) -> None:
        self._gains: dict[int, float] = {}  # each epoch of what runs asks the same
        among = [row for rows in self._costliest for row in rows]
        self.covered = covered(self._members, self._objectives, self._limits, among)
        self.enough = False
        asked = self._stop_when
        if asked is not None and len(trained) > asked.trials and self.covered:
            earlier = trained[: -asked.trials]
            before = covered(earlier, self._objectives, self._limits, among)
            self.enough = self.covered - before < asked.hypervolume_gain * self.covered

    def _fronts(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Return the front, and the front of the others: what a member's leaving could bring up."""
        members = front(rows, self._objectives)
        seen = {id(row) for row in members}
        return members, front([row for row in rows if id(row) not in seen], self._objectives)

    def _most(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Return the feasible row that has most of a figure, if there is any."""
        having = [row for row in rows if row.feasible and row.complete([name])]
        return [max(having, key=lambda row: row.metrics[name])] if having else []
