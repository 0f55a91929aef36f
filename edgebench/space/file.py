"""A sweep file: YAML, validated as a whole, turned into a ``Sweep``.

The file has the shape of a W&B sweep, with two additions: ``metrics`` is a list, and ``when``
makes an axis conditional. What ``model.*`` and ``train.*`` may name is read from the signatures of
the model families and of ``Recipe``; nothing is listed twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from annotated_types import Ge, Gt, Le

from edgebench import data, yaml12
from edgebench.analysis import ANALYSES
from edgebench.errors import NAMED, EdgebenchError, more, quoted, shown, unknown
from edgebench.footprint import CONVENTIONS, latency_refusal, load_target
from edgebench.metrics import (
    INT8,
    Dtype,
    Goal,
    Metric,
    in_dtype,
    limited,
    metric_of,
    searched,
)
from edgebench.metrics import limits as limitable
from edgebench.record import Objective
from edgebench.registry import Option, options
from edgebench.space.axes import Distribution, read_axes, unknown_keys
from edgebench.space.budget import CONVENTION, Budget
from edgebench.space.figures import read_figures
from edgebench.space.schema import LARGEST_SEED, SECTIONS, axis_named
from edgebench.space.stop_when import EXAMPLE, read_stop_when
from edgebench.space.sweep import GRID_LIMIT, Method, Sweep, Tested
from edgebench.space.variants import read_variants

LONGEST_NAME = 100
"""Letters of a study's name, which files are named by."""
MOST_RUNS = 1_000_000
MOST_REPEATS = 100
PARTS = {
    "metrics": "What is sought: a list of {name, goal}, the first decides; see 'options metrics'",
    "budget": "{target: BOARD, dtype: float32 or int8}, or limits by figure, as rom_bytes: 100000; "
    "runtime: CONVENTION measures by another than st",
    "parameters": "The axes: a value, {values: [...]}, {min, max, q} or {distribution, min, max}, "
    f"a distribution being one of {', '.join(get_args(Distribution))}; when: {{AXIS: VALUE or "
    "VALUES} sets one only where the others have these values, elsewhere it has its default",
    "variants": "Named changes of several parameters, tried beside each other: {NAME: {AXIS: "
    "VALUE}}; figures group by variant",
    "figures": "Pictures of the study: a list; see 'options figures'",
    "export": "{int8: true} also makes and measures the int8 model of each trial",
    "stop_when": f"When enough was found: {EXAMPLE}",
}
"""The keys that hold more than a value, and what each is for."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The plain keys of a sweep file; the signature is their schema.

    Attributes:
        name: The study's name, which the stores and files know it by.
        dataset: The data set, as 'edgebench datasets' lists them, or folder:PATH.
        method: What draws the candidates: by default edgebench where one accuracy is sought and
            else only footprints, and else tpe; grid takes them all, in the order of the file.
        run_cap: How many trials are trained; a finite space may go without.
        seed: Of the sampler and of the split; train.seed is a training's own, and an axis like any
            other: {values: [0, 1, 2]} trains each candidate three times.
        early_stop: The rule that stops a trial between epochs: by default none in a grid, or where
            all are tested, and else front.
        analysis: What is looked at while a trial trains, and recorded.
        test: The trials that are measured on the test split at the end.
        warm_start: Studies of the same store whose fronts are tried first.
        repeats: With how many seeds each member of the front is trained in all.
    """

    name: str = ""
    dataset: str = "digits"
    method: Method | None = None
    run_cap: Annotated[int, Ge(1), Le(MOST_RUNS)] | None = None
    seed: Annotated[int, Ge(0), Le(LARGEST_SEED)] = 0
    early_stop: str | None = None
    analysis: list[str] | None = None
    test: Tested = "front"
    warm_start: list[str] | None = None
    repeats: Annotated[int, Ge(1), Le(MOST_REPEATS)] = 1


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Read and validate a sweep file.

    Args:
        path: The YAML file.
        overrides: Replaces parts of the file before it is validated: a parameter by its name
            (``model.width``, or ``width``: a value or an axis), anything else by its key
            (``run_cap``, ``dataset``, ``budget.target``, ``export.int8``).

    Raises:
        EdgebenchError: All mistakes of the file at once, each with its path.
    """
    content = yaml12.read(path)
    if not isinstance(content, dict):
        raise EdgebenchError(f"{path}: a sweep is a mapping; see the files in sweeps/")
    return build(_overridden(content, overrides or {}))


def build(content: Mapping[str, Any]) -> Sweep:
    """Validate a sweep given as data; raises EdgebenchError with all mistakes at once."""
    mistakes: list[str] = []
    header = _header(content, mistakes)
    objectives = _objectives(content.get("metrics"), mistakes)
    budget = _budget(content.get("budget"), mistakes)
    _check_latency(objectives, budget, mistakes)
    _check_method(header, objectives, mistakes)
    if header.repeats > 1 and not any(metric_of(g.name).split == "validation" for g in objectives):
        mistakes.append("repeats: there is no accuracy to be surer of")
    axes = read_axes(content.get("parameters"), mistakes)
    axes = read_variants(content.get("variants"), content.get("parameters"), axes, mistakes)
    figures = read_figures(content.get("figures"), axes, _analyses(header), mistakes)
    int8 = _int8(content.get("export"), objectives, budget, mistakes)
    stop_when = read_stop_when(content.get("stop_when"), mistakes)
    if mistakes:
        raise EdgebenchError(*mistakes)
    sweep = Sweep(
        header.name,
        header.dataset,
        header.method or ("tpe" if _no_expectation(objectives) else "edgebench"),
        header.run_cap,
        objectives,
        budget,
        axes,
        header.seed,
        int8,
        header.early_stop or _early_stop(header, objectives),
        _analyses(header),
        header.test,
        figures,
        stop_when,
        header.repeats,
        tuple(header.warm_start or ()),
    )
    if sweep.configurations() is None:
        _require_end(sweep)
    return sweep


def _check_method(header: Header, objectives: Sequence[Objective], mistakes: list[str]) -> None:
    why = _no_expectation(objectives) if header.method == "edgebench" else None
    if why:
        mistakes.append(
            f"method: 'edgebench' seeks one accuracy and any footprints, but {why}; use 'tpe'"
        )


def _no_expectation(objectives: Sequence[Objective]) -> str | None:
    """Say why our own method is none for these objectives, or None.

    It expects one accuracy; all else that is sought is to be known before training.
    """
    unknown_before = [goal.name for goal in objectives if not metric_of(goal.name).footprint]
    accuracies = [name for name in unknown_before if metric_of(name).split == "validation"]
    other = next((name for name in unknown_before if name not in accuracies[:1]), None)
    if other:
        return f"'{other}' is another figure of training"
    return None if accuracies else "there is no accuracy"


def _early_stop(header: Header, objectives: Sequence[Objective]) -> str:
    """Return the rule of a file that names none: a search stops, a comparison trains to the end."""
    compared = header.method == "grid" or header.test == "all"
    sought = any(metric_of(goal.name).split == "validation" for goal in objectives)
    return "front" if sought and not compared else "none"


def _analyses(header: Header) -> tuple[str, ...]:
    return tuple(header.analysis or ())


def _require_end(sweep: Sweep) -> None:
    """An endless space needs a cap, and cannot be a grid."""
    if sweep.method == "grid":
        endless = [axis.name for axis in sweep.axes if axis.choices() is None]
        because = f"{endless[0]} is continuous" if endless else f"there are over {GRID_LIMIT:,}"
        raise EdgebenchError(f"method: a grid tries every configuration, but {because}; use 'tpe'")
    if sweep.run_cap is None:
        raise EdgebenchError(f"run_cap: is missing; with method '{sweep.method}' say how many runs")


def _overridden(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**content}
    for written, value in overrides.items():
        key = written if written in {*options(Header), *PARTS} else axis_named(written)
        first, _, rest = key.partition(".")
        if not rest:
            merged[key] = value
            continue
        section, name = ("parameters", key) if first in SECTIONS else (first, rest)
        part = merged.get(section)
        merged[section] = {**(part if isinstance(part, dict) else {}), name: value}
    return merged


def _header(content: Mapping[str, Any], mistakes: list[str]) -> Header:
    known = options(Header)
    given: dict[str, Any] = {}
    for key in [key for key in content if key in known]:
        mistake = known[key].mistake(content[key])
        mistakes += [f"{key}: {mistake}"] if mistake else []
        given |= {} if mistake else {key: content[key]}
    strange = [key for key in content if key not in known and key not in PARTS]
    mistakes += [
        f"{key!s:.60}: {unknown('key', str(key), [*known, *PARTS])}" for key in strange[:NAMED]
    ]
    mistakes += more(len(strange), "unknown keys")
    mistakes += _name_mistakes(content, given.get("name", ""))
    try:
        data.check_name(given.get("dataset", "digits"))
    except EdgebenchError as error:
        mistakes.append(f"dataset: {error}")
    odd = [name for name in given.get("analysis") or () if name not in ANALYSES]
    mistakes += [f"analysis: {unknown(ANALYSES.kind, name, ANALYSES)}" for name in odd[:NAMED]]
    mistakes += more(len(odd), "analysis: unknown names")
    return Header(**given)


def _name_mistakes(content: Mapping[str, Any], name: str) -> list[str]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        said = f"{shown(content['name'])} should be" if "name" in content else "is missing; write"
        return [f"name: {said} letters, digits, '-', '_' and '.', as in 'vgg-vs-gap'"]
    if len(name) > LONGEST_NAME:
        return [f"name: {shown(name)} has {len(name):,} letters; {LONGEST_NAME} are the most"]
    return []


def _objectives(content: Any, mistakes: list[str]) -> tuple[Objective, ...]:
    if not isinstance(content, list) or not content:
        mistakes.append("metrics: write a list, as in [{name: val/accuracy_best, goal: maximize}]")
        return ()
    found: list[Objective] = []
    if len(content) > NAMED:
        mistakes.append(f"metrics: {len(content):,} are sought; {NAMED} are the most")
    for index, entry in enumerate(content[:NAMED]):
        path = f"metrics[{index}]"
        if not isinstance(entry, dict):
            mistakes.append(f"{path}: write {{name: ..., goal: ...}}")
            continue
        mistakes += unknown_keys(entry, ("name", "goal"), path)
        name, goal = entry.get("name"), entry.get("goal")
        if isinstance(name, str) and name.startswith("test/"):
            mistakes.append(
                f"{path}.name: {quoted(name)} is sealed: a search never reads the test split; the "
                "nearest valid value is 'val/accuracy_best'"
            )
        elif not metric_of(str(name)).searched:
            mistakes.append(f"{path}.name: {unknown('metric', str(name), searched())}")
        if goal not in get_args(Goal):
            mistakes.append(f"{path}.goal: {unknown('goal', str(goal), get_args(Goal))}")
        if any(other.name == name for other in found):
            mistakes.append(f"{path}.name: {quoted(name)} stands twice")
        found.append(Objective(str(name), "minimize" if goal == "minimize" else "maximize"))
    return tuple(found)


def _budget(content: Any, mistakes: list[str]) -> Budget | None:
    if content is None:
        return None
    if not isinstance(content, dict) or not content:
        mistakes.append("budget: write {target: BOARD} or limits, as in {rom_bytes: 1000000}")
        return None
    mistakes += unknown_keys(content, ("target", "dtype", "runtime", *limitable()), "budget")
    runtime = str(content.get("runtime", CONVENTION))
    if runtime not in CONVENTIONS:
        mistakes.append(f"budget.runtime: {unknown('convention', runtime, CONVENTIONS)}")
        runtime = CONVENTION
    dtype = content.get("dtype", "float32")
    if dtype not in get_args(Dtype):
        mistakes.append(f"budget.dtype: {unknown('dtype', str(dtype), get_args(Dtype))}")
        dtype = "float32"
    board = None
    if "target" in content:
        try:
            board = load_target(str(content["target"]))
        except EdgebenchError as error:
            mistakes.append(f"budget.target: {error}")
    limits = {metric.key: most for metric, most in board.limits(dtype)} if board else {}
    for name, metric in limitable().items():
        if name in content:
            kind = (
                Annotated[float, Gt(0)] if metric.unit == "milliseconds" else Annotated[int, Ge(1)]
            )
            mistake = Option(name, kind, None).mistake(content[name])
            mistakes += [f"budget.{name}: {mistake}"] if mistake else []
            limits |= {} if mistake else {_of_board(metric, dtype): content[name]}
    return Budget(limits, board.name if board else None, board, runtime)


def _of_board(metric: Metric, dtype: Dtype) -> str:
    """Return the key of a limit: a time is of the model that ships, as the board's memories are."""
    return (
        metric_of(in_dtype(metric.name, dtype)).key if metric.unit == "milliseconds" else metric.key
    )


def _check_latency(
    objectives: Sequence[Objective], budget: Budget | None, mistakes: list[str]
) -> None:
    """Name the sought or limited times that no candidate has an estimate of."""
    if any(mistake.startswith("budget.target:") for mistake in mistakes):
        return
    places = {goal.name: f"metrics[{i}].name" for i, goal in enumerate(objectives)}
    places |= {m.name: f"budget.{m.key}" for m, _ in limited(budget.limits if budget else None)}
    for name, place in places.items():
        metric = metric_of(name)
        if not metric.footprint or metric.unit != "milliseconds":
            continue
        if budget is None or budget.board is None:
            mistakes.append(
                f"{place}: '{metric.key}' is of a board; write budget: {{target: BOARD}}"
            )
            continue
        refusal = latency_refusal(budget.board, metric.dtype or "float32", budget.runtime)
        written = metric.key if place.startswith("budget") else name
        nearest = (
            f"; the nearest valid value is '{written}{INT8}'" if metric.dtype != "int8" else ""
        )
        mistakes += [f"{place}: no estimate: {refusal}{nearest}"] if refusal else []


def _int8(
    content: Any, objectives: Sequence[Objective], budget: Budget | None, mistakes: list[str]
) -> bool:
    named = [objective.name for objective in objectives] + list(budget.limits if budget else ())
    wanted = [name for name in named if name.endswith(INT8)]
    if content is None:
        return bool(wanted)
    if not isinstance(content, dict):
        mistakes.append("export: write {int8: true} or {int8: false}")
        return False
    mistakes += unknown_keys(content, ("int8",), "export")
    asked = content.get("int8", bool(wanted))
    if not isinstance(asked, bool):
        mistakes.append(f"export.int8: {shown(asked)} should be true or false")
        return False
    if wanted and not asked:
        mistakes.append(f"export.int8: is false, but '{wanted[0]}' needs the int8 model")
    return bool(asked)
