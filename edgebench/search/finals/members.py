"""What retraining says of the members of a front: means, intervals, ties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.record import Row
from edgebench.report import Mean, student, welch_tied
from edgebench.space import INT8

VALIDATION, TEST = "val/accuracy_best", "test/accuracy"


@dataclass(frozen=True)
class Member:
    """A member of the front with its final runs by seed; ``int8`` where it ships quantised too."""

    row: Row
    runs: Mapping[int, Row]
    int8: bool

    @property
    def finished(self) -> list[Row]:
        """The final runs that finished."""
        return [run for run in self.runs.values() if run.state == "finished"]

    @property
    def failed(self) -> dict[int, str]:
        """The seeds that did not finish, each with its reason in one line."""
        left = {seed: run for seed, run in self.runs.items() if run.state != "finished"}
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
    """A finalised study: the openings of its test split, and the members by first objective."""

    study: str
    openings: Sequence[Mapping[str, Any]]
    members: Sequence[Member]

    def ties(self, member: Member) -> list[int] | None:
        """Return the trials whose test accuracy cannot be told from the member's (Welch, 95 %).

        None where nothing can be said: the member, or every other one, has fewer than two seeds.
        """
        others = [other for other in self.members if other is not member]
        told = {o.row.trial: welch_tied(member.shares(TEST), o.shares(TEST)) for o in others}
        if len(member.shares(TEST)) < 2 or (told and set(told.values()) == {None}):
            return None
        return [trial for trial, tied in told.items() if tied]
