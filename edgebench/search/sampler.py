"""Optuna's side of a study: which candidate comes next, and what was already answered."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from edgebench.errors import EdgebenchError
from edgebench.record import Scalar
from edgebench.space import Axis, Sweep, TrialConfig
from edgebench.tracking import create_store, sqlite_path

REPEATS_BEFORE_CHOOSING = 3
"""After so many repeated proposals in a row a finite space is drawn from what is left of it."""
ENDLESS_REPEATS = 100

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Proposals:
    """The candidates of one study: drawn by its sampler, never twice, told how they ended.

    A finished candidate is ``COMPLETE`` in Optuna; a refused one ``PRUNED``, with the constraints
    that the sampler learns from; a failed or interrupted one ``FAIL``.

    Raises:
        EdgebenchError: The study holds another search.
    """

    def __init__(self, sweep: Sweep, storage_url: str) -> None:
        self.sweep = sweep
        self.study = _open_study(sweep, storage_url)
        configurations = sweep.configurations()
        self.space = None if configurations is None else {c.key: c for c in configurations}
        self._done: dict[str, FrozenTrial] = {}
        self._repeats = 0
        for trial in self.study.get_trials(deepcopy=False):
            self._remember(trial)

    @property
    def total(self) -> int:
        """The runs that are wanted: the cap, or fewer where the space has fewer."""
        sizes = [self.sweep.run_cap, None if self.space is None else len(self.space)]
        return min(size for size in sizes if size is not None)

    def count(self, *states: str) -> int:
        """Count the candidates of this search that ended in one of ``states``.

        Single configurations that another command added to the study do not count.
        """
        return sum(
            trial.user_attrs["state"] in states and (self.space is None or key in self.space)
            for key, trial in self._done.items()
        )

    def left_running(self) -> list[Trial]:
        """Return the trials that an earlier process neither finished nor closed."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [Trial(self.study, frozen._trial_id) for frozen in running]  # noqa: SLF001 - the only way

    def next(self, under_way: Collection[str]) -> tuple[Trial, TrialConfig] | None:
        """Return a candidate that was never tried, or None where the space has no more.

        ``under_way`` are the keys of the candidates that are being run at this moment. A repeated
        proposal is answered from the record: told the same values, not trained again.
        """
        while self._repeats < ENDLESS_REPEATS:
            left = self._unexplored(under_way)
            if left is not None and not left:
                return None
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if left and not waiting:
                self._steer(left)
            trial = self.study.ask()
            config = self.sweep.config(_suggest(trial, self.sweep.axes))
            if config.key not in self._done and config.key not in under_way:
                self._repeats = 0
                trial.set_user_attr("key", config.key)
                return trial, config
            self._answer_from_record(trial, config)
            self._repeats += 1
        return None

    def tell(
        self, trial: Trial, state: str, metrics: Mapping[str, float], usage: Mapping[str, float]
    ) -> None:
        """Tell the sampler how a candidate ended: its values, or that there are none."""
        for name, ratio in usage.items():
            trial.set_constraint(name, ratio)
        trial.set_user_attr("state", state)
        if state == "finished":
            self.study.tell(trial, [metrics[goal.name] for goal in self.sweep.objectives])
        else:
            pruned = state == "refused"
            self.study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)
        self._remember(self.study.trials[trial.number])

    def cut_off(self, trial: Trial) -> None:
        """Close a trial that will not end, and have its candidate tried again."""
        trial.set_user_attr("state", "interrupted")
        params = dict(trial.params)
        self.study.tell(trial, state=TrialState.FAIL)
        self.study.enqueue_trial(params, user_attrs={"retry_of": trial.number})

    def _remember(self, trial: FrozenTrial) -> None:
        """Keep a candidate that came to an end as the answer to its repetitions."""
        if trial.user_attrs.get("state") in {"finished", "refused", "failed"}:
            self._done[trial.user_attrs["key"]] = trial

    def _unexplored(self, under_way: Collection[str]) -> list[TrialConfig] | None:
        """Return the configurations of a finite space that are left, or None for an endless one."""
        if self.space is None:
            return None
        taken = {*under_way, *self._done}
        return [config for key, config in self.space.items() if key not in taken]

    def _steer(self, left: list[TrialConfig]) -> None:
        """Choose for the sampler: a grid goes in order, another one where it only repeats."""
        if self.sweep.method == "grid":
            self.study.enqueue_trial(dict(left[0].params))
        elif self._repeats >= REPEATS_BEFORE_CHOOSING:
            chosen = random.Random(f"{self.sweep.seed}/{len(self._done)}").choice(left)  # noqa: S311 - no secret
            self.study.enqueue_trial(dict(chosen.params))

    def _answer_from_record(self, trial: Trial, config: TrialConfig) -> None:
        """Tell a repeated proposal what its first trial was told; it is not trained again."""
        trial.set_user_attr("state", "duplicate")
        first = self._done.get(config.key)
        if first is None:  # it is being trained at this moment
            self.study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("duplicate_of", first.number)
        for name, ratio in first.constraints.items():
            trial.set_constraint(name, ratio)
        values = first.values if first.state == TrialState.COMPLETE else None
        self.study.tell(trial, values, state=first.state)


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
