"""The ``figures`` of a sweep file: each of a kind, whose signature is the schema of its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgebench.analysis import ANALYSES
from edgebench.errors import shown, unknown
from edgebench.metrics import METRICS
from edgebench.record import FigureAsked
from edgebench.registry import Option, options
from edgebench.report import FIGURE_KINDS, Names
from edgebench.space.axes import no_choice, unknown_keys
from edgebench.space.axis import Axis
from edgebench.space.schema import axis_names

MOST = 100
"""Figures of a sweep."""
COMMON = {
    "name": "What its files are called",
    "kind": "How it is drawn",
    "title": "What stands over it",
    "where": "{AXIS: VALUES}: the trials that it shows; all by default",
}
"""The keys that every figure has, and what each is for."""


def read_figures(
    content: Any, axes: Sequence[Axis], analyses: Sequence[str], mistakes: list[str]
) -> tuple[FigureAsked, ...]:
    """Read the figures of a sweep that has these axes and analyses.

    What is wrong is added to ``mistakes``, one message each, with its path.
    """
    if content is None:
        return ()
    if not isinstance(content, list):
        mistakes.append(
            "figures: write a list, as in [{name: accuracy, kind: curves, y: val/accuracy}]"
        )
        return ()
    if len(content) > MOST:
        mistakes.append(f"figures: there are {len(content):,}; {MOST} are the most")
        return ()
    found: list[FigureAsked] = []
    for index, entry in enumerate(content):
        own = list(_mistakes(entry, f"figures[{index}]", axes, analyses))
        if isinstance(entry, dict) and any(entry.get("name") == other.name for other in found):
            own.append(f"figures[{index}].name: '{entry['name']}' stands twice")
        mistakes += own
        found += [] if own else [_figure(entry)]
    return tuple(found)


def _figure(entry: Mapping[str, Any]) -> FigureAsked:
    where = {
        axis: tuple(allowed) if isinstance(allowed, list) else (allowed,)
        for axis, allowed in (entry.get("where") or {}).items()
    }
    chosen = {key: value for key, value in entry.items() if key not in COMMON}
    return FigureAsked(entry["name"], entry["kind"], entry.get("title", ""), where, chosen)


def _mistakes(
    entry: Any, path: str, axes: Sequence[Axis], analyses: Sequence[str]
) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{path}: write {{name: ..., kind: ..., ...}}"
        return
    name, kind, title = entry.get("name"), entry.get("kind"), entry.get("title", "")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        said = f"{shown(name)} should be" if "name" in entry else "is missing; write"
        yield f"{path}.name: {said} letters, digits, '-' and '_': a file is named by it"
    if not isinstance(title, str):
        yield f"{path}.title: {shown(title)} should be a text"
    yield from _where_mistakes(entry.get("where"), f"{path}.where", axes)
    if not isinstance(kind, str) or kind not in FIGURE_KINDS:
        yield f"{path}.kind: {unknown(FIGURE_KINDS.kind, str(kind), FIGURE_KINDS)}"
        return
    known = options(FIGURE_KINDS[kind])
    yield from unknown_keys(entry, (*COMMON, *known), path)
    for key, option in known.items():
        if key in entry:
            yield from _option_mistakes(option, entry[key], f"{path}.{key}", axes, analyses)
        elif option.default is inspect.Parameter.empty:
            yield f"{path}.{key}: is missing; '{kind}' needs it"


def _where_mistakes(where: Any, path: str, axes: Sequence[Axis]) -> Iterator[str]:
    if where is None:
        return
    if not isinstance(where, dict):
        yield f"{path}: write axes and their values, as in {{model.norm: batch}}"
        return
    for name, allowed in where.items():
        parts = [axis for axis in axes if axis.name == name]
        if not parts:
            yield f"{path}.{name}: {unknown('axis', str(name), _names(axes))}"
            continue
        if any(axis.choices() is None for axis in parts):
            continue  # any number may turn out to be drawn
        choices = [choice for axis in parts for choice in axis.choices() or ()]
        for value in allowed if isinstance(allowed, list) else [allowed]:
            if value not in choices:
                yield f"{path}.{name}: {no_choice(value, choices)}"


def _option_mistakes(
    option: Option, value: Any, path: str, axes: Sequence[Axis], analyses: Sequence[str]
) -> Iterator[str]:
    mistake = option.mistake(value)
    if mistake:
        yield f"{path}: {mistake}"
        return
    named = next((one for one in option.type_metadata if isinstance(one, Names)), None)
    for name in value if isinstance(value, list) else [value]:
        if named is Names.AXIS and name not in _names(axes):
            here = _names(axes)
            elsewhere = f"'{name}' is no axis of this sweep; add it to parameters, or name one of: "
            listed = elsewhere + ", ".join(here)
            yield f"{path}: {listed if name in axis_names() else unknown('axis', name, here)}"
        elif named is Names.METRIC and name not in METRICS:
            yield f"{path}: {unknown('metric', name, METRICS)}"
        elif named is Names.SERIES:
            yield from _series_mistakes(name, path, analyses)


def _series_mistakes(name: str, path: str, analyses: Sequence[str]) -> Iterator[str]:
    """A series is a metric of each epoch, or a number a step of an analysis of the sweep."""
    per_epoch = [metric.name for metric in METRICS.values() if metric.per_epoch]
    analysis, dot, _ = name.partition(".")
    if dot and analysis in ANALYSES and analysis not in analyses:
        yield f"{path}: '{name}' needs the analysis; add '{analysis}' to 'analysis'"
        return
    steps = [f"{one}.{series}" for one in analyses for series in _series_of(one)]
    if name not in per_epoch and name not in steps:
        yield f"{path}: {unknown('series', name, [*per_epoch, *steps])}"


def _series_of(analysis: str) -> Sequence[str]:
    if analysis not in ANALYSES:
        return ()
    found: Sequence[str] = getattr(ANALYSES[analysis], "series", ())
    return found


def _names(axes: Sequence[Axis]) -> list[str]:
    return list(dict.fromkeys(axis.name for axis in axes))
