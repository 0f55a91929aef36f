"""List all that a sweep file may say: keys, metrics, axes, and what figures may be told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgebench.space import Place


FIGURES, FILE, METRICS = "figures", "file", "metrics"


@click.command()
@click.argument("section", required=False, metavar="[file|metrics|model|train|data|figures]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
)
def command(*, section: str | None, format_: str) -> None:
    """List the axes that `parameters` of a sweep file may have, those of one SECTION if named.

    Of the other SECTIONs, file lists the keys of a sweep file, metrics what it may seek, and
    figures what each kind of figure may be told.

    An option that belongs to a choice, as train.momentum does to train.optimizer: sgd, exists
    where that choice is made. Where others are tried too, the file says so by when, as here:

    \b
      name: seeds
      dataset: digits
      method: grid
      metrics: [{name: val/accuracy_best, goal: maximize}]
      parameters:
        model.family: lenet5
        train.epochs: {values: [1, 2, 4]}
        train.seed: {values: [0, 1]}
        train.optimizer: {values: [sgd, adamw]}
        train.momentum: {value: 0.9, when: {train.optimizer: sgd}}
      figures:
        - {name: epochs, kind: line, x: train.epochs, y: val/accuracy_best,
           by: train.optimizer, title: Two optimizers over the epochs}
    """  # noqa: D301 - the escape is click's mark of lines that stay as they are
    from edgebench.cli._listing import width
    from edgebench.errors import EdgebenchError, unknown
    from edgebench.report import render
    from edgebench.space import SECTIONS

    others = {FILE: file_keys, METRICS: sought_metrics, FIGURES: figure_options}
    if section is not None and section not in (*SECTIONS, *others):
        raise EdgebenchError(unknown("section", section, (*SECTIONS, *others)))
    if section in others:
        rows = list(others[section]())
    else:
        rows = [row for name in SECTIONS if section in (None, name) for row in axes_of(name)]
    if format_ == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(render([_flat(row) for row in rows], format_, width=width()), nl=False)
    if section is None and format_ == "table":
        click.echo(f"also: edgebench options {' | '.join(others)} | --help", err=True)


def file_keys() -> Iterator[dict[str, Any]]:
    """Yield the keys of a sweep file as JSON objects like an axis's."""
    from edgebench.analysis import ANALYSES
    from edgebench.cli._listing import about_option, default_of, type_of
    from edgebench.registry import options
    from edgebench.search import EARLY_STOPPING
    from edgebench.space import PARTS, Header

    members: dict[str, Iterable[str]] = {"early_stop": EARLY_STOPPING, "analysis": ANALYSES}
    for option in options(Header).values():
        said = about_option(Header, option.name)
        yield {
            "axis": option.name,
            "type": type_of(option),
            "choices": list(members.get(option.name, option.choices())),
            "bounds": option.bounds,
            "default": "" if "by default" in said else default_of(option),
            "of": {},
            "about": said,
        }
    for name, said in PARTS.items():
        kind = "list" if name in ("metrics", "figures") else "mapping"
        yield {"axis": name, "type": kind, "choices": [], "bounds": "", "default": "", "of": {},
               "about": said}  # fmt: skip


def sought_metrics() -> Iterator[dict[str, Any]]:
    """Yield the figures that `metrics` may seek, and that `budget` may limit, by name."""
    from edgebench.metrics import METRICS as TABLE
    from edgebench.metrics import limits

    limited = limits()
    for name, metric in TABLE.items():
        if metric.searched:
            said = [metric.title]
            said += [f"budget.{metric.key} limits it"] if metric.key in limited else []
            yield {"axis": name, "type": metric.unit, "choices": [], "bounds": "",
                   "default": metric.goal or "", "of": {}, "about": "; ".join(said)}  # fmt: skip


def figure_options() -> Iterator[dict[str, Any]]:
    """Yield what each kind of figure of a sweep file may be told, as JSON objects like an axis's.

    The type of an option that names an axis, a metric or a series says so.
    """
    from edgebench.cli._listing import MUST, about_option, default_of, type_of
    from edgebench.metrics import METRICS as TABLE
    from edgebench.registry import options
    from edgebench.report import FIGURE_KINDS, FIGURE_OPTIONS, Names
    from edgebench.space import FIGURE_KEYS

    kinds = list(FIGURE_KINDS)
    for name, said in FIGURE_KEYS.items():
        kind = {"kind": "choice", "where": "mapping"}.get(name, "text")
        yield {"axis": f"{FIGURES}.{name}", "type": kind,
               "choices": kinds if name == "kind" else [], "bounds": "",
               "default": MUST if name in ("name", "kind") else "",
               "of": {f"{FIGURES}.kind": kinds}, "about": said}  # fmt: skip
    epochs = [metric.name for metric in TABLE.values() if metric.per_epoch]
    for kind, draw in FIGURE_KINDS.items():
        for option in options(draw).values():
            named = [one.value for one in option.type_metadata if isinstance(one, Names)]
            yield {
                "axis": f"{FIGURES}.{option.name}",
                "type": "".join(named) or type_of(option),
                "choices": epochs if Names.SERIES.value in named else list(option.choices()),
                "bounds": option.bounds,
                "default": default_of(option),
                "of": {f"{FIGURES}.kind": [kind]},
                "about": FIGURE_OPTIONS.get(option.name) or about_option(draw, option.name),
            }


def axes_of(section: str) -> Iterator[dict[str, Any]]:
    """Yield the axes of a section as JSON objects.

    An axis that several choices bring with the same type, bounds and default is one object.
    """
    from edgebench.space import places

    found: dict[str, dict[str, Any]] = {}
    for name, those in places(section).items():
        for place in those:
            row = _axis(section, place)
            key = json.dumps([name, {**row, "about": ""}], default=str)
            merged = found.setdefault(key, {**row, "of": {}, "about": row["about"]})
            for axis, member in place.members[-1:]:
                members = merged["of"].setdefault(axis, [])
                members += [] if member in members else [member]
    yield from found.values()


def _axis(section: str, place: Place) -> dict[str, Any]:
    from edgebench.cli._listing import about_option, default_of, type_of

    option = place.option
    registry = option.registry
    said = about_option(place.factory, option.name)
    if registry is not None:  # what it chooses is in the values: "One of ..." says nothing more
        more = said.partition("; ")[2] if said.startswith("One of ") else said
        said = "; ".join(part for part in (f"the {registry.kind}", more) if part)
    return {
        "axis": f"{section}.{option.name}",
        "type": type_of(option),
        "choices": list(option.choices()),
        "bounds": option.bounds,
        "default": default_of(option),
        "of": {},
        "about": said,
    }


def _flat(row: dict[str, Any]) -> dict[str, object]:
    """Return an axis as a row of text: its choices or bounds, and the choices it belongs to."""
    owners = (f"{axis}: {', '.join(members)}" for axis, members in row["of"].items())
    default = row["default"]
    return {
        "axis": row["axis"],
        "type": row["type"],
        "values": ", ".join(map(str, row["choices"])) or row["bounds"],
        "default": "none" if default is None else str(default),
        "of": "; ".join(owners),
        "about": row["about"],
    }
