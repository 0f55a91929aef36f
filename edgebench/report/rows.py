"""A study's record as rows: which columns it has, one row a trial, and all of it as JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence

from edgebench.errors import EdgebenchError, unknown
from edgebench.limits import Verdict, limit_named
from edgebench.metrics import METRICS, estimated, in_dtype, limited, metric_of
from edgebench.record import Row, State, StudyRecord
from edgebench.report.table import plain
from edgebench.units import label, quantity

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

    First the objectives that are measured on images (else the accuracy), each with its figure on
    the test split where that was opened, then the figures that the table of metrics shows, then
    what the budget limits and the other objectives.
    """
    present = {name for row in record.rows for name in row.metrics}
    goals = [objective.name for objective in record.objectives]
    first = [name for name in goals if metric_of(name).split] or [in_dtype(FIRST, record.dtype)]
    names = [in_dtype(metric.name, record.dtype) for metric in METRICS.values() if metric.shown]
    bounds = [estimated(metric).name for metric, _ in limited(record.budget)]
    tested = [name for one in first for name in (one, *{_on_test(one)} & present)]
    names = [*tested, *names, *bounds, *goals]
    names = [_recorded(name, present) for name in names]
    return [name for name in dict.fromkeys(names) if name in present or name in goals]


def _on_test(name: str) -> str:
    """Return the name of a validation figure on the test split: ``test/balanced_accuracy_int8``."""
    return "test/" + name.removeprefix("val/").removesuffix("_best")


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


def trials(
    record: StudyRecord, rows: Sequence[Row] | None = None, asked: Sequence[str] = ()
) -> list[dict[str, object]]:
    """Return one row a trial: axes that vary, metrics, whether it fits or why not, front mark.

    ``rows`` narrows it to some of the study's trials, with the study's columns. What is ``asked``
    for beyond these columns, an axis or a figure by its recorded name, is added.

    Raises:
        EdgebenchError: Something that is asked for stands in no trial.
    """
    axes, metrics = axes_shown(record.rows), metrics_shown(record)
    members = {row.trial for row in record.front()}
    found = [
        {
            "trial": row.trial,
            **{short: row.params.get(axis) for axis, short in axes.items()},
            **{label(name): quantity(name, row.metrics.get(name)) for name in metrics},
            "front": "●" if row.trial in members else "",
            "fits": verdict(row, record),
        }
        for row in (record.rows if rows is None else rows)
    ]
    known = {name for row in record.rows for name in (*row.params, *row.metrics)}
    columns = dict.fromkeys(key for line in found for key in line)
    mistakes = [
        f"--columns: {unknown('column', name, {*columns, *known})}"
        for name in asked
        if columns and name not in columns and name not in known
    ]
    if mistakes:
        raise EdgebenchError(*mistakes)
    for line, row in zip(found, record.rows if rows is None else rows, strict=True):
        for name in asked:
            if name not in columns:
                value = row.params.get(name, quantity(name, row.metrics.get(name)))
                line[name] = value
    return found


def refusals(record: StudyRecord) -> dict[str, int]:
    """Return how many trials were refused by which figure, most first.

    Where a trial is over several limits, the one that its reason names first counts; ``"other"``
    are those that could not be built.
    """
    reasons = (row.reason or "" for row in record.rows if row.state == State.REFUSED)
    return dict(Counter(limit_named(reason) or "other" for reason in reasons).most_common())


def listed(record: StudyRecord) -> tuple[Sequence[Row], str]:
    """Return the trials that a table for people lists, and a sentence on those it leaves out.

    More than `REFUSED_SHOWN` refused ones would hide the others: they are counted.
    """
    refused = sum(row.state == State.REFUSED for row in record.rows)
    if refused <= REFUSED_SHOWN:
        return record.rows, ""
    causes = ", ".join(f"{count:,} by {name}" for name, count in refusals(record).items())
    others = [row for row in record.rows if row.state != State.REFUSED]
    return others, f"{refused:,} trials were refused before training: {causes}."


def verdict(row: Row, record: StudyRecord) -> str:
    """Say in a few words what became of a trial: ``yes``, ``may fit``, ``no`` or its state."""
    if row.feasible:
        return "yes" if record.budget else "no budget set"
    if row.state == State.FINISHED:
        reason = row.reason or ""
        return reason if reason.startswith(Verdict.MAY_FIT) else f"no: {reason}"
    return f"{row.state}: {row.reason}" if row.reason else row.state


def images_behind(metric: str, record: StudyRecord) -> int:
    """Return how many images a share was counted on; 0 for another figure or where not known."""
    known = metric_of(metric)
    return record.split_sizes.get(known.split or "", 0) if known.binomial else 0


def both_recorded(record: StudyRecord) -> bool:
    """Tell whether the study has figures of the float32 and of the int8 model."""
    recorded = {name for row in record.rows for name in row.metrics}
    return len({metric_of(name).dtype for name in recorded} - {None}) > 1


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
