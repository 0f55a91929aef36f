"""``repeats``: the front is trained again with other seeds, so that luck does not win.

At the end of a search each member is trained until it has so many accuracies. Their mean takes the
place of the first one, so the front may change, and who comes to it is trained again too, until all
members are means. Each accuracy is written as soon as it is known: a kill repeats none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from edgebench.record import Row, front
from edgebench.report import student
from edgebench.space import Sweep
from edgebench.tracking import StudyLog
from edgebench.trial import Outcome

FAILED = 0.0
"""The accuracy of a training that failed with another seed."""


class Repeats:
    """The accuracies of the front's members by seed: place 0 is the trial's own training.

    ``trained`` are the study's trials, a list whose rows take on the means.
    """

    def __init__(self, sweep: Sweep, log: StudyLog, trained: list[Row]) -> None:
        assert sweep.accuracy is not None  # noqa: S101 - the sweep file was validated
        self._accuracy = sweep.accuracy
        self._objectives = sweep.objectives
        self._count = sweep.repeats
        self._log = log
        self._trained = trained
        self._values: dict[int, dict[int, float]] = {}

    def following(self, under_way: Collection[tuple[int, int]]) -> tuple[Row, int] | None:
        """Return a member and the place of an accuracy that it lacks; trials, places under way."""
        for row in front(self._trained, self._objectives):
            for place in range(1, self._count):
                if place not in self._known(row) and (row.trial, place) not in under_way:
                    return row, place
        return None

    def add(self, trial: int, place: int, outcome: Outcome) -> None:
        """Take a training of a trial with another seed."""
        index = next(n for n, row in enumerate(self._trained) if row.trial == trial)
        row = self._trained[index]
        values = self._known(row)
        new = {place: outcome.metrics.get(self._accuracy, FAILED)}
        self._log.log_repeats(row.run_id, new if len(values) > 1 else {0: values[0], **new})
        values |= new
        if all(place in values for place in range(self._count)):
            figures = self._mean(values)
            self._log.log_metrics(row.run_id, figures)
            self._trained[index] = dataclasses.replace(row, metrics={**row.metrics, **figures})

    def _mean(self, values: Mapping[int, float]) -> dict[str, float]:
        found = student([values[place] for place in sorted(values)])
        figures = {self._accuracy: found.mean, "repeats/count": float(found.count)}
        if found.low is not None and found.high is not None:
            figures |= {"repeats/low": found.low, "repeats/high": found.high}
        return figures

    def _known(self, row: Row) -> dict[int, float]:
        if row.trial not in self._values:
            own = {0: row.metrics[self._accuracy]}
            self._values[row.trial] = own | self._log.repeats_of(row.run_id)
        return self._values[row.trial]
