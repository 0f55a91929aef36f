"""``method: edgebench``: the candidate that promises the most hypervolume a second of training.

What makes this search special is that costs are known before training. So a candidate over the
budget is not proposed at all, the first ones are chosen to differ in what they cost and are, and
from then on each is the one with the greatest expected hypervolume gain a second, where the
accuracy alone is uncertain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from edgebench.record import Row, State, costs, front
from edgebench.search.curves import ACCURACY, likely_end
from edgebench.search.expected_gain import Vector, expected_gain
from edgebench.search.surrogate import Candidate, Surrogate
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate

FIRST = 6
"""Candidates that are chosen to differ, before there is anything to expect from."""
BEYOND = 0.1
"""How far the reference point lies beyond the worst, in ranges."""


class Promise:
    """Chooses among candidates by the trials of a study so far, ``trained``, a list that grows."""

    def __init__(
        self, sweep: Sweep, measure: Callable[[TrialConfig], Gate], trained: Sequence[Row]
    ) -> None:
        assert sweep.accuracy is not None  # noqa: S101 - the sweep file was validated
        self._accuracy = sweep.accuracy
        self._paid = [goal for goal in sweep.objectives if goal.name != sweep.accuracy]
        self._objectives = sweep.objectives
        self._measure = measure
        self._trained = trained
        self._surrogate = Surrogate(sweep.axes)
        self._gates: dict[str, Gate] = {}
        self._config = sweep.config
        self._seed = sweep.seed

    def choose(
        self, candidates: Sequence[TrialConfig], running: Sequence[TrialConfig]
    ) -> TrialConfig:
        """Return the candidate to train next, beside those that are ``running``.

        Where none fits the budget it is one that does not, so that the record says why.
        """
        gates = [self._gate(config) for config in candidates]
        fitting = [n for n, gate in enumerate(gates) if gate.refusal is None]
        if not fitting:
            return candidates[0]
        asked = [Candidate(candidates[n].params, gates[n].metrics) for n in fitting]
        under_way = [Candidate(one.params, self._gate(one).metrics) for one in running]
        seen = [Candidate(row.params, row.metrics) for row in self._trained]
        if len(seen) + len(under_way) < FIRST or len(seen) < 2:
            place = self._different([*seen, *under_way], asked)
        else:
            place = int(np.argmax(self._gain_a_second(seen, under_way, asked)))
        return candidates[fitting[place]]

    def _gate(self, config: TrialConfig) -> Gate:
        """Measure a network once, whatever it is trained with."""
        key = json.dumps([config.data_key, config.family, config.model_options], sort_keys=True)
        if key not in self._gates:
            self._gates[key] = self._measure(config)
        return self._gates[key]

    def _different(self, known: Sequence[Candidate], asked: Sequence[Candidate]) -> int:
        """Return the place of the candidate that is farthest from all that are known."""
        points = self._surrogate.features([*known, *asked])
        new = points[len(known) :]
        if not known:
            return int(np.random.default_rng(self._seed).integers(len(asked)))
        apart = np.abs(new[:, None] - points[None, : len(known)]).sum(axis=2).min(axis=1)
        return int(np.argmax(apart))

    def _gain_a_second(
        self, seen: Sequence[Candidate], under_way: Sequence[Candidate], asked: Sequence[Candidate]
    ) -> Vector:
        rows = list(self._trained)
        reached = [self._reached(row) for row in rows]
        seconds = [row.metrics["time/train_s"] for row in rows]
        expected = self._surrogate.expect(seen, reached, seconds, [*asked, *under_way])
        count = len(asked)
        members = front(rows, self._objectives)
        accuracy = np.array([row.metrics[self._accuracy] for row in members])
        paid = self._costs([Candidate(row.params, row.metrics) for row in members])
        # What is under way is taken for done, at what it may be expected to reach.
        accuracy = np.append(accuracy, 1 - np.exp(expected.mean[count:]))
        paid = np.vstack([paid, self._costs(under_way)])
        offered = self._costs(asked)
        both = np.vstack([paid, offered])
        low, span = both.min(axis=0, initial=np.inf), np.ptp(both, axis=0) if len(both) else 0.0
        reach = np.where(span > 0, (1 + BEYOND) * span, 1.0)
        least, most = accuracy.min(initial=1.0), accuracy.max(initial=0.0)
        floor = (
            float(max(0.0, least - max(BEYOND * (most - least), 0.02))) if len(accuracy) else 0.0
        )
        gain = expected_gain(
            accuracy,
            (paid - low) / reach,
            mean=expected.mean[:count],
            deviation=expected.deviation[:count],
            asked=(offered - low) / reach,
            floor=floor,
        )
        return gain / expected.seconds[:count]

    def _costs(self, candidates: Sequence[Candidate]) -> Vector:
        rows = [Row(0, "", "", State.RUNNING, None, one.params, one.metrics) for one in candidates]
        return costs(rows, self._paid).reshape(len(rows), len(self._paid))

    def _reached(self, row: Row) -> float:
        """Return the accuracy of a trial; of one that was stopped, what it likely would have."""
        if row.state is State.FINISHED:
            return row.metrics[self._accuracy]
        epochs = self._config(row.params).recipe.epochs
        return likely_end(row.curves[ACCURACY], epochs, self._trained, self._accuracy)
