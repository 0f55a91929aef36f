"""An axis: one parameter of a search, as a choice among values or a range."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgebench.errors import EdgebenchError
from edgebench.record import Scalar

MOST_CHOICES = 100_000
"""An axis of more values is as good as continuous, and is not written out."""


@dataclass(frozen=True)
class Around:
    """Narrows a range: from the best value of another study divided by ``factor`` to it times."""

    study: str
    factor: float


@dataclass(frozen=True)
class Axis:
    """One parameter: a choice among ``values``, or a range from ``low`` to ``high``.

    ``when`` names other axes and the values that make this one active. ``around`` narrows the range
    once the study that it names has a best trial (see `narrowed`).
    """

    name: str
    values: tuple[Scalar, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    integer: bool = False
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    around: Around | None = None

    def active(self, chosen: Mapping[str, Scalar]) -> bool:
        """Tell whether the axes ``chosen`` so far make this one part of the configuration."""
        return all(chosen.get(other) in allowed for other, allowed in self.when.items())

    def holds(self, value: Scalar | None) -> bool:
        """Tell whether the axis may have a value."""
        if self.values:
            return any(value == one and isinstance(value, bool) == isinstance(one, bool)
                       for one in self.values)  # fmt: skip
        if value is None or isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        if self.integer and int(value) != value:
            return False
        steps = 0.0 if self.step is None or self.log else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    def choices(self) -> tuple[Scalar, ...] | None:
        """Return all values of a finite axis; None for a continuous one, or over `MOST_CHOICES`."""
        if self.values:
            return self.values
        if self.integer:
            steps = range(int(self.low), int(self.high) + 1, 1 if self.log else int(self.step or 1))
            return tuple(steps) if len(steps) <= MOST_CHOICES else None
        if self.step is None:
            return None
        count = int((self.high - self.low) / self.step + 1e-9) + 1
        if count > MOST_CHOICES:
            return None
        return tuple(self.low + index * self.step for index in range(count))

    def narrowed(self, best: Scalar | None) -> Axis:
        """Return the axis with its range narrowed around ``best``, and never beyond its own.

        Raises:
            EdgebenchError: The other study's best trial has no such number, or one that lies too
                far outside the range.
        """
        assert self.around is not None  # noqa: S101 - the caller looks
        study, factor = self.around.study, self.around.factor
        if isinstance(best, bool | str) or best is None:
            raise EdgebenchError(
                f"parameters.{self.name}.around: the best trial of '{study}' has no number there"
            )
        low, high = max(self.low, best / factor), min(self.high, best * factor)
        if self.integer:
            low, high = math.ceil(low), math.floor(high)
        if low >= high:
            raise EdgebenchError(
                f"parameters.{self.name}.around: {best!r}, the best of '{study}', leaves nothing "
                f"between {self.low!r} and {self.high!r}"
            )
        return dataclasses.replace(self, low=low, high=high)

    def as_json(self) -> Any:
        """Return what makes the axis this one and no other, as JSON data."""
        content = {name: value for name, value in asdict(self).items() if value and name != "name"}
        return json.loads(json.dumps(content))
