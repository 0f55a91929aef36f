"""The report as one document: the front, the front on boards, the trials, how to read them."""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from edgebench.markup import escaped
from edgebench.metrics import INT8, deciding, estimated, limited, metric_of
from edgebench.record import Row, State, StudyRecord
from edgebench.report.boards import Board, fit_matrix
from edgebench.report.front import MEMBERS_SHOWN, covered, expected_gain, shown_members
from edgebench.report.intervals import tied, too_few, wilson
from edgebench.report.rows import (
    as_json,
    axes_shown,
    both_recorded,
    exact,
    images_behind,
    listed,
    metrics_shown,
    trials,
)
from edgebench.report.table import render
from edgebench.units import interval, label, quantity, text

MEMBERS_ABREAST = 6  # columns of the front's table before it continues below


def table_one(record: StudyRecord) -> list[dict[str, object]]:
    """Return the front in the shape of a published comparison: a row a metric, a column a member.

    Members stand in order of the first objective, best first, the best `MEMBERS_SHOWN` of them; the
    interval of an accuracy and the members it ties with stand under it.
    """
    members = shown_members(record)

    def across(title: str, cell: Callable[[Row], object]) -> dict[str, object]:
        return {"": title, **{row.name: cell(row) for row in members}}

    rows = [
        across(short, partial(_param, axis=axis))
        for axis, short in axes_shown(record.rows).items()
        if any(axis in row.params for row in members)
    ]
    for name in metrics_shown(record):
        rows.append(across(label(name), partial(_metric, name=name)))
        upper = deciding(metric_of(name))
        if upper.unit == "milliseconds" and any(upper.name in row.metrics for row in members):
            rows.append(across(upper.title, partial(_metric, name=upper.name)))
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


def notes(record: StudyRecord) -> list[str]:
    """Return what must be known to read the numbers, one sentence or two a note."""
    counts = Counter(row.state for row in record.rows)
    goals = ", ".join(f"{goal.goal} {label(goal.name)}" for goal in record.objectives)
    found = ", ".join(f"{number} {state}" for state, number in counts.items()) or "none yet"
    lines = [f"Objectives: {goals}. Trials: {found}."]
    members = len(record.front())
    if members > MEMBERS_SHOWN:
        first = label(record.objectives[0].name)
        lines.append(
            f"The front has {members:,} members; tables show the {MEMBERS_SHOWN} that are best in "
            f"{first}. All of them: the formats csv and json."
        )
    if record.dataset:
        sizes = ", ".join(f"{size} {name} images" for name, size in record.split_sizes.items())
        lines.append(f"Data set: {record.dataset}{f' ({sizes})' if sizes else ''}.")
        few = too_few(record.split_sizes.get("validation", 0)) if sizes else None
        lines += [few] if few else []
        lines += [f"Files of the data set: {'; '.join(record.omitted)}."] if record.omitted else []
    if record.budget:
        bounds = limited(record.budget)
        board = f" of {record.target}" if record.target else ""
        said = (f"{estimated(one).title} {most:,} {one.sign}".strip() for one, most in bounds)
        judged = "; judged by the upper figures" if any(one.estimate for one, _ in bounds) else ""
        lines.append(f"Budget{board}: {', '.join(said)}{judged}.")
    if record.convention or record.provenance:
        int8 = record.provenance_int8 if record.dtype == "int8" else ""
        source = int8 or record.provenance
        named = f"({record.convention}:" in source  # a provenance names its convention
        parts = [part for part in (source, "" if named else record.convention) if part]
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
    if members:
        share = covered(record.rows, record.objectives, record.budget)
        trained = sum(row.state in (State.FINISHED, State.PRUNED) for row in record.rows)
        gain = expected_gain(
            record.rows, record.objectives, record.budget, trained=trained, more=trained
        )
        lines.append(
            f"Hypervolume: the front covers {100 * share:.2f} % of what could be sought; as many "
            f"trials again may add {100 * gain:.2f} %."
        )
    repeated = [row for row in record.rows if "repeats/count" in row.metrics]
    if repeated:
        lines.append(
            f"Repeats: the accuracies of {len(repeated)} trials are means over seeds "
            "(repeats/count, with Student's 95 % interval, repeats/low to repeats/high)."
        )
    lines += record.remarks
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
    columns: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Return the whole report in a text format (table or markdown), or its rows (csv or json).

    Its sections are the front, the front on boards, the trials, and how to read them. Where many
    trials were refused they are counted (`listed`), unless ``everything`` is asked for; csv and
    json always have them all. A terminal of ``width`` columns chooses what stands abreast, and
    ``columns`` chooses those of the trials: by their titles, or by the names of what is recorded.

    Raises:
        EdgebenchError: A column that the study does not have, or an unknown format.
    """
    if format == "json":
        return json.dumps(as_json(record), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return render(exact(record), "csv")
    written = partial(render, format=format, units=units, width=width)
    matrix = _abreast(fit_matrix(record, boards), 3, units, width) if boards else ()
    on_boards = f"The front on boards, {record.dtype}"
    sections = [
        [written(part, title="The front") for part in _abreast(table_one(record), 1, units, width)],
        [written(part, title=on_boards) for part in matrix],
        _trials_section(record, written, units, width, columns, everything=everything),
    ]
    if not sections[0]:
        sections[0] = ["No trial is on the front: none finished within the budget.\n"]
    if format == "table":
        sections.reverse()  # a terminal shows the end, a document its beginning
    said = notes(record)
    if format == "markdown":
        said = [escaped(line) for line in said]
    lines = [_filled(f"- {line}", width) for line in said]
    return "\n".join([*itertools.chain(*sections), "".join(lines)])


def _filled(line: str, width: int | None) -> str:
    """Return a sentence as lines of at most ``width`` characters, ending in a newline."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, width or sys.maxsize, subsequent_indent=indent) + "\n"


def _trials_section(
    record: StudyRecord,
    written: Callable[..., str],
    units: str,
    width: int | None,
    asked: Sequence[str],
    *,
    everything: bool,
) -> list[str]:
    """Return the table of the trials, and what it leaves out: refused ones, columns."""
    title, left_out = f"Trials of {record.study}", []
    rows, refused = (record.rows, "") if everything else listed(record)
    if refused:
        title += ", without the refused"
        left_out.append(f"{refused} All rows: --all, or the formats csv and json.")
    lines = trials(record, rows, asked)
    columns = list(asked) or _fitting_columns(lines, record, units, width)
    if lines and len(columns) < len(lines[0]) and not asked:
        missing = ", ".join(key for key in lines[0] if key not in columns)
        left_out.append(f"No room for {missing}: a wider terminal, or csv and json, have them.")
    notes_below = [_filled(line, width) for line in left_out]
    return ["\n".join([written(lines, columns=columns, title=title), *notes_below])]


def _fitting_columns(
    rows: Sequence[Mapping[str, object]], record: StudyRecord, units: str, width: int | None
) -> list[str]:
    """Return the columns of a trials table for a terminal; the last one is wrapped anyway.

    What is neither varied, nor sought, nor limited goes first, then the rest from the right.
    """
    keys = list(rows[0]) if rows else []
    if width is None:
        return keys
    asked = [goal.name for goal in record.objectives]
    asked += [estimated(metric).name for metric, _ in limited(record.budget)]
    figures = [label(name) for name in metrics_shown(record)]
    spare = [name for name in figures if name not in map(label, asked)]
    wide = _widths(rows, units)
    for name in [*spare, *reversed([key for key in keys[1:-2] if key not in spare])]:
        if sum(wide[key] + 2 for key in keys[:-1]) + 4 <= width:
            break
        keys.remove(name)
    return keys


def _widths(rows: Sequence[Mapping[str, object]], units: str) -> dict[str, int]:
    """Return how many characters each column takes."""
    return {
        key: max(len(key), *(len(text(row.get(key), units)) for row in rows)) for key in rows[0]
    }


def _abreast(
    rows: list[dict[str, object]], fixed: int, units: str, width: int | None
) -> Iterator[list[dict[str, object]]]:
    """Cut a wide table into tables of at most `MEMBERS_ABREAST` columns after the ``fixed``.

    In a terminal of ``width`` columns fewer stand abreast, at least one.
    """
    if not rows:
        return
    keys, wide = list(rows[0]), _widths(rows, units)
    begun = keys[:fixed]
    chosen = list(begun)
    for key in keys[fixed:]:
        over = width is not None and sum(wide[one] + 2 for one in (*chosen, key)) - 2 > width
        if len(chosen) == fixed + MEMBERS_ABREAST or (over and len(chosen) > fixed):
            yield [{one: row[one] for one in chosen} for row in rows]
            chosen = list(begun)
        chosen.append(key)
    if len(chosen) > fixed:
        yield [{one: row[one] for one in chosen} for row in rows]


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
