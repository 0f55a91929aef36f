"""Early stopping: after each epoch of a trial, go on or stop.

A rule sees the curves as they grow, in the coordinator, where all trials are known. To add one,
register a factory that takes the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edgebench.registry import Registry
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate


class Stopping(Protocol):
    """A rule that may stop a trial between two epochs."""

    def judge(
        self, config: TrialConfig, gate: Gate, curve: Sequence[Mapping[str, float]]
    ) -> str | None:
        """Return why the trial is to be stopped after the last epoch of ``curve``, or None."""


EARLY_STOPPING: Registry[Callable[[Sweep], Stopping | None]] = Registry("early stopping rule")


@EARLY_STOPPING.register
def none(sweep: Sweep) -> None:
    """Train every candidate to its last epoch; nobody waits for a reply."""
