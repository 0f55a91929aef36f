"""Optuna proposes, workers run, MLflow records: ask -> run -> record -> tell, in one process.

This process alone writes to both stores, so the count is exact and nothing races. A trial counts
as done from the moment MLflow holds its state; after a kill at any instant the next start repairs
the rest: what was recorded is told to Optuna, what was cut off is closed and tried again.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from edgebench.errors import EdgebenchError
from edgebench.record import Scalar, StudyRecord
from edgebench.space import Axis, Sweep, TrialConfig
from edgebench.tracking import StudyLog, create_store, read_study, sqlite_path
from edgebench.trial import Outcome
from edgebench.worker import Facts, Worker, speaking, threads_for

DEFAULT_STORAGE = "sqlite:///mlruns/optuna.db"
REFUSALS_PER_RUN = 10
"""Refused candidates cost milliseconds and do not use up the cap, up to this many a run."""
REPEATS_BEFORE_CHOOSING = 3
"""After so many repeated proposals in a row a finite space is drawn from what is left of it."""
ENDLESS_REPEATS = 100

optuna.logging.set_verbosity(optuna.logging.WARNING)


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
    """Something to show: a trial ``started``, an ``epoch`` of it, its ``ended``, or a ``note``.

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
    with _alone(sweep.name, settings.storage), _workers(settings) as workers:
        workers[0].ask("prepare", sweep.dataset, sweep.seed)
        study = _open_study(sweep, settings.storage)
        facts: Facts = workers[0].answer().content
        log = StudyLog(settings.tracking_uri, sweep.name)
        log.begin_sweep(sweep, facts)
        running = _Search(
            sweep=sweep,
            settings=settings,
            study=study,
            log=log,
            facts=facts,
            workers=workers,
            observe=observe,
        )
        status = "KILLED"
        try:
            running.recover()
            running.go()
            running.open_test_split()
            status = "FINISHED"
        finally:
            running.close_jobs()
            log.end_sweep(status, running.counts())
    return read_study(sweep.name, tracking_uri=settings.tracking_uri)


class _Search:
    """The state of a running search; all of it can be rebuilt from the stores."""

    def __init__(
        self,
        *,
        sweep: Sweep,
        settings: Settings,
        study: optuna.Study,
        log: StudyLog,
        facts: Facts,
        workers: list[Worker],
        observe: Observer,
    ) -> None:
        self.sweep = sweep
        self.settings = settings
        self.study = study
        self.log = log
        self.facts = facts
        self.workers = workers
        self.observe = observe
        self.jobs: dict[Worker, _Job] = {}
        self.done: dict[str, FrozenTrial] = {}
        self.counted = {"finished": 0, "refused": 0, "failed": 0}
        self.repeats = 0
        self.seconds: list[float] = []
        self.started = time.monotonic()
        configurations = sweep.configurations()
        self.space = None if configurations is None else {c.key: c for c in configurations}
        self.total = sweep.run_cap or (len(self.space) if self.space else 0)
        if self.space is not None:
            self.total = min(self.total, len(self.space))

    def recover(self) -> None:
        """Settle what an earlier process left: recorded trials are told, others tried again."""
        for ended in self.study.get_trials(deepcopy=False):
            self._remember(ended)
        for frozen in self.study.get_trials(states=(TrialState.RUNNING,)):
            trial = Trial(self.study, frozen._trial_id)  # noqa: SLF001 - Optuna names no other way
            run_id = frozen.user_attrs.get("run_id")
            row = self.log.close_finished(run_id) if run_id else None
            if row is None:
                self._cut_off(trial)
            else:
                self._tell(trial, row.state, row.metrics)
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
        """Examine the members of the front on the test split, each once."""
        from edgebench.report.front import front

        members = front(self.log.rows(), self.sweep.objectives)
        for row in members:
            if "test/accuracy" in row.metrics:
                continue
            config = self.sweep.config(row.params)
            self.workers[0].ask("examine", self.log.model_of(row.run_id), config)
            self.log.log_test(row.run_id, self.workers[0].answer().content)

    def close_jobs(self) -> None:
        """Close the trials that are still under way; the next start tries them again."""
        for job in self.jobs.values():
            self.log.interrupt(job.run_id)
            self._cut_off(job.trial)
        self.jobs.clear()

    def counts(self) -> dict[str, float]:
        """Return how many trials finished, were refused and failed."""
        return {f"trials/{state}": count for state, count in self.counted.items()}

    # --- proposing

    def _assign(self) -> None:
        """Give every idle worker a candidate, as long as there is one to give."""
        for worker in self.workers:
            while worker not in self.jobs and self._wanted():
                proposal = self._propose()
                if proposal is None:
                    return
                self._begin(worker, *proposal)

    def _wanted(self) -> bool:
        if self.settings.timeout and time.monotonic() - self.started > self.settings.timeout:
            return False
        if self.counted["refused"] >= REFUSALS_PER_RUN * self.total:
            return False
        return self._done() + len(self.jobs) < self.total

    def _propose(self) -> tuple[Trial, TrialConfig] | None:
        """Return a candidate that was never tried, or None where the space has no more."""
        while self.repeats < ENDLESS_REPEATS:
            left = self._unexplored()
            if left is not None and not left:
                return None
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if left and not waiting:
                self._steer(left)
            trial = self.study.ask()
            config = self.sweep.config(_suggest(trial, self.sweep.axes))
            if config.key not in self.done and config.key not in self._under_way():
                self.repeats = 0
                return trial, config
            self._answer_from_record(trial, config)
            self.repeats += 1
        return None

    def _unexplored(self) -> list[TrialConfig] | None:
        """Return the configurations of a finite space that are left, or None for an endless one."""
        if self.space is None:
            return None
        taken = self._under_way()
        return [c for key, c in self.space.items() if key not in self.done and key not in taken]

    def _steer(self, left: list[TrialConfig]) -> None:
        """Choose for the sampler: a grid goes in order, another one where it only repeats."""
        if self.sweep.method == "grid":
            self.study.enqueue_trial(dict(left[0].params))
        elif self.repeats >= REPEATS_BEFORE_CHOOSING:
            chosen = random.Random(f"{self.sweep.seed}/{len(self.done)}").choice(left)  # noqa: S311 - no secret
            self.study.enqueue_trial(dict(chosen.params))

    def _answer_from_record(self, trial: Trial, config: TrialConfig) -> None:
        """Tell a repeated proposal what its first trial was told; it is not trained again."""
        trial.set_user_attr("state", "duplicate")
        first = self.done.get(config.key)
        if first is None:  # it is being trained at this moment
            self.study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("duplicate_of", first.number)
        for name, ratio in first.constraints.items():
            trial.set_constraint(name, ratio)
        values = first.values if first.state == TrialState.COMPLETE else None
        self.study.tell(trial, values, state=first.state)

    def _under_way(self) -> set[str]:
        return {job.config.key for job in self.jobs.values()}

    # --- running

    def _begin(self, worker: Worker, trial: Trial, config: TrialConfig) -> None:
        name = f"trial-{trial.number:04d}-{config.label(self.sweep.varied)}"
        run_id = self.log.begin_trial(trial.number, config, name)
        trial.set_user_attr("key", config.key)
        trial.set_user_attr("run_id", run_id)
        self.jobs[worker] = _Job(trial, config, name, run_id, time.monotonic())
        self._show("started", self.jobs[worker])
        worker.ask("trial", config, self.sweep.budget)

    def _hear(self, worker: Worker) -> None:
        job, message = self.jobs[worker], worker.receive()
        if message.kind == "epoch":
            number, metrics = message.content
            self.log.log_epoch(job.run_id, number, metrics)
            self._show("epoch", job, epoch=number, metrics=metrics)
        elif message.kind == "mistake":
            raise EdgebenchError(*message.content)
        else:
            crashed = message.kind == "crash"
            self._end(job, Outcome("failed", message.content) if crashed else message.content)
            del self.jobs[worker]
            if not worker.process.is_alive():
                self.workers[self.workers.index(worker)] = _new_worker(self.settings)

    def _end(self, job: _Job, outcome: Outcome) -> None:
        """Record first, then tell: a kill in between is repaired from the record."""
        self.log.end_trial(job.run_id, job.config, self.facts, outcome)
        for name, ratio in outcome.usage.items():
            job.trial.set_constraint(name, ratio)
        self._tell(job.trial, outcome.state, outcome.metrics)
        if outcome.state == "finished":
            self.seconds.append(time.monotonic() - job.started)
        self._show(
            "ended", job, state=outcome.state, reason=outcome.reason, metrics=outcome.metrics
        )

    def _tell(self, trial: Trial, state: str, metrics: Mapping[str, float]) -> None:
        """Give Optuna the values, or that there are none; and take the trial into account."""
        trial.set_user_attr("state", state)
        if state == "finished":
            values = [metrics[objective.name] for objective in self.sweep.objectives]
            self.study.tell(trial, values)
        else:
            refused = state == "refused"  # PRUNED: the sampler learns from its constraints
            self.study.tell(trial, state=TrialState.PRUNED if refused else TrialState.FAIL)
        self._remember(self.study.trials[trial.number])

    def _remember(self, trial: FrozenTrial) -> None:
        """Count a trial that came to an end, and keep it as the answer to its repetitions."""
        state, key = trial.user_attrs.get("state"), trial.user_attrs.get("key", "")
        if state in {"finished", "refused", "failed"}:
            self.counted[state] += 1
            self.done[key] = trial

    def _cut_off(self, trial: Trial) -> None:
        """Close a trial that will not end, and have its candidate tried again."""
        trial.set_user_attr("state", "interrupted")
        params = dict(trial.params)
        self.study.tell(trial, state=TrialState.FAIL)
        self.study.enqueue_trial(params, user_attrs={"retry_of": trial.number})

    # --- showing

    def _show(self, kind: str, job: _Job, **details: Any) -> None:
        done, left = self._done(), None
        if self.seconds:
            rounds = (self.total - done) / len(self.workers)
            left = rounds * sum(self.seconds) / len(self.seconds)
        epochs = job.config.recipe.epochs
        self.observe(
            Event(kind, job.name, done, self.total, epochs=epochs, seconds_left=left, **details)
        )

    def _done(self) -> int:
        """Count the runs of this search; single configurations of another one do not count."""
        return sum(
            trial.user_attrs["state"] != "refused" and (self.space is None or key in self.space)
            for key, trial in self.done.items()
        )


def _suggest(trial: Trial, axes: Sequence[Axis]) -> dict[str, Scalar]:
    """Draw the active axes in order; an axis of one value is not drawn."""
    chosen: dict[str, Scalar] = {}
    for axis in axes:
        if not axis.active(chosen):
            continue
        if len(axis.values) == 1:
            chosen[axis.name] = axis.values[0]
        elif axis.values:
            drawn = trial.suggest_categorical(axis.name, axis.values)
            assert drawn is not None  # noqa: S101 - no axis holds None
            chosen[axis.name] = drawn
        elif axis.integer:
            low, high, step = int(axis.low), int(axis.high), int(axis.step or 1)
            chosen[axis.name] = trial.suggest_int(axis.name, low, high, step=step, log=axis.log)
        else:
            chosen[axis.name] = trial.suggest_float(
                axis.name, axis.low, axis.high, step=axis.step, log=axis.log
            )
    return chosen


def _open_study(sweep: Sweep, storage_url: str) -> optuna.Study:
    """Open or create the study; raises EdgebenchError where it holds another search."""
    create_store(storage_url, _initialise)
    study = optuna.create_study(
        study_name=sweep.name,
        storage=_storage(storage_url),
        directions=[objective.goal for objective in sweep.objectives],
        load_if_exists=True,
    )
    known = study.user_attrs.get("sweep")
    if known is None:
        study.set_user_attr("sweep", sweep.fingerprint)
    elif known != sweep.fingerprint:
        raise EdgebenchError(
            f"the study '{sweep.name}' holds another search: "
            f"{', '.join(_differences(known, sweep.fingerprint))} changed; go on with the old "
            f"file, or give this one its own name with --set name={sweep.name}-2"
        )
    study.sampler = _sampler(sweep, len(study.trials))
    return study


def _storage(url: str) -> RDBStorage:
    patient: dict[str, Any] = {"connect_args": {"timeout": 60}}  # seconds, for SQLite's one writer
    alive: dict[str, Any] = {"pool_pre_ping": True}  # a database server may have been restarted
    return RDBStorage(url, engine_kwargs=patient if sqlite_path(url) else alive)


def _initialise(url: str) -> None:
    storage = _storage(url)
    storage.remove_session()
    storage.engine.dispose()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = [name for name in new if name != "parameters" and old.get(name) != new[name]]
    before, after = old.get("parameters", {}), new["parameters"]
    return found + [n for n in {**before, **after} if before.get(n) != after.get(n)]


def _sampler(sweep: Sweep, trials: int) -> BaseSampler:
    """Return the sampler; its seed moves on with the study, or a resumed one would repeat."""
    seed = int(np.random.SeedSequence([sweep.seed, trials]).generate_state(1)[0])
    cap = sweep.run_cap or 30
    if sweep.method == "tpe":
        with warnings.catch_warnings():
            # `group` is marked experimental; it is what makes TPE model conditional axes jointly.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            startup = max(4, min(10, cap // 3))
            return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=startup)
    if sweep.method == "nsga2":
        return NSGAIISampler(seed=seed, population_size=max(4, min(50, cap // 4)))
    return RandomSampler(seed=seed)


def _new_worker(settings: Settings) -> Worker:
    return Worker(
        threads=threads_for(settings.workers), device=settings.device, data_dir=settings.data_dir
    )


@contextlib.contextmanager
def _workers(settings: Settings) -> Iterator[list[Worker]]:
    """Start the workers and end them, whatever happens."""
    workers = [_new_worker(settings) for _ in range(settings.workers)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()


@contextlib.contextmanager
def _alone(study: str, storage_url: str) -> Iterator[None]:
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
