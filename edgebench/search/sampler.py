"""Optuna's side of a study: which candidate comes next, and what was already answered.

Optuna's store keeps one trial a candidate, written in one transaction when it begins and in one
when it ends. The sampler draws from a copy in memory that holds a bounded part of the history, so
that the cost of a draw does not grow with the number of trials recorded.
"""

from __future__ import annotations

import logging
import random
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from edgebench.collector import paused
from edgebench.errors import EdgebenchError
from edgebench.record import Row, Scalar, State, front
from edgebench.space import Axis, Sweep, TrialConfig
from edgebench.tracking import (
    Known,
    absolute,
    create_store,
    patiently,
    small_pool,
    sqlite_path,
)

LOG = logging.getLogger(__name__)
T = TypeVar("T")
FORMAT = 2
"""The version of what a study keeps in Optuna's store."""
IDENTITY, PARTNER = "identity", "tracking"
"""The attributes of a study that say which one it is, and where MLflow's half of it is."""
CANDIDATE = "candidate"
LABEL = "configuration"
"""Of a trial in Optuna's store: all of a candidate as JSON, and in a few words for a dashboard."""
"""The attribute of a trial that says what it is: its key, its params, and a refused one's row."""
STATE = "state"
"""The attribute that tells how a trial ended, where Optuna's state alone does not."""
REPEATS_BEFORE_CHOOSING = 3
"""After so many repeated proposals in a row a finite space is drawn from what is left of it."""
ENDLESS_REPEATS = 100
OFFERED = 500
"""The most candidates that are looked at to choose one of them."""
REFUSED_KEPT = 50
TRAINED_KEPT = 1000
"""The latest trials that the sampler learns from, of each kind; the best are always among them."""
OPTUNA_STATES = {
    State.RUNNING: TrialState.RUNNING,
    State.FINISHED: TrialState.COMPLETE,
    State.REFUSED: TrialState.PRUNED,
    State.PRUNED: TrialState.PRUNED,
    State.PAUSED: TrialState.RUNNING,
    State.FAILED: TrialState.FAIL,
    State.INTERRUPTED: TrialState.FAIL,
}
"""Optuna's state of each of ours; ours stands beside it, in the attribute ``state``."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


Chooser = Callable[[Sequence[TrialConfig]], TrialConfig | None]
"""Returns the one to try next of some that were never tried, or None for none of them."""


@dataclass(frozen=True)
class Proposal:
    """A candidate that was drawn and not yet begun."""

    config: TrialConfig
    drawn: Trial


@dataclass(frozen=True)
class _Begun:
    """A candidate under way: its place in the store, and what the sampler will learn from."""

    identity: int
    config: TrialConfig
    recorded: FrozenTrial
    drawn: Trial | None


Agree = Callable[[Known | None], str]
"""Returns a study's identity, by what Optuna's store knows of it; raises where it is no pair."""


def _any_pair(known: Known | None) -> str:
    return known.identity if known and known.identity else uuid.uuid4().hex


class Sampler:
    """The candidates of one study: drawn by Optuna, never twice, told how they ended.

    ``agree`` is asked before anything is made, ``partner`` says where MLflow's store is. ``first``
    are the candidates to begin with, as far as they were never tried.

    Raises:
        EdgebenchError: The study holds another search, or belongs to another pair of stores.
    """

    def __init__(
        self,
        sweep: Sweep,
        storage_url: str,
        agree: Agree = _any_pair,
        partner: str = "",
        first: Sequence[TrialConfig] = (),
    ) -> None:
        self.sweep = sweep
        self._first = deque(first)
        self._store = _Store(sweep, storage_url, agree, partner)
        self.identity = self._store.identity
        configurations = sweep.configurations()
        self.space = None if configurations is None else {c.key: c for c in configurations}
        self._ended: dict[str, State] = {}
        self._retries: dict[str, TrialConfig] = {}
        self._begun: dict[int, _Begun] = {}
        self._repeats = 0
        self._drawn: tuple[int, list[TrialConfig]] = (-1, [])
        self._trained: list[FrozenTrial] = []
        self._refused: deque[FrozenTrial] = deque(maxlen=REFUSED_KEPT)
        self._refused_rows: list[Row] = []
        for trial in self._store.recorded:
            self._remember(trial)
        self._renew_memory()

    @property
    def total(self) -> int:
        """The runs that are wanted: the cap, or fewer where the space has fewer."""
        sizes = [self.sweep.run_cap, None if self.space is None else len(self.space)]
        return min(size for size in sizes if size is not None)

    def count(self, *states: State) -> int:
        """Count the candidates of this search that ended in one of ``states``.

        Single configurations that another command added to the study do not count.
        """
        return sum(
            state in states and (self.space is None or key in self.space)
            for key, state in self._ended.items()
        )

    def next(self, under_way: Collection[str], choose: Chooser | None = None) -> Proposal | None:
        """Return a candidate that was never tried, or None where the space has no more.

        ``under_way`` are the keys of the candidates that are being run at this moment, or are to go
        on later. What was cut off comes first. With ``choose`` the next is chosen among some of
        what is left, else it is drawn; a repeated draw is answered in memory, and neither trained
        nor kept.
        """
        while self._repeats < ENDLESS_REPEATS:
            left = self._unexplored(under_way)
            if left is not None and not left:
                return None
            if not self._steer(left, choose, under_way):
                return None
            drawn = self._memory.ask()
            config = self.sweep.config(_suggest(drawn, self.sweep.axes))
            if config.key not in self._ended and config.key not in under_way:
                self._repeats = 0
                self._retries.pop(config.key, None)
                return Proposal(config, drawn)
            self._repeats += 1
            self._memory.tell(drawn, state=TrialState.FAIL)
        return None

    def begin(self, proposal: Proposal, usage: Mapping[str, float]) -> int:
        """Write a candidate that is going to be trained, and return its number."""
        trial = self._recorded(proposal, State.RUNNING, usage, {})
        number, identity = self._store.add(trial)
        self._begun[number] = _Begun(identity, proposal.config, trial, proposal.drawn)
        return number

    def refuse(self, proposal: Proposal, usage: Mapping[str, float], row: Row) -> int:
        """Write a candidate that is not going to be trained, with its row; return its number."""
        kept = {"name": row.name, "reason": row.reason, "metrics": dict(row.metrics)}
        trial = self._recorded(proposal, State.REFUSED, usage, kept)
        number, _ = self._store.add(trial)
        self._ended[proposal.config.key] = State.REFUSED
        self._refused.append(trial)
        self._refused_rows.append(_refused_row(number, trial))
        self._learn(proposal.drawn, trial)
        return number

    def tell(self, number: int, state: State, metrics: Mapping[str, float]) -> None:
        """Write how a candidate that was begun ended, and let the sampler learn from it.

        Of one that was stopped it learns what the candidate had reached, where that is known of
        each objective: nothing would teach it no more than a candidate that was never drawn.
        """
        begun = self._begun.pop(number)
        names = [goal.name for goal in self.sweep.objectives]
        reached = state is State.PRUNED and all(name in metrics for name in names)
        learned = state is State.FINISHED or reached
        values = [metrics[name] for name in names] if learned else None
        self._store.end(begun.identity, state, values)
        told = _ended(begun.recorded, state, values)
        if state is State.INTERRUPTED:
            self._retries[begun.config.key] = begun.config
        else:
            self._ended[begun.config.key] = state
            self._trained.append(told)
        self._learn(begun.drawn, told)

    def left_running(self) -> dict[int, TrialConfig]:
        """Return the trials that are neither finished nor closed, by their numbers."""
        return {number: self._begun[number].config for number in sorted(self._begun)}

    def refused(self) -> Sequence[Row]:
        """Return the rows of all refused candidates that the store holds."""
        return self._refused_rows

    def _remember(self, trial: FrozenTrial) -> None:
        """Take a recorded trial into account: what came to an end is never tried again."""
        state, content = _state_of(trial), trial.user_attrs[CANDIDATE]
        key, config = content["key"], self.sweep.config(content["params"])
        if state is State.RUNNING:
            self._begun[trial.number] = _Begun(trial._trial_id, config, trial, None)  # noqa: SLF001 - the store's own key
        elif state is State.INTERRUPTED:
            self._retries[key] = config
        else:
            self._ended[key] = state
            self._retries.pop(key, None)
            if state is State.PRUNED and trial.values is not None:
                trial = _ended(trial, state, trial.values)
            (self._refused if state is State.REFUSED else self._trained).append(trial)
            if state is State.REFUSED:
                self._refused_rows.append(_refused_row(trial.number, trial))

    def _unexplored(self, under_way: Collection[str]) -> list[TrialConfig] | None:
        """Return the configurations of a finite space that are left, or None for an endless one."""
        if self.space is None:
            return None
        taken = {*under_way, *self._ended}
        return [config for key, config in self.space.items() if key not in taken]

    def _steer(
        self,
        left: Sequence[TrialConfig] | None,
        choose: Chooser | None,
        under_way: Collection[str],
    ) -> bool:
        """Choose for the sampler: what was cut off first, a grid in order, else no repetitions.

        Return whether there is to be a next one.
        """
        chosen = None
        while self._first and self._first[0].key in {*under_way, *self._ended}:
            self._first.popleft()
        if self._retries:
            chosen = self._retries.pop(next(iter(self._retries)))
        elif self._first and self.sweep.method != "grid":
            chosen = self._first.popleft()
        elif left and self.sweep.method == "grid":
            chosen = left[0]
        elif choose is not None:
            offered = self.offered(under_way)
            chosen = choose(offered) if offered else None
            if offered and chosen is None:
                return False
        elif left and self._repeats >= REPEATS_BEFORE_CHOOSING:
            chosen = random.Random(f"{self.sweep.seed}/{len(self._ended)}").choice(left)  # noqa: S311 - no secret
        if chosen is not None:
            self._memory.enqueue_trial(dict(chosen.params))
        return True

    def offered(self, under_way: Collection[str]) -> list[TrialConfig]:
        """Return candidates to choose among, in random order: what is left, or some of it.

        They are the same ones until another candidate is begun, but for those that were tried.
        """
        number = len(self._ended) + len(self._begun)
        left = self._unexplored(under_way)
        if left is not None:
            chance = random.Random(f"{self.sweep.seed}/{number}")  # noqa: S311 - no secret
            return chance.sample(left, min(len(left), OFFERED))
        if number != self._drawn[0]:
            seed = int(np.random.SeedSequence([self.sweep.seed, number]).generate_state(1)[0])
            drawn = optuna.create_study(sampler=RandomSampler(seed=seed))
            found = [self.sweep.config(_suggest(drawn.ask(), self.sweep.axes))
                     for _ in range(OFFERED)]  # fmt: skip
            self._drawn = number, found
        taken = {*under_way, *self._ended}
        return list({one.key: one for one in self._drawn[1] if one.key not in taken}.values())

    # What the sampler learns from -----------------------------------------------------------

    def _recorded(
        self,
        proposal: Proposal,
        state: State,
        usage: Mapping[str, float],
        kept: Mapping[str, Any],
    ) -> FrozenTrial:
        """Return a candidate as one trial: drawn params, constraints, and what was chosen in all.

        In Optuna's store a refused candidate is ``PRUNED``, with the constraints that it breaks.
        """
        config, drawn = proposal.config, proposal.drawn
        attributes = drawn.study.get_trials(deepcopy=False)[drawn.number].system_attrs
        content = {"key": config.key, "params": dict(config.params), **kept}
        if state is State.REFUSED:
            content["state"] = state
        return create_trial(
            state=OPTUNA_STATES[state],
            params=drawn.params,
            distributions=drawn.distributions,
            user_attrs={CANDIDATE: content, LABEL: config.label(self.sweep.varied)},
            system_attrs={
                n: v for n, v in attributes.items() if "generation" in n
            },  # a genetic sampler's
            constraints=dict(usage),
        )

    def _learn(self, drawn: Trial | None, told: FrozenTrial) -> None:
        """Tell the study in memory; one that grew beyond its bounds is begun anew."""
        known = self._memory.get_trials(deepcopy=False)
        if len(known) > 2 * (REFUSED_KEPT + TRAINED_KEPT) or self._refused_known > 2 * REFUSED_KEPT:
            self._renew_memory()
            return
        self._refused_known += _state_of(told) is State.REFUSED
        if drawn is None or drawn.study is not self._memory:
            self._memory.add_trial(told)
            return
        for name, ratio in told.constraints.items():
            drawn.set_constraint(name, ratio)
        self._memory.tell(drawn, told.values, state=told.state)

    def _renew_memory(self) -> None:
        """Begin the study in memory with the latest trials, and the best of all."""
        if len(self._trained) > TRAINED_KEPT:
            best = self._best()
            older = [t for n, t in enumerate(self._trained[:-TRAINED_KEPT]) if n in best]
            self._trained = older + self._trained[-TRAINED_KEPT:]
        self._memory = self._empty_memory()
        self._memory.add_trials([*self._trained, *self._refused])
        self._refused_known = len(self._refused)

    def _best(self) -> set[int]:
        """Return which of the trained candidates, by their places, form the front."""
        names = [objective.name for objective in self.sweep.objectives]
        rows = []
        for place, trial in enumerate(self._trained):
            if trial.values is not None:
                metrics = dict(zip(names, trial.values, strict=True))
                rows.append(Row(place, "", "", State.FINISHED, None, {}, metrics))
        return {row.trial for row in front(rows, self.sweep.objectives)}

    def _empty_memory(self) -> optuna.Study:
        return optuna.create_study(
            directions=[objective.goal for objective in self.sweep.objectives],
            sampler=_optuna_sampler(self.sweep, len(self._ended)),
        )


def _state_of(trial: FrozenTrial) -> State:
    """Return the state of a recorded trial; Optuna's own tells where it leaves no doubt."""
    if trial.state is TrialState.COMPLETE:
        return State.FINISHED
    if trial.state is TrialState.RUNNING:
        return State.RUNNING
    return State(trial.user_attrs.get(STATE, trial.user_attrs[CANDIDATE].get("state")))


def _refused_row(number: int, trial: FrozenTrial) -> Row:
    content = trial.user_attrs[CANDIDATE]
    kept = {name: content[name] for name in ("name", "reason", "params", "metrics")}
    return Row(trial=number, run_id="", state=State.REFUSED, **kept)


def _ended(trial: FrozenTrial, state: State, values: Sequence[float] | None) -> FrozenTrial:
    """Return ``trial`` as one that ended, as the sampler learns from it.

    Optuna's samplers of several objectives learn from ``COMPLETE`` trials alone.
    """
    return create_trial(
        state=OPTUNA_STATES[state] if values is None else TrialState.COMPLETE,
        values=values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**trial.user_attrs, STATE: state},
        system_attrs=trial.system_attrs,
    )


class _Store:
    """The study in Optuna's database: one transaction to add a trial, one or two to end it.

    ``recorded`` are the trials that it held when it was opened, in order: they are read once.
    """

    def __init__(self, sweep: Sweep, url: str, agree: Agree, partner: str) -> None:
        path = sqlite_path(url)
        if path is not None and not path.is_file():
            agree(None)  # raises before a file is made
        create_store(url, initialize)
        self._url = url
        self._storage = _storage(url)
        self.recorded = self._recorded(sweep.name)
        self.identity = agree(self._known(sweep.name))
        study = optuna.create_study(
            study_name=sweep.name,
            storage=self._storage,
            directions=[objective.goal for objective in sweep.objectives],
            load_if_exists=True,
        )
        self._study = self._storage.get_study_id_from_name(sweep.name)
        self._count = len(self.recorded)
        attributes = study.user_attrs
        known = attributes.get("sweep")
        if known is None:
            study.set_user_attr("format", FORMAT)
            study.set_user_attr("sweep", sweep.fingerprint)
            # What a dashboard calls the values; so much of Optuna is marked experimental.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([objective.name for objective in sweep.objectives])
        else:
            _check(sweep, attributes.get("format", 1), known)
        if attributes.get(IDENTITY) != self.identity:
            study.set_user_attr(PARTNER, partner)
            study.set_user_attr(IDENTITY, self.identity)

    def _recorded(self, study: str) -> list[FrozenTrial]:
        try:
            found = self._storage.get_study_id_from_name(study)
        except KeyError:
            return []
        with paused():
            return self._storage.get_all_trials(found, deepcopy=False)

    def _known(self, study: str) -> Known | None:
        """Return what the store knows of a study, or None where it has no such study."""
        try:
            found = self._storage.get_study_id_from_name(study)
        except KeyError:
            return None
        attributes = self._storage.get_study_user_attrs(found)
        other = attributes.get(PARTNER, "another store")
        return Known(attributes.get(IDENTITY, ""), other, not self.recorded)

    def add(self, trial: FrozenTrial) -> tuple[int, int]:
        """Write a trial whole; return its number and the store's key for it."""
        identity = self._patiently(lambda attempt: self._add(trial, attempt))
        self._count += 1  # nobody else adds one: the study's lock is held
        return self._count - 1, identity

    def _add(self, trial: FrozenTrial, attempt: int) -> int:
        if attempt and self._storage.get_n_trials(self._study) > self._count:
            # It was written, and only the answer got lost.
            return self._storage.get_trial_id_from_study_id_trial_number(self._study, self._count)
        return self._storage.create_new_trial(self._study, template_trial=trial)

    def end(self, identity: int, state: State, values: Sequence[float] | None) -> None:
        """Write how a trial ended."""
        self._patiently(lambda attempt: self._end(identity, state, values, attempt))

    def _end(
        self, identity: int, state: State, values: Sequence[float] | None, attempt: int
    ) -> None:
        if attempt and self._storage.get_trial(identity).state.is_finished():
            return  # it was written, and only the answer got lost
        if state is not State.FINISHED:  # Optuna's own state says it
            self._storage.set_trial_user_attr(identity, STATE, state)
        self._storage.set_trial_state_values(identity, OPTUNA_STATES[state], values)

    def _patiently(self, attempt: Callable[[int], T]) -> T:
        """Return what ``attempt`` returns, through a restart of the database's server."""
        return patiently(attempt, self._url, LOG.warning, says="Optuna's store")


def _check(sweep: Sweep, found: int, known: Mapping[str, Any]) -> None:
    """Raise EdgebenchError where a study of this name was another one, or in another format."""
    if found != FORMAT:
        raise EdgebenchError(
            f"the study '{sweep.name}' was recorded in format {found} and this edgebench reads "
            f"format {FORMAT}: move mlruns/ away, or give the sweep another name with --set "
            f"name={sweep.name}-2"
        )
    if known != sweep.fingerprint:
        raise EdgebenchError(
            f"the study '{sweep.name}' holds another search: "
            f"{', '.join(_differences(known, sweep.fingerprint))} changed; go on with the old "
            f"file, or give this one its own name with --set name={sweep.name}-2"
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


def _storage(url: str) -> RDBStorage:
    patient: dict[str, Any] = {"connect_args": {"timeout": 60}}  # seconds, for SQLite's one writer
    engine = patient if sqlite_path(url) else small_pool()
    return RDBStorage(absolute(url), engine_kwargs=engine)


def initialize(url: str) -> None:
    """Fill an empty store with Optuna's tables."""
    storage = _storage(url)
    storage.remove_session()
    storage.engine.dispose()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = [name for name in new if name != "parameters" and old.get(name) != new[name]]
    before, after = old.get("parameters", {}), new["parameters"]
    return found + [n for n in {**before, **after} if before.get(n) != after.get(n)]


def _optuna_sampler(sweep: Sweep, trials: int) -> BaseSampler:
    """Return the sampler; its seed moves on with the study, or a resumed one would repeat."""
    seed = int(np.random.SeedSequence([sweep.seed, trials]).generate_state(1)[0])
    cap = sweep.run_cap or 30
    if sweep.method == "tpe":
        with warnings.catch_warnings():
            # `group` is marked experimental; it is what makes TPE model conditional axes jointly.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            startup = max(4, min(10, cap // 3))
            return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=startup)
    if sweep.method == "gp":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            startup = max(4, min(10, cap // 3))
            # What depends on another axis is drawn at random, which the page says once for all.
            return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
    if sweep.method == "nsga2":
        return NSGAIISampler(seed=seed, population_size=max(4, min(50, cap // 4)))
    return RandomSampler(seed=seed)
