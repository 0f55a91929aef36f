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

from edgebench.record import Facts, Row, State
from edgebench.search.checkpoints import Checkpoints
from edgebench.search.dispatcher import Dispatcher, Job
from edgebench.search.found import Found
from edgebench.search.progress import Event, Observer
from edgebench.search.repeats import Repeats
from edgebench.search.sampler import Chooser, Proposal, Sampler
from edgebench.search.sealed import open_test_split
from edgebench.search.settings import Settings
from edgebench.search.tasks import Prepare
from edgebench.space import Sweep, TrialConfig
from edgebench.tracking import (
    Lock,
    StudyLog,
    curves_of,
)
from edgebench.trial import Gate, Outcome, gate

if TYPE_CHECKING:
    from edgebench.search.rungs import InRungs

LOG = logging.getLogger(__name__)
REFUSALS_PER_RUN = 10
"""Refused candidates cost milliseconds and do not use up the cap, up to this many a run."""
VIEWS_SECONDS = 15.0
VIEWS_SHARE = 0.02
"""The views are refreshed at most this often, and in at most this share of the time."""


@dataclass
class Coordinator:
    """A search under way; all of it can be rebuilt from the stores."""

    sampler: Sampler
    log: StudyLog
    dispatcher: Dispatcher
    settings: Settings
    observe: Observer
    lock: Lock
    facts: dict[str, Facts]
    trained: list[Row]
    rungs: InRungs | None = None
    found: Found | None = None
    repeats: Repeats | None = None
    seconds: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    views_due: float = field(default_factory=lambda: time.monotonic() + VIEWS_SECONDS)

    @property
    def sweep(self) -> Sweep:
        """What is searched."""
        return self.sampler.sweep

    def in_rungs(self) -> None:
        """Train in rungs, where the method is our own."""
        checkpoints = Checkpoints(self.settings.paused(self.sweep.name), self.sampler.identity)
        if self.sweep.method != "edgebench":
            checkpoints.clear()  # another method begins anew what was laid aside
            return
        from edgebench.search.promise import Promise  # imports SciPy, and so does what follows
        from edgebench.search.rungs import InRungs

        chance = 1 / len(self._facts(self.sweep.first()).classes)
        promise = Promise(self.sweep, self._measure, self.trained, chance)
        self.rungs = InRungs(promise, checkpoints, self._new, self.dispatcher.running)

    # What was left --------------------------------------------------------------------------

    def recover(self) -> None:
        """Settle what was left: recorded trials are told, others go on later or are tried again."""
        self.dispatcher.running.clear()
        for number, config in self.sampler.left_running().items():
            if self.rungs is not None and number in self.rungs.paused:
                continue
            run_id = self.log.run_of(number)
            row = self.log.close_ended(run_id) if run_id else None
            if row is not None:
                self.sampler.tell(number, row.state, row.metrics)
            elif run_id is None:
                self.sampler.tell(number, State.INTERRUPTED, {})
            elif not self._laid_aside(number, config, run_id):
                self.log.interrupt(run_id)
                self.sampler.tell(number, State.INTERRUPTED, {})
        if self.rungs is not None:
            self.rungs.tidy()
        for run_id in self.log.unfinished():
            if self.log.close_ended(run_id) is None:
                self.log.interrupt(run_id)
        self.log.refused_again(self.sampler.refused())

    def _laid_aside(self, number: int, config: TrialConfig, run_id: str) -> bool:
        """Let a trial that was cut off go on later, where its state was kept; tell whether."""
        if self.rungs is None:
            return False
        name = self._name(number, config)
        job = Job(number, config, self._measure(config), name, run_id)
        if not self.rungs.resumable(job):
            return False
        job.digest = self._facts(config).dataset_digest
        self.log.pause_trial(run_id, config, job.curve)
        self.rungs.lay_aside(job)
        return True

    # Trials ---------------------------------------------------------------------------------

    def following(self) -> Job | None:
        """Return the next trial to run: drawn, measured, and begun in both stores, or gone on."""
        while self._wanted():
            proposal = self.sampler.next(self._under_way(), self._chooser())
            if proposal is None:
                break
            measured = self._measure(proposal.config)
            if measured.refusal is None:
                return self._begin(proposal, measured)
            self._refuse(proposal, measured)
        return self._gone_on() or self._again()

    def _under_way(self) -> set[str]:
        """Return the keys of the candidates that are running, or are to go on later."""
        aside = self.rungs.paused if self.rungs else {}
        jobs = (*self.dispatcher.running.values(), *aside.values())
        return {job.config.key for job in jobs if not job.repeat}

    def _chooser(self) -> Chooser | None:
        """Return what chooses the next candidate, where the method is our own."""
        rungs = self.rungs
        if rungs is None:
            return None

        def choose(offered: Sequence[TrialConfig]) -> TrialConfig | None:
            found = rungs.following(offered)
            return None if isinstance(found, Job) else found

        return choose

    def _again(self) -> Job | None:
        """Return the training of a member of the front with another seed, or None."""
        if self.repeats is None or self._late():
            return None
        under_way = {(job.number, job.repeat) for job in self.dispatcher.running.values()}
        found = self.repeats.following(under_way)
        if found is None:
            return None
        row, place = found
        config = self.sweep.config(row.params)
        config = config.with_seed(config.seed + place)
        name, digest = f"{row.name}-seed{config.seed}", self._facts(config).dataset_digest
        gate = self._measure(config)
        job = Job(row.trial, config, gate, name, row.run_id, digest=digest, repeat=place)
        self._show("started", job)
        return job

    def _repeated(self, job: Job, outcome: Outcome) -> None:
        """Take a training with another seed; where a mean is known the front is another."""
        assert self.repeats is not None  # noqa: S101 - nothing else repeats
        self.repeats.add(job.number, job.repeat, outcome)
        self.found = Found(self.sweep, self.trained, self.trained)
        self._log_found()
        self._show("ended", job, state=outcome.state, metrics=outcome.metrics)

    def _new(self) -> Sequence[TrialConfig] | None:
        """Return the candidates that may be begun now; None where nothing may begin or go on."""
        if self._over():
            return None
        return self.sampler.offered(self._under_way()) if self._wanted() else ()

    def _gone_on(self) -> Job | None:
        """Return the trial that goes on, of those that were laid aside, or None."""
        if self.rungs is None or self._over():
            return None
        job = self.rungs.following(())
        if not isinstance(job, Job):
            return None
        self.lock.check()
        self.rungs.take(job)
        if job.kept:
            self.log.resume_trial(job.run_id)
        else:
            self._anew(job, "what it could have gone on from is gone")
        job.started = time.monotonic() - job.seconds
        self._show("started", job, epoch=len(job.curve))
        return job

    def _measure(self, config: TrialConfig) -> Gate:
        facts = self._facts(config)
        shape, classes = facts.input_shape, len(facts.classes)
        sought = [goal.name for goal in self.sweep.objectives]
        return gate(config, self.sweep.budget, shape, classes, needed=sought)

    def _wanted(self) -> bool:
        total = self.sampler.total
        if self._over() or self.sampler.count(State.REFUSED) >= REFUSALS_PER_RUN * total:
            return False
        return self._done() + len(self._under_way()) < total

    def _over(self) -> bool:
        """Tell whether nothing may begin or go on: the time is over, or enough was found."""
        return self._late() or (self.found is not None and self.found.enough)

    def _late(self) -> bool:
        limit = self.settings.timeout
        return bool(limit and time.monotonic() - self.started > limit)

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
        job = Job(number, proposal.config, measured, self._name(number, proposal.config), "")
        self._open(job)
        self._show("started", job)
        return job

    def _open(self, job: Job) -> None:
        """Give a trial that begins a run of its own."""
        facts = self._facts(job.config)
        job.digest = facts.dataset_digest
        job.run_id = self.log.begin_trial(job.number, job.config, facts, job.name, job.gate)

    def _anew(self, job: Job, reason: str) -> None:
        """Give a trial that begins anew another run: its epochs would stand twice in the first."""
        self.log.leave(job.run_id, reason)
        self._open(job)

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
        """Keep and show an epoch; of a training with another seed it is shown."""
        if not job.repeat:
            self.log.log_epoch(job.run_id, number, metrics)
        self._show("epoch", job, epoch=number, metrics=metrics)

    def retried(self, job: Job) -> None:
        """Write that a worker died in this trial; where it begins anew it has another run."""
        if not (job.kept or job.repeat):
            self.lock.check()
            self._anew(job, job.deaths[-1])
        self.log.log_deaths(job.run_id, job.deaths)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Record first, then tell: a kill in between is repaired from the record."""
        self.lock.check()
        if job.repeat:
            self._repeated(job, outcome)
            return
        if outcome.state is State.PAUSED:
            self._lay_aside(job)
            return
        row = row_of(job, outcome)
        self.log.end_trial(row, job.config, self._facts(job.config), job.gate, outcome)
        self.sampler.tell(job.number, outcome.state, outcome.metrics)
        if outcome.state in (State.FINISHED, State.PRUNED):
            self.trained.append(dataclasses.replace(row, curves=curves_of(outcome.curve)))
            self._follow(row)
            self.seconds.append(time.monotonic() - job.started)
        if self.rungs is not None:
            self.rungs.forget(job)
        self._show(
            "ended", job, state=outcome.state, reason=outcome.reason, metrics=outcome.metrics
        )

    def _follow(self, row: Row) -> None:
        """Follow the hypervolume; MLflow's run of the sweep has it after each trial that adds."""
        if self.found is None:
            return
        before = self.found.covered
        self.found.add(row, self.trained)
        if self.found.covered != before:
            self._log_found()

    def _log_found(self) -> None:
        """Write how much the front covers, and what the trials that are left may add to it."""
        assert self.found is not None  # noqa: S101 - the callers have it
        done, total = self._done(), self.sampler.total
        figures = {"study/hypervolume": self.found.covered}
        gain = self.found.gain(max(total - done, 0))
        figures |= {} if gain is None else {"study/expected_gain": gain}
        self.log.log_study(figures, done)

    def _lay_aside(self, job: Job) -> None:
        """Keep a trial that may go on later."""
        assert self.rungs is not None  # noqa: S101 - nothing else lays trials aside
        self.log.pause_trial(job.run_id, job.config, job.curve)
        self.rungs.lay_aside(job)
        self._show("paused", job, state=State.PAUSED, epoch=len(job.curve))

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
        if self.found is not None and self.found.covered and len(self.sweep.objectives) > 1:
            gain = self.found.gain(total - done) if done < total else None
            event = dataclasses.replace(event, covered=self.found.covered, gain=gain)
        self.observe(dataclasses.replace(event, seconds_left=left, **details))

    # The end --------------------------------------------------------------------------------

    def open_test_split(self) -> None:
        """Measure the models of the front's members, or of all, on the test split, each once."""
        open_test_split(self.sweep, self.log, self.dispatcher, self._facts)

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
