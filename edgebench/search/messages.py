"""What a worker and the coordinator say to each other; each message is one type.

A task on its way sends any number of `EpochEnded`, and one message that ends it: `Done` with its
result, `Mistaken`, `Crashed` or `Died`. Each `EpochEnded` that asks for it is answered by one
`Reply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EpochEnded:
    """A trial has finished epoch ``number`` (from 1) with these metrics.

    ``seconds`` are those of its training so far; ``state`` is what it can go on from, where the
    task asks for that.
    """

    number: int
    metrics: Mapping[str, float]
    seconds: float = 0.0
    state: bytes | None = None


@dataclass(frozen=True)
class Reply:
    """What the coordinator answers to an epoch: go on, stop for the reason given, or pause."""

    stop: str | None = None
    pause: bool = False


@dataclass(frozen=True)
class Done:
    """The task returned ``result``."""

    result: Any


@dataclass(frozen=True)
class Mistaken:
    """The task was the user's mistake: each message names the value, the rule and a way out."""

    mistakes: tuple[str, ...]


@dataclass(frozen=True)
class Crashed:
    """The task ended in an exception: its first line, then its traceback."""

    traceback: str


@dataclass(frozen=True)
class Died:
    """The worker ended in the middle of the task; ``how`` says by what."""

    how: str


Message = EpochEnded | Done | Mistaken | Crashed | Died
"""What a pool hands to the coordinator about one task."""
