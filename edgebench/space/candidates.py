"""What a search may choose from: axes, objectives and a budget, and the candidates they span."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edgebench.models import MODELS
from edgebench.record import Objective, Scalar
from edgebench.registry import bind, resolved
from edgebench.training import Recipe
from edgebench.units import label

FIGURES = ("macs", "macc", "parameters", "rom_bytes", "ram_bytes", "activations_bytes")
"""The figures of a footprint that are searched, limited and logged."""
Method = Literal["tpe", "nsga2", "random", "grid"]
INT8 = "_int8"
BUDGET_FIGURES = (*FIGURES, *(f"{name}{INT8}" for name in FIGURES))
METRICS = (
    "val/accuracy_best",
    f"val/accuracy{INT8}",
    "time/train_s",
    *(f"footprint/{name}" for name in BUDGET_FIGURES),
)
"""What a search may optimise: everything known without the test split."""
GRID_LIMIT = 10_000
FAMILY = "model.family"


@dataclass(frozen=True)
class Budget:
    """Limits that a candidate must meet before it is trained.

    Attributes:
        limits: The most of each figure (``rom_bytes``, ``ram_bytes_int8``, ...), in its unit.
        target: The board that some of the limits come from, or None.
    """

    limits: Mapping[str, int]
    target: str | None = None

    def usage(self, figures: Mapping[str, int]) -> dict[str, float]:
        """Return used / limit - 1 of each limited figure that is known; feasible iff all <= 0."""
        return {n: figures[n] / limit - 1 for n, limit in self.limits.items() if n in figures}

    def excess(self, figures: Mapping[str, int]) -> str | None:
        """Say which limits ``figures`` break and by how much, or None."""
        of_target = f" of {self.target}" if self.target else ""
        broken = []
        for name, ratio in self.usage(figures).items():
            if ratio > 0:
                used, limit, unit = figures[name], self.limits[name], " B" * ("bytes" in name)
                broken.append(
                    f"{label(f'footprint/{name}')} {used:,}{unit} is over {limit:,}{unit}"
                    f"{of_target} by {used - limit:,}{unit}"
                )
        return "; ".join(broken) or None


@dataclass(frozen=True)
class Axis:
    """One parameter: a choice among ``values``, or a range from ``low`` to ``high``.

    ``when`` names other axes and the values that make this one active.
    """

    name: str
    values: tuple[Scalar, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    integer: bool = False
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def active(self, chosen: Mapping[str, Scalar]) -> bool:
        """Tell whether the axes ``chosen`` so far make this one part of the configuration."""
        return all(chosen.get(other) in allowed for other, allowed in self.when.items())

    def choices(self) -> tuple[Scalar, ...] | None:
        """Return all values of a finite axis, or None for a continuous one."""
        if self.values:
            return self.values
        if self.integer and not self.log:
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.integer:
            return tuple(range(int(self.low), int(self.high) + 1))
        if self.step is None:
            return None
        count = int((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(self.low + index * self.step for index in range(count))


@dataclass(frozen=True)
class TrialConfig:
    """One candidate: the active axes as written, and what it is trained on.

    ``seed`` decides weights, order and augmentation, ``split_seed`` the validation images.
    """

    params: Mapping[str, Scalar]
    dataset: str
    seed: int = 0
    split_seed: int = 0
    int8: bool = False

    @property
    def family(self) -> str:
        """The model family's name."""
        return str(self.params[FAMILY])

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of the family that the configuration sets."""
        return self._part("model.", without=FAMILY)

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""
        return Recipe(**bind(Recipe, self._part("train.")))

    @property
    def key(self) -> str:
        """Identify what is trained: equal keys mean the same result, whatever was left unsaid."""
        content = {
            "family": self.family,
            "model": resolved(MODELS[self.family], self.model_options),
            "recipe": resolved(Recipe, self._part("train.")),
            "dataset": self.dataset,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "int8": self.int8,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def label(self, varied: Sequence[str]) -> str:
        """Name the candidate by family and varied axes, as in ``vgg-w32-h128``.

        An axis is abbreviated by the fewest letters that tell it from the other varied axes.
        """
        names = [name for name in varied if name in self.params and name != FAMILY]
        parts = [self.family]
        for name in names:
            letters = _abbreviated(name, [other for other in varied if other != name])
            value = self.params[name]
            text = f"{value:.3g}" if isinstance(value, float) else str(value)
            parts.append(f"{letters}{re.sub('[^A-Za-z0-9_.]', '', text)}")
        return "-".join(parts)

    def _part(self, prefix: str, without: str = "") -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value
            for name, value in self.params.items()
            if name.startswith(prefix) and name != without
        }


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

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the axes that have more than one value."""
        return tuple(axis.name for axis in self.axes if len(axis.choices() or (1, 2)) > 1)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What must not change while a study goes on, as JSON data; the cap and method may.

        Where nothing is varied nothing is searched, and single configurations may be added.
        """
        return {
            "dataset": self.dataset,
            "metrics": [asdict(objective) for objective in self.objectives],
            "budget": asdict(self.budget) if self.budget else None,
            "parameters": {axis.name: _axis_as_json(axis) for axis in self.axes}
            if self.varied
            else {},
            "seed": self.seed if self.varied else None,
            "export.int8": self.int8,
        }

    def config(self, params: Mapping[str, Scalar]) -> TrialConfig:
        """Return the configuration that has these active axes."""
        return TrialConfig(dict(params), self.dataset, self.seed, self.seed, self.int8)

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


def _abbreviated(name: str, others: Sequence[str]) -> str:
    option = name.partition(".")[2]
    rivals = [other.partition(".")[2] for other in others]
    for length in range(1, len(option)):
        if not any(rival.startswith(option[:length]) for rival in rivals):
            return option[:length]
    return option


def _axis_as_json(axis: Axis) -> Any:
    content = {name: value for name, value in asdict(axis).items() if value and name != "name"}
    return json.loads(json.dumps(content))
