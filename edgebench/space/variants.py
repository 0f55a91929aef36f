"""Variants: named changes of the parameters, each several at once, tried beside each other.

A grid varies each axis with every other; a study that changes one thing at a time does not. A
variant sets some axes to one value each and leaves the others as ``parameters`` has them. It
becomes an axis like any other, `VARIANT`, on which the axes that some variant sets depend.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgebench.errors import NAMED, more
from edgebench.record import Scalar
from edgebench.space.axes import read_axes
from edgebench.space.axis import Axis

MOST = 100
"""Variants of a sweep, and letters of a variant's name."""
VARIANT = "variant"
"""The axis that names the variant; it stands in a trial's params and is no part of its identity."""


def read_variants(
    content: Any, parameters: Any, axes: Sequence[Axis], mistakes: list[str]
) -> tuple[Axis, ...]:
    """Return ``axes`` with those of the variants, where there are any.

    What is wrong is added to ``mistakes``: each variant is checked as the sweep that it makes.
    """
    if content is None:
        return tuple(axes)
    if not isinstance(content, dict) or not content:
        mistakes.append(
            "variants: write names and changes, as in {base: {}, wide: {model.width: 9}}"
        )
        return tuple(axes)
    if len(content) > MOST:
        mistakes.append(f"variants: there are {len(content):,}; {MOST} are the most")
        return tuple(axes)
    before = len(mistakes)
    for name, changes in content.items():
        mistakes += _mistakes(str(name), changes, parameters if before == 0 else None)
    return tuple(axes) if len(mistakes) > before else _expanded(content, axes)


def _mistakes(name: str, changes: Any, parameters: Any) -> list[str]:
    path = f"variants.{name:.60}"
    if len(name) > MOST or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        return [f"{path}: the name should be letters, digits, '-', '_' and '.'"]
    if not isinstance(changes, dict):
        return [f"{path}: write the parameters that it changes, as in {{model.width: 9}}"]
    odd = [key for key, value in changes.items() if not isinstance(value, Scalar)]
    if odd:
        said = "should be one number or text, true or false"
        named = [f"{path}.{key!s:.60}: {said}" for key in odd[:NAMED]]
        return [*named, *more(len(odd), f"{path}: such values")]
    if not isinstance(parameters, dict):
        return []  # those mistakes are named already
    found: list[str] = []
    read_axes(_merged(parameters, changes), found)
    return [f"{path}: {mistake}" for mistake in found]


def _merged(parameters: Mapping[str, Any], changes: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return the parameters of one variant; axes whose condition it rules out are left out."""
    merged: dict[str, Any] = {}
    for name, form in parameters.items():
        when = form.get("when") if isinstance(form, dict) else None
        if not isinstance(when, dict):
            merged[name] = form
            continue
        left = {other: allowed for other, allowed in when.items() if other not in changes}
        if all(changes[other] in _listed(when[other]) for other in when if other in changes):
            merged[name] = {**form, "when": left}
    return {**merged, **changes}


def _listed(allowed: Any) -> list[Any]:
    return allowed if isinstance(allowed, list) else [allowed]


def _expanded(
    content: Mapping[str, Mapping[str, Scalar]], axes: Sequence[Axis]
) -> tuple[Axis, ...]:
    """Return the axis of the variants, then the others, each in as many parts as it has values."""
    names = tuple(str(name) for name in content)
    base = {axis.name: axis for axis in axes}
    added = dict.fromkeys(key for changes in content.values() for key in changes)
    found = [Axis(VARIANT, values=names)]
    for name in dict.fromkeys([*base, *added]):
        setting: dict[Scalar, list[str]] = {}
        for variant, changes in content.items():
            if name in changes:
                setting.setdefault(changes[name], []).append(str(variant))
        set_by = [variant for those in setting.values() for variant in those]
        if name in base:
            rest = tuple(variant for variant in names if variant not in set_by)
            when = {**base[name].when, VARIANT: rest} if set_by else base[name].when
            found += [dataclasses.replace(base[name], when=when)] if rest else []
        found += [
            Axis(name, values=(value,), when={VARIANT: tuple(those)})
            for value, those in setting.items()
        ]
    return tuple(found)
