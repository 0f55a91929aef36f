"""Optuna proposes, the gate measures, workers train, MLflow records: one coordinator a study.

This process alone writes to both stores, so the count is exact and nothing races. A trial counts
as done from the moment MLflow holds its state; after a kill at any instant the next start repairs
the rest: what was recorded is told to Optuna, what was cut off is closed and tried again.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench.errors import EdgebenchError, redacted, unknown
from edgebench.footprint import CONVENTIONS
from edgebench.metrics import METRICS
from edgebench.record import Facts, Row, State, StudyRecord
from edgebench.report import front, too_few
from edgebench.scores import CLASSES_LISTED, recall_name
from edgebench.search.dispatcher import Dispatcher, Job, WorkerDied
from edgebench.search.progress import Event, Observer
from edgebench.search.sampler import Chooser, Proposal, Sampler
from edgebench.search.settings import Settings
from edgebench.search.stopping import EARLY_STOPPING
from edgebench.search.tasks import Judge, Prepare
from edgebench.space import INT8, Sweep, TrialConfig
from edgebench.tracking import (
    END_SECONDS,
    MODEL,
    MODEL_INT8,
    Lock,
    StudyLog,
    absolute,
    agreed,
    best_value,
    curves_of,
    stores_reached,
    tracked,
)
from edgebench.trial import Gate, Outcome, gate

if TYPE_CHECKING:
    from edgebench.search.promise import Promise

LOG = logging.getLogger(__name__)
REFUSALS_PER_RUN = 10
"""Refused candidates cost milliseconds and do not use up the cap, up to this many a run."""
VIEWS_SECONDS = 15.0
VIEWS_SHARE = 0.02
"""The views are refreshed at most this often, and in at most this share of the time."""


def search(sweep: Sweep, settings: Settings, observe: Observer) -> StudyRecord:
    """Run or continue the study of ``sweep`` until its cap, its end or the timeout.

    Raises:
        EdgebenchError: The data cannot be read, the study holds another search, another process
            is running it, or a study that a range is taken from has no best trial.
        KeyboardInterrupt: Passed on after the running trials have been closed.
    """
    settings.check_stores()
    sweep = sweep.narrowed(
        lambda study, axis: best_value(study, axis, tracking_uri=settings.tracking_uri)
    )
    trained: list[Row] = []
    stopping = EARLY_STOPPING[sweep.early_stop](sweep, trained)
    with settings.open_pool() as pool:
        dispatcher = Dispatcher(pool, stopping, sweep.analysis)
        first = sweep.first()
        facts: Facts = dispatcher.ask(Prepare(first))  # before any store is made
        _check_classes(sweep, facts)
        few = too_few(facts.split_sizes.get("validation", 0))
        if few:
            LOG.warning(few)
        for line in facts.omitted:
            LOG.warning("%s: %s", facts.dataset, line)
        with (
            stores_reached(settings.tracking_uri, settings.storage),
            settings.alone(sweep.name) as lock,
        ):
            sampler, log = _stores(sweep, settings)
            log.begin_sweep(
                sweep, facts, f"{sweep.convention} ({CONVENTIONS[sweep.convention].title})"
            )
            if stopping is not None or sweep.method == "edgebench":
                trained += log.trained()
            known = {first.data_key: facts}
            running = _Search(sampler, log, dispatcher, settings, observe, lock, known, trained)
            status = "KILLED"
            try:
                running.recover()
                dispatcher.run(running)
                log.deliver(END_SECONDS)
                running.open_test_split()
                status = "FINISHED"
            finally:
                # An interruption may strike anywhere, between the stores too. Where MLflow's server
                # is away, the next start settles this.
                if not log.owes:
                    running.recover()
                    log.end_sweep(status, running.counts())
                    log.refresh_views(pictures=status == "FINISHED")
            return log.record()


def _check_classes(sweep: Sweep, facts: Facts) -> None:
    """Raise EdgebenchError where an objective is the recall of a class that the data have not."""
    mistakes = []
    for objective in sweep.objectives:
        known = {
            recall_name(name, "val", suffix): name
            for suffix in ("", INT8)
            for name in facts.classes
        }
        name = objective.name
        if name not in METRICS and (name not in known or len(facts.classes) > CLASSES_LISTED):
            mistakes.append(f"{name}: {unknown('class', name.split('/', 2)[2], facts.classes)}")
    if mistakes:
        raise EdgebenchError(*mistakes)


def _stores(sweep: Sweep, settings: Settings) -> tuple[Sampler, StudyLog]:
    """Open both stores, which must be a pair; neither is made where they are none."""
    storage, uri = settings.storage, settings.tracking_uri
    known = tracked(uri, sweep.name)
    sampler = Sampler(
        sweep,
        storage,
        lambda stored: agreed(sweep.name, storage, uri, stored, known),
        redacted(absolute(uri)),
    )
    log = StudyLog(uri, sweep.name, settings.journal(sweep.name))
    log.pair(sampler.identity, storage)
    return sampler, log


@dataclass
class _Search:
    """A search under way; all of it can be rebuilt from the stores."""

    sampler: Sampler
    log: StudyLog
    dispatcher: Dispatcher
    settings: Settings
    observe: Observer
    lock: Lock
    facts: dict[str, Facts]
    trained: list[Row]
    promise: Promise | None = None
    seconds: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    views_due: float = field(default_factory=lambda: time.monotonic() + VIEWS_SECONDS)

    @property
    def sweep(self) -> Sweep:
        """What is searched."""
        return self.sampler.sweep

    # What was left --------------------------------------------------------------------------

    def recover(self) -> None:
        """Settle what was left: recorded trials are told, others closed and tried again."""
        self.dispatcher.running.clear()
        for number in self.sampler.left_running():
            run_id = self.log.run_of(number)
            row = self.log.close_ended(run_id) if run_id else None
            if row is None:
                self.sampler.tell(number, State.INTERRUPTED, {})
            else:
                self.sampler.tell(number, row.state, row.metrics)
        for run_id in self.log.unfinished():
            if self.log.close_ended(run_id) is None:
                self.log.interrupt(run_id)
        self.log.refused_again(self.sampler.refused())

    # Trials ---------------------------------------------------------------------------------

    def following(self) -> Job | None:
        """Return the next trial to run: drawn, measured, and begun in both stores."""
        while self._wanted():
            running = [job.config for job in self.dispatcher.running.values()]
            proposal = self.sampler.next({config.key for config in running}, self._chooser(running))
            if proposal is None:
                return None
            measured = self._measure(proposal.config)
            if measured.refusal is None:
                return self._begin(proposal, measured)
            self._refuse(proposal, measured)
        return None

    def _chooser(self, running: Sequence[TrialConfig]) -> Chooser | None:
        """Return what chooses the next candidate, where the method is our own."""
        if self.sweep.method != "edgebench":
            return None
        if self.promise is None:
            from edgebench.search.promise import Promise  # imports scikit-learn

            self.promise = Promise(self.sweep, self._measure, self.trained)
        promise = self.promise
        return lambda offered: promise.choose(offered, running)

    def _measure(self, config: TrialConfig) -> Gate:
        facts = self._facts(config)
        shape, classes = facts.input_shape, len(facts.classes)
        sought = [goal.name for goal in self.sweep.objectives]
        return gate(config, self.sweep.budget, shape, classes, needed=sought)

    def _wanted(self) -> bool:
        limit, total = self.settings.timeout, self.sampler.total
        if limit and time.monotonic() - self.started > limit:
            return False
        if self.sampler.count(State.REFUSED) >= REFUSALS_PER_RUN * total:
            return False
        return self._done() + len(self.dispatcher.running) < total

    def _done(self) -> int:
        return self.sampler.count(State.FINISHED, State.PRUNED, State.FAILED)

    def _facts(self, config: TrialConfig) -> Facts:
        """Return what the candidate is trained on; asked of a worker once for each data option."""
        if config.data_key not in self.facts:
            facts: Facts = self.dispatcher.ask(Prepare(config))
            self.log.check_data(facts, config.data_key)
            self.facts[config.data_key] = facts
        return self.facts[config.data_key]

    def _name(self, number: int, config: TrialConfig) -> str:
        return f"trial-{number:04d}-{config.label(self.sweep.varied)}"

    def _begin(self, proposal: Proposal, measured: Gate) -> Job:
        self.lock.check()
        number = self.sampler.begin(proposal, measured.usage)
        name = self._name(number, proposal.config)
        facts = self._facts(proposal.config)
        run_id = self.log.begin_trial(number, proposal.config, facts, name, measured)
        digest = facts.dataset_digest
        job = Job(number, proposal.config, measured, name, run_id, digest=digest)
        self._show("started", job)
        return job

    def _refuse(self, proposal: Proposal, measured: Gate) -> None:
        """Keep a candidate that is not trained: a row of the study, no run."""
        config = proposal.config
        row = Row(
            trial=-1,
            run_id="",
            name=config.label(self.sweep.varied),
            state=State.REFUSED,
            reason=measured.refusal,
            params=config.params,
            metrics=measured.metrics,
        )
        number = self.sampler.refuse(proposal, measured.usage, row)
        row = dataclasses.replace(row, trial=number, name=self._name(number, config))
        self.log.refuse(row)
        self.tick()
        job = Job(number, config, measured, row.name, "")
        self._show("ended", job, state=row.state, reason=row.reason, metrics=row.metrics)

    def epoch(self, job: Job, number: int, metrics: Mapping[str, float]) -> None:
        """Keep and show an epoch."""
        self.log.log_epoch(job.run_id, number, metrics)
        self._show("epoch", job, epoch=number, metrics=metrics)

    def retried(self, job: Job) -> None:
        """Write that a worker died in this trial."""
        self.log.log_deaths(job.run_id, job.deaths)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Record first, then tell: a kill in between is repaired from the record."""
        self.lock.check()
        row = row_of(job, outcome)
        self.log.end_trial(row, job.config, self._facts(job.config), job.gate, outcome)
        self.sampler.tell(job.number, outcome.state, outcome.metrics)
        if outcome.state in (State.FINISHED, State.PRUNED):
            self.trained.append(dataclasses.replace(row, curves=curves_of(outcome.curve)))
            self.seconds.append(time.monotonic() - job.started)
        self._show(
            "ended", job, state=outcome.state, reason=outcome.reason, metrics=outcome.metrics
        )

    def tick(self) -> None:
        """Write what is due by the clock."""
        self.log.flush_if_due()
        now = time.monotonic()
        if now >= self.views_due:
            self.log.refresh_views()
            took = time.monotonic() - now
            self.views_due = time.monotonic() + max(VIEWS_SECONDS, took / VIEWS_SHARE)

    def _show(self, kind: Any, job: Job, **details: Any) -> None:
        done, total = self._done(), self.sampler.total
        left = None
        if self.seconds:
            rounds = (total - done) / self.dispatcher.pool.size
            left = rounds * sum(self.seconds) / len(self.seconds)
        epochs = job.config.recipe.epochs
        objective = self.sweep.objectives[0].name
        event = Event(kind, job.name, done, total, epochs=epochs, objective=objective)
        self.observe(dataclasses.replace(event, seconds_left=left, **details))

    # The end --------------------------------------------------------------------------------

    def open_test_split(self) -> None:
        """Measure the models of the front's members, or of all, on the test split, each once."""
        models = {"": MODEL}
        if self.sweep.int8:
            models[INT8] = MODEL_INT8
        rows = self.log.record().rows
        members = front(rows, self.sweep.objectives)
        if self.sweep.test == "all":
            members = [row for row in rows if row.feasible]
        unread = [row for row in members if "test/accuracy" not in row.metrics]
        if not unread:
            return
        opening = self.log.open_test_split("sweep", {"trials": [row.trial for row in unread]})
        for row in unread:
            exported = {
                suffix: self.log.model_of(row.run_id, name) for suffix, name in models.items()
            }
            config = self.sweep.config(row.params)
            try:
                digest = self._facts(config).dataset_digest
                scores = self.dispatcher.ask(Judge(config, exported, opening, digest))
            except WorkerDied as death:
                LOG.warning("%s goes without a test accuracy: %s", row.name, death)
                continue
            self.log.log_metrics(row.run_id, scores)

    def counts(self) -> dict[str, float]:
        """Return how many trials ended in each state."""
        states = (State.FINISHED, State.PRUNED, State.REFUSED, State.FAILED)
        return {f"trials/{state}": self.sampler.count(state) for state in states}


def row_of(job: Job, outcome: Outcome) -> Row:
    """Return the row of a trial that ended, as reading it back would."""
    return Row(
        trial=job.number,
        run_id=job.run_id,
        name=job.name,
        state=outcome.state,
        reason=outcome.reason,
        params=job.config.params,
        metrics=outcome.metrics,
    )
