"""Instances of any family, found by asking its signature: the smallest, and one in between."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.models import MODELS
from edgebench.registry import Option, Registry, bind, options

SIZES = (8, 16, 32, 64)
"""Heights and widths that a family is tried on, smallest first."""


def lower_bound(option: Option) -> float | None:
    """Return the least value that a number may have, or None where it has no such bound."""
    metadata = getattr(option.type, "__metadata__", ())
    return next((float(one.ge) for one in metadata if hasattr(one, "ge")), None)


def smallest(family: str) -> dict[str, Any]:
    """Return the least value of every number of ``family`` that has one above zero."""
    return {
        name: type(option.default)(bound)
        for name, option in options(MODELS[family]).items()
        if (bound := lower_bound(option)) is not None and bound > 0
    }


def middling(family: str) -> dict[str, Any]:
    """Return values halfway between the least and the default, on a logarithmic scale."""
    known = options(MODELS[family])
    found = {}
    for name, least in smallest(family).items():
        middle = math.sqrt(least * known[name].default)
        found[name] = round(middle) if isinstance(least, int) else middle
    return found


def build(
    family: str, given: Mapping[str, Any], channels: int = 3, classes: int = 10
) -> tuple[nn.Module, tuple[int, int, int]]:
    """Build a middling network of ``family`` on the smallest square image that it takes.

    Raises:
        EdgebenchError: The family takes none of `SIZES`; its own last message.
    """
    factory = MODELS[family]
    known = bind(factory, {**middling(family), **given})
    for size in SIZES:
        shape = (channels, size, size)
        try:
            model = factory(shape, classes, **known)
            with torch.no_grad():
                model.eval()(torch.zeros(1, *shape))
            return model.train(), shape
        except EdgebenchError:
            if size == SIZES[-1]:
                raise
    raise AssertionError


def having(registry: Registry[Any]) -> Iterator[tuple[str, str]]:
    """Yield each family and option that chooses a member of ``registry``."""
    for family, factory in MODELS.items():
        for name, option in options(factory).items():
            if option.registry is registry:
                yield family, name
