"""``method: edgebench``: what promises the most hypervolume a second of training comes next.

What makes this search special is that costs are known before training. So a candidate over the
budget is not proposed at all, the first ones are chosen to differ in what they cost and are, and
from then on the one with the greatest expected hypervolume gain a second is trained, where the
accuracy alone is uncertain. It may be a new one, or one that was trained in part: its curve so far
makes it less uncertain, and less of its training is left to be paid for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from edgebench.record import Row, State, costs, front
from edgebench.search.curves import ACCURACY, SMALLEST_ERROR, likely_fall
from edgebench.search.dispatcher import Job
from edgebench.search.expected_gain import Vector, expected_gain
from edgebench.search.surrogate import Candidate, Seen, Surrogate
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate

FIRST = 8
"""Candidates that are chosen to differ, and trained to their first rung, before any is compared."""
MEASURED = 60
"""New networks that are measured for one choice; each takes some milliseconds."""
LEARNED_FROM = 300
"""The latest trials that the expectations are learned from."""
BEYOND = 0.1
"""How far the reference point lies beyond the highest costs, in ranges."""


class Promise:
    """Chooses among candidates by the trials of a study so far, ``trained``, a list that grows.

    ``chance`` is the accuracy of guessing.
    """

    def __init__(
        self,
        sweep: Sweep,
        measure: Callable[[TrialConfig], Gate],
        trained: Sequence[Row],
        chance: float,
    ) -> None:
        assert sweep.accuracy is not None  # noqa: S101 - the sweep file was validated
        self._accuracy = sweep.accuracy
        self._paid = [goal for goal in sweep.objectives if goal.name != sweep.accuracy]
        self._objectives = sweep.objectives
        self._measure = measure
        self._trained = trained
        self._chance = chance
        self._surrogate = Surrogate(sweep.axes)
        self._gates: dict[str, Gate] = {}
        self._config = sweep.config
        self._seed = sweep.seed

    def choose(
        self,
        offered: Sequence[TrialConfig],
        running: Sequence[Job] = (),
        paused: Sequence[Job] = (),
    ) -> TrialConfig | Job | None:
        """Return what to train next: one ``offered``, or one ``paused``; None where there is none.

        Where none fits the budget it is one that does not, so that the record says why.
        """
        offered, gates = self._measured(offered)
        fitting = [n for n, gate in enumerate(gates) if gate.refusal is None]
        if not (fitting or paused):
            return offered[0] if offered else None
        new = [Candidate(offered[n].params, gates[n].metrics) for n in fitting]
        known = [Candidate(row.params, row.metrics) for row in self._trained]
        known += [_candidate(job) for job in (*running, *paused)]
        if fitting and len(known) < FIRST:
            return offered[fitting[self._different(known, new)]]
        seen = self._seen([*running, *paused])
        if len(seen) < 2:
            return paused[0] if paused else offered[fitting[self._different(known, new)]]
        epochs = [float(offered[n].recipe.epochs) for n in fitting]
        place = int(np.argmax(self._gain_a_second(seen, running, paused, new, epochs)))
        return paused[place] if place < len(paused) else offered[fitting[place - len(paused)]]

    def _measured(self, offered: Sequence[TrialConfig]) -> tuple[list[TrialConfig], list[Gate]]:
        """Return the candidates whose networks are known, and what the gate says of each.

        A network is measured once, whatever it is trained with, and `MEASURED` new ones at a time.
        """
        left, found, gates = MEASURED, list[TrialConfig](), list[Gate]()
        for config in offered:
            key = json.dumps([config.data_key, config.family, config.model_options], sort_keys=True)
            if key not in self._gates:
                if not left:
                    continue
                left -= 1
                self._gates[key] = self._measure(config)
            found.append(config)
            gates.append(self._gates[key])
        return found, gates

    def _different(self, known: Sequence[Candidate], asked: Sequence[Candidate]) -> int:
        """Return the place of the candidate that is farthest from all that are known."""
        points = self._surrogate.features([*known, *asked])
        new = points[len(known) :]
        if not known:
            return int(np.random.default_rng(self._seed).integers(len(asked)))
        apart = np.abs(new[:, None] - points[None, : len(known)]).sum(axis=2).min(axis=1)
        return int(np.argmax(apart))

    def _gain_a_second(
        self,
        seen: Sequence[Seen],
        running: Sequence[Job],
        paused: Sequence[Job],
        new: Sequence[Candidate],
        epochs: Sequence[float],
    ) -> Vector:
        """Return the expected gain a second of those that are ``paused``, then of ``new`` ones.

        What is running is taken for done, at what it may be expected to reach.
        """
        asked = [*(_candidate(job) for job in paused), *new]
        under_way = [_candidate(job) for job in running]
        expected = self._surrogate.expect(seen, [*asked, *under_way])
        count = len(asked)
        members = front(self._trained, self._objectives)
        accuracy = np.array([row.metrics[self._accuracy] for row in members])
        accuracy = np.append(accuracy, 1 - np.exp(expected.mean[count:]))
        paid = self._costs([Candidate(row.params, row.metrics) for row in members])
        paid, offered = np.vstack([paid, self._costs(under_way)]), self._costs(asked)
        both = np.vstack([paid, offered])
        low, span = both.min(axis=0, initial=np.inf), np.ptp(both, axis=0)
        reach = np.where(span > 0, (1 + BEYOND) * span, 1.0)
        gain = expected_gain(
            accuracy,
            (paid - low) / reach,
            mean=expected.mean[:count],
            deviation=expected.deviation[:count],
            asked=(offered - low) / reach,
            floor=_floor(accuracy, self._chance),
        )
        seconds = expected.seconds[:count] * np.array([0.0] * len(paused) + list(epochs))
        for place, job in enumerate(paused):
            left = job.config.recipe.epochs - len(job.curve)
            seconds[place] = left * job.seconds / len(job.curve)
        found: Vector = gain / np.maximum(seconds, 1e-3)
        return found

    def _costs(self, candidates: Sequence[Candidate]) -> Vector:
        rows = [Row(0, "", "", State.RUNNING, None, one.params, one.metrics) for one in candidates]
        return costs(rows, self._paid).reshape(len(rows), len(self._paid))

    def _seen(self, under_way: Sequence[Job]) -> list[Seen]:
        """Return all that was trained, in whole or in part, with what it likely ends with."""
        recent = self._trained[-LEARNED_FROM:]
        ends = _Ends(recent, self._accuracy)
        found = []
        for row in recent:
            curve = row.curves.get(ACCURACY, ())
            epochs = len(curve) or self._config(row.params).recipe.epochs
            if row.state is State.FINISHED:
                error, doubt = _log_error(row.metrics[self._accuracy]), 0.0
            else:
                error, doubt = ends.likely(curve, self._config(row.params).recipe.epochs)
            candidate = Candidate(row.params, row.metrics)
            found.append(Seen(candidate, error, doubt, row.metrics["time/train_s"] / epochs))
        for job in under_way:
            if job.curve:
                curve = [epoch[ACCURACY] for epoch in job.curve]
                error, doubt = ends.likely(curve, job.config.recipe.epochs)
                found.append(Seen(_candidate(job), error, doubt, job.seconds / len(curve)))
        return found


class _Ends:
    """Where curves likely end, by the finished ones among ``rows``."""

    def __init__(self, rows: Sequence[Row], goal: str) -> None:
        self._rows, self._goal = rows, goal
        self._falls: dict[float, tuple[float, float]] = {}

    def likely(self, curve: Sequence[float], epochs: int) -> tuple[float, float]:
        """Return the logarithm of the error that a curve ends with, and its deviation."""
        progress = len(curve) / epochs
        if progress not in self._falls:
            self._falls[progress] = likely_fall(progress, self._rows, self._goal)
        fall, doubt = self._falls[progress]
        return _log_error(max(curve)) + fall, doubt


def _candidate(job: Job) -> Candidate:
    return Candidate(job.config.params, job.gate.metrics)


def _log_error(accuracy: float) -> float:
    return math.log(max(1 - accuracy, SMALLEST_ERROR))


def _floor(accuracy: Vector, chance: float) -> float:
    """Return the accuracy of the reference point: half of what the best has over guessing.

    What is less accurate is worth nothing, however small.
    """
    return chance + 0.5 * (float(accuracy.max(initial=chance)) - chance)
