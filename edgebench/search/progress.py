"""What a search shows while it goes on: events, for whoever displays them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgebench.record import State


@dataclass(frozen=True)
class Event:
    """Something to show: a trial ``started``, an ``epoch`` of it, that it ``paused`` or ``ended``.

    One that was paused starts again, after ``epoch`` epochs.

    ``done`` of ``total`` runs are finished; ``seconds_left`` is an estimate or None. ``objective``
    is the metric that the study seeks first. ``covered`` is the share of what could be sought that
    the front covers, ``gain`` what the runs that are left may add to it; None where it has no
    member.
    """

    kind: Literal["started", "epoch", "paused", "ended"]
    name: str = ""
    done: int = 0
    total: int | None = None
    epoch: int = 0
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: State = State.RUNNING
    reason: str | None = None
    seconds_left: float | None = None
    objective: str = "val/accuracy_best"
    covered: float | None = None
    gain: float | None = None


Observer = Callable[[Event], None]
