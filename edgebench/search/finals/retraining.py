"""The final runs under way: what the record does not hold yet is trained."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebench.record import Facts, Row
from edgebench.search.coordinator import row_of
from edgebench.search.dispatcher import Dispatcher, Job
from edgebench.search.finals.plan import Plan
from edgebench.search.progress import Event, Observer
from edgebench.space import TrialConfig
from edgebench.tracking import FinalsLog
from edgebench.trial import Outcome, gate


@dataclass
class Retraining:
    """The final runs under way; what the record holds already is not repeated."""

    plan: Plan
    log: FinalsLog
    facts: Mapping[str, Facts]
    dispatcher: Dispatcher
    observe: Observer
    dataset: str | None
    waiting: list[tuple[Row, TrialConfig]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def go(self) -> None:
        """Train what is missing; whatever ends this early closes the runs under way."""
        recorded = self.log.finals()
        done = {key for key, run in recorded.items() if run.state == "finished"}
        self.waiting = [item for item in self.plan.configs() if item[1].key not in done]
        try:
            self.dispatcher.run(self)
        finally:
            for job in self.dispatcher.running.values():
                self.log.interrupt(job.run_id)

    def following(self) -> Job | None:
        """Return the next final run; the budget was met by the same network."""
        if not self.waiting:
            return None
        row, config = self.waiting.pop(0)
        facts = self.facts[config.data_key]
        measured = gate(config, None, facts.input_shape, len(facts.classes))
        name = f"final-{row.name.removeprefix('trial-')}-seed{config.seed}"
        job = Job(row.trial, config, measured, name, "", dataset=self.dataset)
        self._open(job)
        self._show("started", job)
        return job

    def _open(self, job: Job) -> None:
        """Give a final run that begins its run in MLflow."""
        facts = self.facts[job.config.data_key]
        job.digest = facts.dataset_digest
        job.run_id = self.log.begin_final(job.number, job.config, facts, job.name, job.gate)

    def epoch(self, job: Job, number: int, metrics: Mapping[str, float]) -> None:
        """Keep and show an epoch."""
        self.log.log_epoch(job.run_id, number, metrics)
        self._show("epoch", job, epoch=number, metrics=metrics)

    def retried(self, job: Job) -> None:
        """Write that a worker died: the training begins anew, in another run."""
        self.log.leave(job.run_id, job.deaths[-1])
        self._open(job)
        self.log.log_deaths(job.run_id, job.deaths)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Record a final run."""
        facts = self.facts[job.config.data_key]
        self.log.end_trial(row_of(job, outcome), job.config, facts, job.gate, outcome)
        self.seconds.append(time.monotonic() - job.started)
        ended = {"state": outcome.state, "reason": outcome.reason, "metrics": outcome.metrics}
        self._show("ended", job, **ended)

    def tick(self) -> None:
        """Write the epochs that are due."""
        self.log.flush_if_due()

    def _show(self, kind: Any, job: Job, **details: Any) -> None:
        left, total = len(self.waiting) + len(self.dispatcher.running), len(self.plan.configs())
        rounds = math.ceil(left / self.dispatcher.pool.size)
        seconds = rounds * sum(self.seconds) / len(self.seconds) if self.seconds else None
        event = Event(kind, job.name, total - left, total, epochs=job.config.recipe.epochs)
        self.observe(dataclasses.replace(event, seconds_left=seconds, **details))
