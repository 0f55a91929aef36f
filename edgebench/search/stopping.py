"""Early stopping: after each epoch of a trial, go on or stop.

A rule sees the curves as they grow, in the coordinator, where all trials are known. To add one,
register a factory that takes the sweep and the trials that were trained, a list that grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgebench.metrics import metric_of
from edgebench.record import Objective, Row, costs
from edgebench.registry import Registry
from edgebench.search.curves import ACCURACY, highest_end
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate
from edgebench.units import label, quantity, text


class Stopping(Protocol):
    """A rule that may stop a trial between two epochs."""

    def judge(
        self, config: TrialConfig, gate: Gate, curve: Sequence[Mapping[str, float]]
    ) -> str | None:
        """Return why the trial is to be stopped after the last epoch of ``curve``, or None."""


Rule = Callable[[Sweep, Sequence[Row]], Stopping | None]
EARLY_STOPPING: Registry[Rule] = Registry("early stopping rule")
"""Name -> ``rule(sweep, trained)``: the trials that finished or were stopped, with their curves;
one is added whenever a trial ends so."""


@EARLY_STOPPING.register
def none(sweep: Sweep, trained: Sequence[Row]) -> None:
    """Train every candidate to its last epoch; nobody waits for a reply."""


@EARLY_STOPPING.register
def front(sweep: Sweep, trained: Sequence[Row]) -> Stopping | None:
    """Stop a candidate that cannot join the front any more, whatever its curve may still bring.

    Its footprint is known, so it is compared with what is as small: where even the highest end
    that its curve may come to (`edgebench.search.curves`) would be dominated, it is stopped.
    """
    return _Front(sweep.objectives, trained) if sweep.accuracy else None


@dataclass
class _Front:
    objectives: Sequence[Objective]
    trained: Sequence[Row]

    def judge(
        self, config: TrialConfig, gate: Gate, curve: Sequence[Mapping[str, float]]
    ) -> str | None:
        """Compare the highest end with each finished trial that is nowhere costlier."""
        epochs, accuracy = config.recipe.epochs, [epoch[ACCURACY] for epoch in curve]
        if len(curve) >= epochs:
            return None  # it ends by itself
        ends = {}
        for goal in self.objectives:
            known = gate.metrics.get(goal.name)
            if known is None and metric_of(goal.name).split != "validation":
                return None  # a training time, say: it is known at the end alone
            ends[goal.name] = (
                highest_end(accuracy, epochs, self.trained, goal.name) if known is None else known
            )
        if not all(math.isfinite(end) for end in ends.values()):
            return None
        rival = self._rival(ends)
        if rival is None:
            return None
        return f"at epoch {len(curve)} of {epochs} {self._reason(ends, rival)}"

    def _rival(self, ends: Mapping[str, float]) -> Row | None:
        """Return the finished trial that dominates ``ends``, the most accurate of them, or None."""
        names = [goal.name for goal in self.objectives]
        rows = [row for row in self.trained if row.feasible and row.complete(names)]
        if not rows:
            return None
        best = Row(-1, "", "", rows[0].state, None, {}, ends)
        paid, mine = costs(rows, self.objectives), costs([best], self.objectives)[0]
        beaten = (paid <= mine).all(axis=1) & (paid < mine).any(axis=1)
        dominating = [row for row, beats in zip(rows, beaten, strict=True) if beats]
        first = self._sought[0].name
        return max(dominating, key=lambda row: row.metrics[first], default=None)

    @property
    def _sought(self) -> list[Objective]:
        return [goal for goal in self.objectives if metric_of(goal.name).split == "validation"]

    def _reason(self, ends: Mapping[str, float], rival: Row) -> str:
        """Say what could come, and which trial has more of it for no higher costs."""
        sought = [goal.name for goal in self._sought]
        could = " and ".join(_written(name, ends[name]) for name in sought)
        has = " and ".join(_written(name, rival.metrics[name]) for name in sought)
        paid = [goal for goal in self.objectives if goal not in self._sought]
        saved = [
            f"{_written(goal.name, abs(less))} {'less' if goal.goal == 'minimize' else 'more'} "
            f"{label(goal.name)}"
            for goal in paid
            if (less := ends[goal.name] - rival.metrics[goal.name])
        ]
        by = f" with {', '.join(saved)}" if saved else " at the same cost" if paid else ""
        return f"at most {could} could come; trial {rival.trial} has {has}{by}"


def _written(name: str, value: float) -> str:
    return text(quantity(name, value))
