"""What retraining says of the members of a front: means, intervals, ties; as data and as text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.metrics import INT8, Dtype, in_dtype
from edgebench.record import Row, State
from edgebench.report.means import Mean, student, welch_tied
from edgebench.report.table import plain, render
from edgebench.units import Share, interval, label

VALIDATION, TEST = "val/accuracy_best", "test/accuracy"


@dataclass(frozen=True)
class Member:
    """A member of the front with its final runs by seed; ``int8`` where it ships quantized too."""

    row: Row
    runs: Mapping[int, Row]
    int8: bool

    @property
    def finished(self) -> list[Row]:
        """The final runs that finished."""
        return [run for run in self.runs.values() if run.state == State.FINISHED]

    @property
    def failed(self) -> dict[int, str]:
        """The seeds that did not finish, each with its reason in one line."""
        left = {seed: run for seed, run in self.runs.items() if run.state != State.FINISHED}
        return {seed: (run.reason or run.state).splitlines()[0] for seed, run in left.items()}

    def shares(self, metric: str) -> list[float]:
        """Return an accuracy of each final run that finished."""
        return [run.metrics[metric] for run in self.finished if metric in run.metrics]

    def mean(self, metric: str) -> Mean | None:
        """Return the mean of an accuracy over the seeds that finished; None where none did."""
        shares = self.shares(metric)
        return student(shares) if shares else None

    def figures(self) -> dict[str, float]:
        """Return the metrics that stand on the member's own run.

        An interval that one seed does not have is NaN where an earlier opening had one.
        """
        figures: dict[str, float] = {"final/seeds": len(self.finished)}
        if validation := self.mean(VALIDATION):
            figures["final/val_accuracy_mean"] = validation.mean
        for suffix in ("", INT8) if self.int8 else ("",):
            if mean := self.mean(TEST + suffix):
                figures[f"final/test_accuracy_mean{suffix}"] = mean.mean
                for end, value in (("low", mean.low), ("high", mean.high)):
                    name = f"final/test_accuracy_{end}{suffix}"
                    if value is not None or name in self.row.metrics:
                        figures[name] = math.nan if value is None else value
        return figures


@dataclass(frozen=True)
class Finals:
    """A finalized study: the openings of its test split, and the members by first objective.

    ``dtype`` is the data type of the model that ships: its test accuracies make the ties.
    """

    study: str
    openings: Sequence[Mapping[str, Any]]
    members: Sequence[Member]
    dtype: Dtype = "float32"

    def ties(self, member: Member) -> list[int] | None:
        """Return the trials whose test accuracy cannot be told from the member's (Welch, 95 %).

        None where nothing can be said: the member, or every other one, has fewer than two seeds.
        """
        deployed = in_dtype(TEST, self.dtype)
        mine = member.shares(deployed)
        others = [other for other in self.members if other is not member]
        told = {other.row.trial: welch_tied(mine, other.shares(deployed)) for other in others}
        if len(mine) < 2 or (told and set(told.values()) == {None}):
            return None
        return [trial for trial, tied in told.items() if tied]


def finals_document(
    finals: Finals,
    format: str,  # noqa: A002 - the name of the option that it serves
) -> str:
    """Return the comparison as text: its rows, and with a table how to read them."""
    if format == "json":
        rows = [member_as_json(finals, member) for member in finals.members]
        content = {"study": finals.study, "openings": list(finals.openings), "rows": rows}
        return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return render([_flat(member_as_json(finals, member)) for member in finals.members], "csv")
    rows = [_shown(finals, member) for member in finals.members]
    lines = "".join(f"- {line}\n" for line in finals_notes(finals))
    return f"{render(rows, format, title=f'The front of {finals.study}, retrained')}\n{lines}"


def member_as_json(finals: Finals, member: Member) -> dict[str, object]:
    """Return a member with exact numbers: its means with their intervals, its runs, its ties."""
    metrics = _metrics(member)
    means = {name: member.mean(metric) for name, metric in metrics.items()}
    return {
        "trial": member.row.trial,
        "run_id": member.row.run_id,
        "name": member.row.name,
        "seeds": len(member.finished),
        **{name: _interval_of(mean) for name, mean in means.items()},
        "ties_with": finals.ties(member),
        "runs": [
            {"seed": seed, "run_id": run.run_id, "state": run.state, "reason": run.reason}
            | {name: run.metrics.get(metric) for name, metric in metrics.items()}
            for seed, run in member.runs.items()
        ],
    }


def finals_notes(finals: Finals) -> list[str]:
    """Return what must be known to read the table."""
    last = finals.openings[-1]
    count = len(finals.openings)
    seeds = ", ".join(map(str, last["seeds"]))
    lines = [
        (
            f"Trained again with seeds {seeds}, which the search did not use; after that the test "
            f"split was opened on {last['when']}{f', opening {count} of {count}' * (count > 1)}."
        ),
        (
            "Intervals: 95 % of Student's t for the mean over seeds. They tell how much training "
            "varies, not how much another set of test images would."
        ),
        (
            f"Ties: {label(in_dtype(TEST, finals.dtype))}, where the difference of two members has "
            "a 95 % interval (Welch) that includes zero."
        ),
    ]
    for member in finals.members:
        failures = member.failed.items()
        lines += [f"{member.row.name}, seed {seed} failed: {reason}." for seed, reason in failures]
    return lines


def _metrics(member: Member) -> dict[str, str]:
    """Return the compared accuracies by their names in the JSON."""
    found = {"val_accuracy": VALIDATION, "test_accuracy": TEST}
    return found | ({f"test_accuracy{INT8}": TEST + INT8} if member.int8 else {})


def _interval_of(mean: Mean | None) -> dict[str, float | None] | None:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high} if mean else None


def _flat(row: dict[str, object]) -> dict[str, object]:
    """Return a row of the JSON as one of a CSV: an interval is three columns, runs are left out."""
    found: dict[str, object] = {}
    for name, value in row.items():
        if "accuracy" in name:
            parts = value if isinstance(value, dict) else {}
            found |= {f"{name}_{end}": parts.get(end) for end in ("mean", "low", "high")}
        elif name == "ties_with":
            found[name] = " ".join(map(str, value)) if isinstance(value, list) else None
        elif name != "runs":
            found[name] = value
    return found


def _shown(finals: Finals, member: Member) -> dict[str, object]:
    ties = finals.ties(member)
    row: dict[str, object] = {"trial": member.row.trial, "name": member.row.name}
    row["seeds"] = len(member.finished)
    titles = ("validation", "test", "test int8")
    for title, metric in zip(titles, _metrics(member).values(), strict=False):
        mean = member.mean(metric)
        row[title] = Share(mean.mean) if mean else None
        row[f"{title}, 95 %"] = interval(mean.low, mean.high) if mean else None
    row["ties with"] = None if ties is None else ", ".join(map(str, ties)) or "none"
    return row
