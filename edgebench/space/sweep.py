"""A sweep: what is varied, what is sought, within which limits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgebench.metrics import metric_of
from edgebench.record import FigureAsked, Objective, Scalar
from edgebench.space.axis import Axis
from edgebench.space.budget import CONVENTION, Budget
from edgebench.space.candidates import TrialConfig
from edgebench.space.schema import values_of

Method = Literal["tpe", "gp", "nsga2", "random", "grid", "edgebench"]
Tested = Literal["front", "all"]
"""Which trials are judged on the test split at a study's end: the front, or all that finished.

A comparison in which nothing is chosen by its result tests all of them, as a published table does.
"""
GRID_LIMIT = 10_000


@dataclass(frozen=True)
class Enough:
    """When a search has found enough: its last ``trials`` gained less than ``hypervolume_gain``.

    The gain is a share, 0..1, of the hypervolume that they ended with.
    """

    hypervolume_gain: float
    trials: int


@dataclass(frozen=True)
class Sweep:
    """A validated search: what is varied, what is sought, within which limits."""

    name: str
    dataset: str
    method: Method
    run_cap: int | None
    objectives: tuple[Objective, ...]
    budget: Budget | None
    axes: tuple[Axis, ...]
    seed: int
    int8: bool
    early_stop: str = "none"
    analysis: tuple[str, ...] = ()
    test: Tested = "front"
    figures: tuple[FigureAsked, ...] = ()
    stop_when: Enough | None = None
    repeats: int = 1
    warm_start: tuple[str, ...] = ()

    @property
    def accuracy(self) -> str | None:
        """The accuracy that is sought, the first where there are several, or None."""
        names = (goal.name for goal in self.objectives)
        return next((name for name in names if metric_of(name).split == "validation"), None)

    @property
    def convention(self) -> str:
        """By which its candidates are measured."""
        return self.budget.runtime if self.budget else CONVENTION

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the axes that have more than one value."""
        several = (axis.name for axis in self.axes if len(axis.choices() or (1, 2)) > 1)
        return tuple(dict.fromkeys(several))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must not change while a study goes on, as JSON data; the cap and method may.

        Where nothing is varied nothing is searched, and single configurations may be added.
        """
        return {
            "dataset": self.dataset,
            "metrics": [asdict(objective) for objective in self.objectives],
            "budget": self._limits(),
            "parameters": self._parameters() if self.varied else {},
            "seed": self.seed if self.varied else None,
            "export.int8": self.int8,
        }

    def _limits(self) -> dict[str, Any] | None:
        if self.budget is None:
            return None
        found = {"limits": dict(self.budget.limits), "target": self.budget.target}
        return found if self.convention == CONVENTION else {**found, "runtime": self.convention}

    def _parameters(self) -> dict[str, Any]:
        """Return the axes as JSON data, by name; an axis in parts (see variants) is a list."""
        found: dict[str, list[Any]] = {}
        for axis in self.axes:
            found.setdefault(axis.name, []).append(axis.as_json())
        return {name: parts if len(parts) > 1 else parts[0] for name, parts in found.items()}

    def narrowed(self, best_of: Callable[[str, str], Scalar | None]) -> Sweep:
        """Return the sweep with its ranges ``around`` other studies' best values narrowed to them.

        ``best_of(study, axis)`` returns the value that the best trial of a study has on an axis.
        """
        axes = tuple(
            axis.narrowed(best_of(axis.around.study, axis.name)) if axis.around else axis
            for axis in self.axes
        )
        return dataclasses.replace(self, axes=axes)

    def config(self, params: Mapping[str, Scalar]) -> TrialConfig:
        """Return the configuration that has these active axes."""
        return TrialConfig(dict(params), self.dataset, self.seed, self.seed, self.int8)

    def adopted(self, params: Mapping[str, Scalar]) -> TrialConfig | None:
        """Return the configuration that another study's params come to here, or None.

        An axis of one value has that; what the other study did not vary has its default.
        """
        given, chosen = values_of(params), dict[str, Scalar]()
        for axis in self.axes:
            if axis.active(chosen):
                value = axis.values[0] if len(axis.values) == 1 else given.get(axis.name)
                if value is None or not axis.holds(value):
                    return None
                chosen[axis.name] = value
        return self.config(chosen)

    def first(self) -> TrialConfig:
        """Return one configuration of the sweep: the first value of each active axis."""
        chosen: dict[str, Scalar] = {}
        for axis in self.axes:
            if axis.active(chosen):
                low = int(axis.low) if axis.integer else axis.low
                chosen[axis.name] = axis.values[0] if axis.values else low
        return self.config(chosen)

    def configurations(self) -> list[TrialConfig] | None:
        """Return every distinct configuration in file order, or None where there is no end to them.

        More than ``GRID_LIMIT`` count as no end.
        """
        size = 1
        for axis in self.axes:
            size *= len(axis.choices() or range(GRID_LIMIT + 1))
            if size > GRID_LIMIT:
                return None
        return list({config.key: config for config in map(self.config, self._grid())}.values())

    def _grid(self) -> Iterator[dict[str, Scalar]]:
        for values in itertools.product(*(axis.choices() or () for axis in self.axes)):
            chosen: dict[str, Scalar] = {}
            for axis, value in zip(self.axes, values, strict=True):
                if axis.active(chosen):
                    chosen[axis.name] = value
            yield chosen
