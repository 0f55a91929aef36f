"""Optuna proposes, workers run, MLflow records: ask -> run -> record -> tell, in one process.

This process alone writes to both stores, so the count is exact and nothing races. A trial counts
as done from the moment MLflow holds its state; after a kill at any instant the next start repairs
the rest: what was recorded is told to Optuna, what was cut off is closed and tried again.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import filelock
from optuna.trial import Trial

from edgebench.errors import EdgebenchError
from edgebench.record import Facts, StudyRecord
from edgebench.report import front
from edgebench.search.sampler import Proposals
from edgebench.search.worker import Worker, crew, speaking
from edgebench.space import INT8, Sweep, TrialConfig
from edgebench.tracking import (
    MODEL,
    MODEL_INT8,
    StudyLog,
    read_study,
    sqlite_path,
)
from edgebench.trial import Outcome

REFUSALS_PER_RUN = 10
"""Refused candidates cost milliseconds and do not use up the cap, up to this many a run."""


@dataclass(frozen=True)
class Settings:
    """Where and how a sweep runs; none of it changes what is searched."""

    storage: str
    tracking_uri: str
    data_dir: Path
    workers: int = 1
    device: str = "auto"
    timeout: float | None = None


@dataclass(frozen=True)
class Event:
    """Something to show: a trial ``started``, an ``epoch`` of it, or its ``ended``.

    ``done`` of ``total`` runs are finished; ``seconds_left`` is an estimate or None.
    """

    kind: str
    name: str = ""
    done: int = 0
    total: int | None = None
    epoch: int = 0
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: str = ""
    reason: str | None = None
    seconds_left: float | None = None


Observer = Callable[[Event], None]


@dataclass
class _Job:
    """A trial under way in a worker."""

    trial: Trial
    config: TrialConfig
    name: str
    run_id: str
    started: float


def search(sweep: Sweep, settings: Settings, observe: Observer) -> StudyRecord:
    """Run or continue the study of ``sweep`` until its cap, its end or the timeout.

    Raises:
        EdgebenchError: The data cannot be read, the study holds another search, or another
            process is running it.
        KeyboardInterrupt: Passed on after the running trials have been closed.
    """
    with crew(settings.workers, device=settings.device, data_dir=settings.data_dir) as workers:
        workers[0].ask("prepare", sweep.dataset, sweep.seed)
        facts: Facts = workers[0].receive().content  # before any store is made
        with alone(sweep.name, settings.storage):
            proposals = Proposals(sweep, settings.storage)
            log = StudyLog(settings.tracking_uri, sweep.name)
            log.begin_sweep(sweep, facts)
            running = _Search(proposals, log, facts, workers, settings, observe)
            status = "KILLED"
            try:
                running.recover()
                running.go()
                running.open_test_split()
                status = "FINISHED"
            finally:
                running.recover()  # an interruption may strike anywhere, between the stores too
                log.end_sweep(status, running.counts())
                log.refresh_views(pictures=status == "FINISHED")
    return read_study(sweep.name, tracking_uri=settings.tracking_uri)


@dataclass
class _Search:
    """A search under way; all of it can be rebuilt from the stores."""

    proposals: Proposals
    log: StudyLog
    facts: Facts
    workers: Sequence[Worker]
    settings: Settings
    observe: Observer
    jobs: dict[Worker, _Job] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def recover(self) -> None:
        """Settle what was left: recorded trials are told, others closed and tried again."""
        self.jobs.clear()
        for trial in self.proposals.left_running():
            run_id = trial.user_attrs.get("run_id")
            row = self.log.close_finished(run_id) if run_id else None
            if row is None:
                self.proposals.cut_off(trial)
            else:
                self.proposals.tell(trial, row.state, row.metrics, {})
        for run_id in self.log.unfinished():
            self.log.interrupt(run_id)

    def go(self) -> None:
        """Ask, run, record and tell until nothing is left to do."""
        while True:
            self._assign()
            if not self.jobs:
                return
            for worker in speaking(list(self.jobs)):
                self._hear(worker)

    def open_test_split(self) -> None:
        """Examine the models of the front's members on the test split, each once."""
        sweep = self.proposals.sweep
        models = {"test/accuracy": MODEL}
        if sweep.int8:
            models[f"test/accuracy{INT8}"] = MODEL_INT8
        for row in front(self.log.rows(), sweep.objectives):
            if "test/accuracy" in row.metrics:
                continue
            accuracies = {}
            for metric, name in models.items():
                model = self.log.model_of(row.run_id, name)
                self.workers[0].ask("examine", model, sweep.config(row.params))
                accuracies[metric] = self.workers[0].receive().content
            self.log.log_test(row.run_id, accuracies)

    def counts(self) -> dict[str, float]:
        """Return how many trials finished, were refused and failed."""
        states = ("finished", "refused", "failed")
        return {f"trials/{state}": self.proposals.count(state) for state in states}

    def _assign(self) -> None:
        """Give every idle worker a candidate, as long as there is one to give."""
        for worker in self.workers:
            if worker in self.jobs or not self._wanted():
                continue
            proposal = self.proposals.next({job.config.key for job in self.jobs.values()})
            if proposal is None:
                return
            self._begin(worker, *proposal)

    def _wanted(self) -> bool:
        limit, total = self.settings.timeout, self.proposals.total
        if limit and time.monotonic() - self.started > limit:
            return False
        if self.proposals.count("refused") >= REFUSALS_PER_RUN * total:
            return False
        return self.proposals.count("finished", "failed") + len(self.jobs) < total

    def _begin(self, worker: Worker, trial: Trial, config: TrialConfig) -> None:
        sweep = self.proposals.sweep
        name = f"trial-{trial.number:04d}-{config.label(sweep.varied)}"
        run_id = self.log.begin_trial(trial.number, config, name)
        trial.set_user_attr("run_id", run_id)
        self.jobs[worker] = _Job(trial, config, name, run_id, time.monotonic())
        self._show("started", self.jobs[worker])
        worker.ask("trial", config, sweep.budget)

    def _hear(self, worker: Worker) -> None:
        job = self.jobs[worker]
        outcome = heard(worker, self.log, job.run_id, partial(self._show, "epoch", job))
        if outcome:
            self._end(job, outcome)
            del self.jobs[worker]

    def _end(self, job: _Job, outcome: Outcome) -> None:
        """Record first, then tell: a kill in between is repaired from the record."""
        self.log.end_trial(job.run_id, job.config, self.facts, outcome)
        self.proposals.tell(job.trial, outcome.state, outcome.metrics, outcome.usage)
        self.log.refresh_views(job.run_id)
        if outcome.state == "finished":
            self.seconds.append(time.monotonic() - job.started)
        self._show(
            "ended", job, state=outcome.state, reason=outcome.reason, metrics=outcome.metrics
        )

    def _show(self, kind: str, job: _Job, **details: Any) -> None:
        done, total = self.proposals.count("finished", "failed"), self.proposals.total
        left = None
        if self.seconds:
            rounds = (total - done) / len(self.workers)
            left = rounds * sum(self.seconds) / len(self.seconds)
        epochs = job.config.recipe.epochs
        self.observe(
            Event(kind, job.name, done, total, epochs=epochs, seconds_left=left, **details)
        )


def heard(worker: Worker, log: StudyLog, run_id: str, show: Callable[..., None]) -> Outcome | None:
    """Take a worker's next message on its trial: record and show an epoch, or return the outcome.

    ``show`` is called with ``epoch`` (from 1) and ``metrics``. Raises EdgebenchError where the
    trial was the user's mistake.
    """
    message = worker.receive()
    if message.kind != "epoch":
        outcome: Outcome = message.content
        return outcome
    number, metrics = message.content
    log.log_epoch(run_id, number, metrics)
    show(epoch=number, metrics=metrics)
    return None


@contextlib.contextmanager
def alone(study: str, storage_url: str) -> Iterator[None]:
    """Hold the study's lock; the system frees it when the process dies, however it dies."""
    database = sqlite_path(storage_url)
    folder = database.parent if database else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / f".{study}.lock", timeout=0):
            yield
    except filelock.Timeout:
        raise EdgebenchError(
            f"the study '{study}' is being run by another process; wait for it, or use --workers "
            "to run several trials at once"
        ) from None
