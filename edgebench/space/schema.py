"""What ``model.*``, ``train.*`` and ``data.*`` may name: the signatures, walked to any depth.

A section is a factory whose keyword-only signature has the section's options. An option that
names a member of a registry brings that member's options along, so ``model.hidden`` belongs to
``model.family: vgg`` by the same rule as ``train.momentum`` to ``train.optimizer: sgd``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le

from edgebench.data import DataOptions
from edgebench.models import MODELS
from edgebench.record import Scalar
from edgebench.registry import Choice, Option, active_options, options, resolved
from edgebench.training import Recipe

FAMILY = "model.family"
SEED = "train.seed"
LARGEST_SEED = 2**62
"""PyTorch's generators take 64 bits; finals count on from the largest of a study."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """``model.*``: a family, which brings its own options."""

    family: Annotated[Choice[Any], MODELS]


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Recipe):
    """``train.*``: the recipe, and the seed of weights, order and augmentation."""

    seed: Annotated[int, Ge(0), Le(LARGEST_SEED)] = 0


SECTIONS: Mapping[str, Callable[..., Any]] = {
    "model": ModelOptions,
    "train": TrainOptions,
    "data": DataOptions,
}


@dataclass(frozen=True)
class Place:
    """Where an option is found: the option, and the members that must be chosen to have it.

    ``members`` are pairs of a selecting axis and the member's name, outermost first; ``factory``
    is the one that has the option in its signature.
    """

    option: Option
    members: tuple[tuple[str, str], ...]
    factory: Callable[..., Any]


@functools.cache
def places(section: str) -> Mapping[str, tuple[Place, ...]]:
    """Return every option of a section, of every member of every registry, by its name."""
    found: dict[str, list[Place]] = {}
    for place in _walk(section, SECTIONS[section], ()):
        found.setdefault(place.option.name, []).append(place)
    return {name: tuple(those) for name, those in found.items()}


def _walk(
    section: str, factory: Callable[..., Any], members: tuple[tuple[str, str], ...]
) -> Iterator[Place]:
    for option in options(factory).values():
        yield Place(option, members, factory)
        for name in option.registry or ():
            member = option.registry[name] if option.registry else None
            if callable(member):
                yield from _walk(section, member, (*members, (f"{section}.{option.name}", name)))


def axis_names() -> list[str]:
    """Return the name of every axis that a sweep may have."""
    return [f"{section}.{name}" for section in SECTIONS for name in places(section)]


def axis_named(name: str) -> str:
    """Return the axis that a name on the command line means: ``width`` is ``model.width``."""
    return f"model.{name}" if name in places("model") else name


def part(section: str, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the options of one section among the axes ``params``, by their short names."""
    prefix = f"{section}."
    return {n.removeprefix(prefix): v for n, v in params.items() if n.startswith(prefix)}


def selections(
    section: str, option: str, possible: Callable[[str], tuple[Scalar, ...] | None]
) -> Iterator[dict[str, Scalar]]:
    """Yield every combination of members that decides whether a section has ``option``.

    ``possible`` returns the values that a selecting axis can take, or None where it is not among
    the axes and its default holds.
    """
    axes = dict.fromkeys(axis for one in places(section)[option] for axis, _ in one.members)
    choices = {axis: found for axis in axes if (found := possible(axis)) is not None}
    for values in itertools.product(*choices.values()):
        yield part(section, dict(zip(choices, values, strict=True)))


def having(section: str, chosen: Mapping[str, Scalar]) -> dict[str, Option]:
    """Return the options that a section has where ``chosen`` members are chosen."""
    return active_options(SECTIONS[section], chosen)


def values_of(params: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return every active axis with its value, chosen or default."""
    return {
        f"{section}.{name}": value
        for section, factory in SECTIONS.items()
        for name, value in resolved(factory, part(section, params)).items()
        if value is not inspect.Parameter.empty
    }


def explicit(params: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return the active axes whose value is not the default that their option began with.

    This is what identifies a candidate: an option that is added with its old behaviour as its
    default is absent here, as it is from every candidate recorded before it; and an option whose
    default changed keeps telling the old default from the new one (`registry.Original`).
    """
    found: dict[str, Any] = {}
    for section, factory in SECTIONS.items():
        given = part(section, params)
        for name, option in active_options(factory, given).items():
            value = given.get(name, option.default)
            if value is not inspect.Parameter.empty and not _same(value, option.original):
                found[f"{section}.{name}"] = value
    return found


def _same(value: object, original: object) -> bool:
    """Compare as values: 1 is 1.0, but True is not 1."""
    return value == original and isinstance(value, bool) == isinstance(original, bool)
