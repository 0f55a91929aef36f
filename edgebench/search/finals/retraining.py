"""The final runs under way: workers train what the record does not hold yet."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edgebench.record import Facts, Row
from edgebench.search.finals.plan import Plan
from edgebench.search.study import Event, Observer, heard
from edgebench.search.worker import Worker, speaking
from edgebench.space import TrialConfig
from edgebench.tracking import StudyLog


@dataclass(frozen=True)
class _Job:
    """A final run under way in a worker."""

    config: TrialConfig
    name: str
    run_id: str
    started: float


@dataclass
class Retraining:
    """The final runs under way; what the record holds already is not repeated."""

    plan: Plan
    log: StudyLog
    facts: Mapping[int, Facts]
    workers: Sequence[Worker]
    observe: Observer
    dataset: str | None
    waiting: list[tuple[Row, TrialConfig]] = field(default_factory=list)
    jobs: dict[Worker, _Job] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def go(self) -> None:
        """Train what is missing; whatever ends this early closes the runs under way."""
        recorded = self.log.finals()
        done = {key for key, run in recorded.items() if run.state == "finished"}
        self.waiting = [item for item in self.plan.configs() if item[1].key not in done]
        try:
            while self.waiting or self.jobs:
                for worker in self.workers:
                    if self.waiting and worker not in self.jobs:
                        self._begin(worker, *self.waiting.pop(0))
                for worker in speaking(list(self.jobs)):
                    self._hear(worker)
        finally:
            for job in self.jobs.values():
                self.log.interrupt(job.run_id)

    def _begin(self, worker: Worker, row: Row, config: TrialConfig) -> None:
        name = f"final-{row.name.removeprefix('trial-')}-seed{config.seed}"
        run_id = self.log.begin_final(row.trial, config, self.facts[config.split_seed], name)
        self.jobs[worker] = _Job(config, name, run_id, time.monotonic())
        trained = dataclasses.replace(config, dataset=self.dataset or config.dataset)
        worker.ask("trial", trained, None)  # the budget was met by the same network
        self._show("started", self.jobs[worker])

    def _hear(self, worker: Worker) -> None:
        job = self.jobs[worker]
        outcome = heard(worker, self.log, job.run_id, partial(self._show, "epoch", job))
        if outcome:
            facts = self.facts[job.config.split_seed]
            self.log.end_trial(job.run_id, job.config, facts, outcome)
            del self.jobs[worker]
            self.seconds.append(time.monotonic() - job.started)
            ended = {"state": outcome.state, "reason": outcome.reason, "metrics": outcome.metrics}
            self._show("ended", job, **ended)

    def _show(self, kind: str, job: _Job, **details: Any) -> None:
        left, total = len(self.waiting) + len(self.jobs), len(self.plan.configs())
        rounds = math.ceil(left / len(self.workers))
        seconds = rounds * sum(self.seconds) / len(self.seconds) if self.seconds else None
        epochs = job.config.recipe.epochs
        event = Event(kind, job.name, total - left, total, epochs=epochs, seconds_left=seconds)
        self.observe(dataclasses.replace(event, **details))
