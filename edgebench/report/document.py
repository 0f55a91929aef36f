"""A study's record as sections of rows, and those as one document: the trade-off table."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

from edgebench.metrics import INT8, METRICS, in_dtype, limited, metric_of
from edgebench.record import Row, State, StudyRecord
from edgebench.report.boards import Board, fit_matrix
from edgebench.report.front import ranked
from edgebench.report.intervals import tied, wilson
from edgebench.report.table import plain, render
from edgebench.units import interval, label, limit_named, quantity

MEMBERS_ABREAST = 6  # columns of the front's table before it continues below
REFUSED_SHOWN = 20  # refused rows of a table before they are counted instead
FIRST = "val/accuracy_best"  # what is compared where no objective is an accuracy


def as_json(record: StudyRecord) -> dict[str, object]:
    """Return ``{study, objectives, rows}`` with exact numbers, as ``report --format json``."""
    members = {row.trial for row in record.front()}
    return {
        "study": record.study,
        "objectives": [dataclasses.asdict(objective) for objective in record.objectives],
        "rows": [
            {
                "trial": row.trial,
                "run_id": row.run_id,
                "state": row.state,
                "reason": row.reason,
                "params": plain(row.params),
                "metrics": {k: plain(quantity(k, v)) for k, v in row.metrics.items()},
                "on_front": row.trial in members,
            }
            for row in record.rows
        ],
    }


def metrics_shown(record: StudyRecord) -> list[str]:
    """Return the metrics that the tables show, all of the deployed model where it has them.

    First the objectives that are measured on images (else the accuracy), then the figures that
    the table of metrics shows, then what the budget limits and the other objectives.
    """
    present = {name for row in record.rows for name in row.metrics}
    goals = [objective.name for objective in record.objectives]
    first = [name for name in goals if metric_of(name).split] or [in_dtype(FIRST, record.dtype)]
    names = [in_dtype(metric.name, record.dtype) for metric in METRICS.values() if metric.shown]
    names = [*first, *names, *(metric.name for metric, _ in limited(record.budget)), *goals]
    names = [_recorded(name, present) for name in names]
    return [name for name in dict.fromkeys(names) if name in present or name in goals]


def _recorded(name: str, present: Collection[str]) -> str:
    """Return a figure as it is recorded: of the other data type where this one never is."""
    twin = metric_of(name).twin
    return twin if twin in present and name not in present else name


def axes_shown(rows: Sequence[Row]) -> dict[str, str]:
    """Return the family and the axes that vary, each with its column name (its last part)."""
    axes = list(dict.fromkeys(name for row in rows for name in row.params))
    varying = [
        axis
        for axis in axes
        if axis == "model.family" or len({repr(row.params.get(axis)) for row in rows}) > 1
    ]
    varying.sort(key=lambda axis: axis != "model.family")
    tails = [axis.rpartition(".")[2] for axis in varying]
    return {
        axis: tail if tails.count(tail) == 1 else axis
        for axis, tail in zip(varying, tails, strict=True)
    }


def trials(record: StudyRecord, rows: Sequence[Row] | None = None) -> list[dict[str, object]]:
    """Return one row a trial: axes that vary, metrics, whether it fits or why not, front mark.

    ``rows`` narrows it to some of the study's trials, with the study's columns.
    """
    axes, metrics = axes_shown(record.rows), metrics_shown(record)
    members = {row.trial for row in record.front()}
    return [
        {
            "trial": row.trial,
            **{short: row.params.get(axis) for axis, short in axes.items()},
            **{label(name): quantity(name, row.metrics.get(name)) for name in metrics},
            "front": "●" if row.trial in members else "",
            "fits": verdict(row, record),
        }
        for row in (record.rows if rows is None else rows)
    ]


def refusals(record: StudyRecord) -> dict[str, int]:
    """Return how many trials were refused by which figure, most first.

    Where a trial is over several limits, the one that its reason names first counts; ``"other"``
    are those that could not be built.
    """
    reasons = (row.reason or "" for row in record.rows if row.state == State.REFUSED)
    return dict(Counter(limit_named(reason) or "other" for reason in reasons).most_common())


def verdict(row: Row, record: StudyRecord) -> str:
    """Say in a few words what became of a trial: ``yes``, or the state with its reason."""
    if row.feasible:
        return "yes" if record.budget else "no budget set"
    state = "no" if row.state == "finished" else row.state
    return f"{state}: {row.reason}" if row.reason else state


def table_one(record: StudyRecord) -> list[dict[str, object]]:
    """Return the front in the shape of a published comparison: a row a metric, a column a member.

    Members stand in order of the first objective, best first; the interval of an accuracy and the
    members it ties with stand under it.
    """
    members = ranked(record.front(), record.objectives)

    def across(title: str, cell: Callable[[Row], object]) -> dict[str, object]:
        return {"": title, **{row.name: cell(row) for row in members}}

    rows = [
        across(short, partial(_param, axis=axis))
        for axis, short in axes_shown(record.rows).items()
        if any(axis in row.params for row in members)
    ]
    for name in metrics_shown(record):
        rows.append(across(label(name), partial(_metric, name=name)))
        images = images_behind(name, record)
        if images:
            measured = partial(_interval, metric=name, images=images)
            rows.append(across(f"{label(name)}, 95 % interval", measured))
            tying = partial(_ties, members=members, metric=name, images=images)
            rows.append(across(f"{label(name)} ties with", tying))
    retrained = {name for row in members for name in row.metrics if name.startswith("final/")}
    for suffix in ("", INT8):
        mean, title = f"final/test_accuracy_mean{suffix}", label(f"test/accuracy{suffix}")
        if mean in retrained:
            rows.append(across(label(mean), partial(_metric, name=mean)))
            between = partial(_seed_interval, suffix=suffix)
            rows.append(across(f"{title}, 95 % interval of the mean", between))
    if retrained:
        rows.append(across(label("final/seeds"), partial(_whole, name="final/seeds")))
    return rows if members else []


def images_behind(metric: str, record: StudyRecord) -> int:
    """Return how many images a share was counted on; 0 for another figure or where not known."""
    known = metric_of(metric)
    return record.split_sizes.get(known.split or "", 0) if known.binomial else 0


def both_recorded(record: StudyRecord) -> bool:
    """Tell whether the study has figures of the float32 and of the int8 model."""
    recorded = {name for row in record.rows for name in row.metrics}
    return len({metric_of(name).dtype for name in recorded} - {None}) > 1


def notes(record: StudyRecord) -> list[str]:
    """Return what must be known to read the numbers, one sentence or two a note."""
    counts = Counter(row.state for row in record.rows)
    goals = ", ".join(f"{goal.goal} {label(goal.name)}" for goal in record.objectives)
    found = ", ".join(f"{number} {state}" for state, number in counts.items()) or "none yet"
    lines = [f"Objectives: {goals}. Trials: {found}."]
    if record.dataset:
        sizes = ", ".join(f"{size} {name} images" for name, size in record.split_sizes.items())
        lines.append(f"Data set: {record.dataset}{f' ({sizes})' if sizes else ''}.")
    if record.budget:
        bounds = (f"{one.title} {most} {one.sign}".strip() for one, most in limited(record.budget))
        board = f" of {record.target}" if record.target else ""
        lines.append(f"Budget{board}: {', '.join(bounds)}.")
    if record.convention or record.provenance:
        parts = [part for part in (record.provenance, record.convention) if part]
        lines.append(f"Footprints: {'; '.join(parts)}.")
    if both_recorded(record):
        other = "float32" if record.dtype == "int8" else "int8"
        lines.append(
            f"Deployed as {record.dtype}: every footprint, fit and verdict is of that model; "
            f"--dtype {other} shows the other."
        )
    if any(record.split_sizes.values()):
        lines.append(
            "Ties: accuracies are said to tie where the lower one lies inside the 95 % Wilson "
            "interval of the higher one; a paired test on the same images could be sharper."
        )
    if any("final/seeds" in row.metrics for row in record.rows):
        lines.append(
            "Means over seeds: of the final runs of 'edgebench finalize', with Student's interval, "
            "which tells how much training varies; the search's own accuracy is its luckiest."
        )
    return lines


def document(
    record: StudyRecord,
    format: str,  # noqa: A002 - the name of the option that it serves
    *,
    units: str = "decimal",
    boards: Sequence[Board] = (),
    everything: bool = False,
    width: int | None = None,
) -> str:
    """Return the whole report in a text format (table or markdown), or its rows (csv or json).

    Its sections are the front, the front on boards, the trials, and how to read them. More than
    `REFUSED_SHOWN` refused trials are counted, unless ``everything`` is asked for; csv and json
    always have them all. In a terminal of ``width`` columns a reason is wrapped.
    """
    if format == "json":
        return json.dumps(as_json(record), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return render(exact(record), "csv")
    written = partial(render, format=format, units=units, width=width)
    matrix = _abreast(fit_matrix(record, boards), fixed=3) if boards else ()
    on_boards = f"The front on boards, {record.dtype}"
    sections = [
        [written(part, title="The front") for part in _abreast(table_one(record))],
        [written(part, title=on_boards) for part in matrix],
        _trials_section(record, written, everything=everything),
    ]
    if not sections[0]:
        sections[0] = ["No trial is on the front: none finished within the budget.\n"]
    if format == "table":
        sections.reverse()  # a terminal shows the end, a document its beginning
    lines = "".join(f"- {line}\n" for line in notes(record))
    return "\n".join([*itertools.chain(*sections), lines])


def _trials_section(
    record: StudyRecord, written: Callable[..., str], *, everything: bool
) -> list[str]:
    """Return the table of the trials, and how many more were refused where it leaves them out."""
    refused = [row for row in record.rows if row.state == State.REFUSED]
    title = f"Trials of {record.study}"
    if everything or len(refused) <= REFUSED_SHOWN:
        return [written(trials(record), title=title)]
    others = [row for row in record.rows if row.state != State.REFUSED]
    causes = ", ".join(f"{count:,} by {name}" for name, count in refusals(record).items())
    table = written(trials(record, others), title=f"{title}, without the refused")
    more = f"{len(refused):,} trials were refused before training: {causes}."
    return [f"{table}\n{more} All rows: --all, or the formats csv and json.\n"]


def exact(record: StudyRecord) -> list[dict[str, object]]:
    """Return one flat row a trial with the full names and exact numbers of the JSON."""
    rows = as_json(record)["rows"]
    assert isinstance(rows, list)  # noqa: S101 - for mypy: as_json returns plain JSON values
    return [
        {
            "trial": row["trial"],
            "run_id": row["run_id"],
            "state": row["state"],
            "reason": row["reason"],
            "on_front": row["on_front"],
            **row["params"],
            **row["metrics"],
        }
        for row in rows
    ]


def _abreast(rows: list[dict[str, object]], fixed: int = 1) -> Iterator[list[dict[str, object]]]:
    """Cut a wide table into tables of at most `MEMBERS_ABREAST` columns after the ``fixed``."""
    if not rows:
        return
    keys = list(rows[0])
    for start in range(fixed, len(keys), MEMBERS_ABREAST):
        chosen = [*keys[:fixed], *keys[start : start + MEMBERS_ABREAST]]
        yield [{key: row[key] for key in chosen} for row in rows]


def _param(row: Row, axis: str) -> object:
    return row.params.get(axis)


def _metric(row: Row, name: str) -> object:
    return quantity(name, row.metrics.get(name))


def _interval(row: Row, metric: str, images: int) -> str | None:
    if metric not in row.metrics:
        return None
    return interval(*wilson(row.metrics[metric], images))


def _seed_interval(row: Row, suffix: str) -> str | None:
    low, high = (row.metrics.get(f"final/test_accuracy_{end}{suffix}") for end in ("low", "high"))
    return interval(low, high)


def _whole(row: Row, name: str) -> int | None:
    return int(row.metrics[name]) if name in row.metrics else None


def _ties(row: Row, members: Sequence[Row], metric: str, images: int) -> str:
    mine = row.metrics.get(metric)
    others = [(other.trial, other.metrics.get(metric)) for other in members if other is not row]
    names = [
        str(trial)
        for trial, theirs in others
        if mine is not None and theirs is not None and tied(mine, theirs, images)
    ]
    return ", ".join(names) or "none"
