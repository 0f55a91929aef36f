"""Candidates: what is trained, how it is told from every other candidate, and how it is named."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgebench.data import DataOptions
from edgebench.record import Scalar
from edgebench.registry import bind
from edgebench.space.schema import FAMILY, SEED, explicit, part, values_of
from edgebench.training import Recipe

KEY_VERSION = 2
"""Raised where the same choices train something else than before; written before every key."""


@dataclass(frozen=True)
class TrialConfig:
    """One candidate: the active axes as written, and what it is trained on.

    ``base_seed`` decides weights, order and augmentation where ``train.seed`` is no axis,
    ``split_seed`` the validation images.
    """

    params: Mapping[str, Scalar]
    dataset: str
    base_seed: int = 0
    split_seed: int = 0
    int8: bool = False

    @property
    def family(self) -> str:
        """The model family's name."""
        return str(self.params[FAMILY])

    @property
    def seed(self) -> int:
        """What decides weights, order and augmentation."""
        return int(self.params.get(SEED, self.base_seed))

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of the family that the configuration sets, flat."""
        return {n: v for n, v in part("model", self.params).items() if f"model.{n}" != FAMILY}

    @cached_property
    def recipe(self) -> Recipe:
        """The training recipe."""
        given = {n: v for n, v in part("train", self.params).items() if f"train.{n}" != SEED}
        return Recipe(**bind(Recipe, given))

    @property
    def data_options(self) -> DataOptions:
        """What is done with the images of the data set."""
        return DataOptions(**bind(DataOptions, part("data", self.params)))

    @cached_property
    def key(self) -> str:
        """Identify what is trained: equal keys mean the same result, whatever was left unsaid.

        A hash of the choices that differ from the defaults their options began with, so that a
        new option changes no recorded key (`edgebench.space.schema.explicit`).
        """
        content = {
            "choices": {n: _number(v) for n, v in explicit(self.params).items() if n != SEED},
            "dataset": self.dataset,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "int8": self.int8,
        }
        text = json.dumps(content, sort_keys=True)
        return f"{KEY_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @cached_property
    def data_key(self) -> str:
        """Identify the images: equal keys mean the same data, split alike."""
        chosen = {n: v for n, v in explicit(self.params).items() if n.startswith("data.")}
        return json.dumps([self.dataset, self.split_seed, chosen], sort_keys=True)

    def resolved(self) -> TrialConfig:
        """Return the same candidate with every active axis said, as the record keeps it.

        A default that changes later does not change what a recorded candidate was.
        """
        said = {n: v for n, v in values_of(self.params).items() if isinstance(v, Scalar)}
        said[SEED] = self.seed
        return TrialConfig(said, self.dataset, self.seed, self.split_seed, self.int8)

    def with_seed(self, seed: int) -> TrialConfig:
        """Return the same candidate trained with another seed, on the same split."""
        params = {name: value for name, value in self.params.items() if name != SEED}
        return TrialConfig(params, self.dataset, seed, self.split_seed, self.int8)

    def as_json(self) -> dict[str, Any]:
        """Return the candidate as JSON data; ``TrialConfig(**data)`` is it again."""
        return {
            "params": dict(self.params),
            "dataset": self.dataset,
            "base_seed": self.base_seed,
            "split_seed": self.split_seed,
            "int8": self.int8,
        }

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


def _number(value: Any) -> Any:
    """Write 1.0 as 1: a sweep file may spell a number either way."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _abbreviated(name: str, others: Sequence[str]) -> str:
    option = name.partition(".")[2]
    rivals = [other.partition(".")[2] for other in others]
    for length in range(1, len(option)):
        if not any(rival.startswith(option[:length]) for rival in rivals):
            return option[:length]
    return option
