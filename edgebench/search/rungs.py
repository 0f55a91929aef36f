"""Training in rungs: a candidate is laid aside where another promises more, and goes on later.

After an eighth, a quarter and half of its epochs a candidate is compared with all that were laid
aside and with new ones, by the expected hypervolume gain a second of what is left to train. What is
laid aside keeps its state on the disk (`Checkpoints`), and its place among the runs of the cap:
before a study ends it goes on, or the early stopping rule says why not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from edgebench.search.checkpoints import Checkpoint, Checkpoints
from edgebench.search.dispatcher import Job
from edgebench.search.promise import Promise
from edgebench.space import TrialConfig

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""The shares of its training after which a candidate is compared."""


def rungs(epochs: int) -> set[int]:
    """Return the epochs after which a training of so many is compared with others."""
    return {math.ceil(share * epochs) for share in SHARES} - {epochs}


class InRungs:
    """The trials of a study that were laid aside, and the choice of what is trained next.

    ``new`` returns the candidates that may be begun now, or None where nothing may begin or go on;
    ``running`` are the trials under way.
    """

    def __init__(
        self,
        promise: Promise,
        checkpoints: Checkpoints,
        new: Callable[[], Sequence[TrialConfig] | None],
        running: Mapping[int, Job],
    ) -> None:
        self._promise = promise
        self._checkpoints = checkpoints
        self._new = new
        self._running = running
        self.paused: dict[int, Job] = {}

    def following(self, offered: Sequence[TrialConfig]) -> TrialConfig | Job | None:
        """Return what to train next: one of ``offered``, or one that was laid aside."""
        running = [one for one in self._running.values() if not one.repeat]
        return self._promise.choose(offered, running, list(self.paused.values()))

    def pausing(self, job: Job) -> bool:
        """Tell whether another candidate promises more than one that stands at a rung."""
        if len(job.curve) not in rungs(job.config.recipe.epochs):
            return False
        new = self._new()
        if new is None:
            return False
        others = [one for one in self._running.values() if one is not job and not one.repeat]
        aside = [*self.paused.values(), job]
        return self._promise.choose(new, others, aside) is not job

    def keep(self, job: Job) -> None:
        """Write what a trial can go on from."""
        assert job.state is not None  # noqa: S101 - the dispatcher keeps what there is
        checkpoint = Checkpoint(job.curve[: job.kept], job.seconds, job.state)
        self._checkpoints.save(job.number, job.config.key, checkpoint)

    def resumable(self, job: Job) -> bool:
        """Give a trial the state that an earlier process kept of it; tell whether there is one."""
        found = self._checkpoints.load(job.number, job.config.key)
        if found is None:
            return False
        job.curve, job.kept, job.seconds = list(found.curve), len(found.curve), found.seconds
        job.state = found.state
        return True

    def lay_aside(self, job: Job) -> None:
        """Take a trial among those that may go on; its state lies on the disk."""
        job.state = None
        self.paused[job.number] = job

    def take(self, job: Job) -> None:
        """Let a trial go on from the state that was kept, or anew where that is gone."""
        del self.paused[job.number]
        if not self.resumable(job):
            job.curve, job.kept, job.seconds = [], 0, 0.0

    def tidy(self) -> None:
        """Remove the states that a cut left of trials that had ended."""
        self._checkpoints.only(self.paused)

    def forget(self, job: Job) -> None:
        """Remove the state of a trial that ended."""
        self._checkpoints.drop(job.number)
