"""The dispatcher: trials on a pool, from their start to their outcome; search and finals share it.

It starts trials, records their epochs, replies to them, gives a trial whose worker died another
worker, and hands back outcomes. What is tried next and what becomes of an outcome is its caller's
matter.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.record import State
from edgebench.search.messages import Crashed, Died, Done, EpochEnded, Message, Mistaken, Reply
from edgebench.search.pools import Pool
from edgebench.search.stopping import Stopping
from edgebench.search.tasks import RunTrial, Task
from edgebench.space import TrialConfig
from edgebench.trial import Gate, Outcome

ATTEMPTS = 2
"""How often a trial, or a question, is tried whose worker dies in the middle of it."""
TICK = 0.5  # seconds after which waiting is interrupted, so that what is due can be written


class WorkerDied(CheckFailed):
    """Every worker that was given a task ended in the middle of it."""


@dataclass
class Job:
    """A trial under way; ``dataset`` says where its images are now, if not where they were.

    ``digest`` is that of the images, which a worker compares. ``state`` is what the training can go
    on from, after ``kept`` epochs; ``seconds`` are those of its training so far. ``repeat`` is the
    place of the seed where a trial is trained again: that comes to its end.
    """

    number: int
    config: TrialConfig
    gate: Gate
    name: str
    run_id: str
    dataset: str | None = None
    digest: str = ""
    started: float = field(default_factory=time.monotonic)
    curve: list[Mapping[str, float]] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    seconds: float = 0.0
    state: bytes | None = None
    kept: int = 0
    repeat: int = 0


class Rungs(Protocol):
    """Who lays trials aside when another one promises more: in a search that trains in rungs."""

    def keep(self, job: Job) -> None:
        """Keep the state of a trial after an epoch, so that it can go on from there."""

    def pausing(self, job: Job) -> bool:
        """Tell whether a trial is to be laid aside after the epoch that it has finished."""


class Trials(Protocol):
    """Where trials come from, and who hears what becomes of them: a search, or its finals."""

    def following(self) -> Job | None:
        """Return the next trial to run, or None where none is left to begin now."""

    def epoch(self, job: Job, number: int, metrics: Mapping[str, float]) -> None:
        """Take an epoch of a trial, whose reply was sent."""

    def retried(self, job: Job) -> None:
        """Take notice that a worker died; the trial begins anew, or goes on after what is kept."""

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Take what became of a trial."""

    def tick(self) -> None:
        """Do what is due by the clock."""


class Dispatcher:
    """Runs trials on ``pool``, as many at once as it takes."""

    def __init__(
        self, pool: Pool, stopping: Stopping | None = None, analyses: tuple[str, ...] = ()
    ) -> None:
        self.pool = pool
        self._analyses = analyses
        self.running: dict[int, Job] = {}
        self._stopping = stopping
        self._trials: Trials | None = None
        self._rungs: Rungs | None = None
        self._asked: dict[int, Task] = {}
        self._answers: dict[int, Message] = {}
        self._ended: deque[tuple[Job, Outcome]] = deque()

    def run(self, trials: Trials, rungs: Rungs | None = None) -> None:
        """Run what ``trials`` has to run, until nothing is left to begin and all have ended.

        Each outcome is handed over before another trial is asked for. With ``rungs`` a trial may
        be laid aside: that is an outcome too, and it may follow again later.
        """
        self._trials, self._rungs = trials, rungs
        while True:
            trials.tick()
            while self._ended:
                trials.ended(*self._ended.popleft())
            while self.pool.idle():
                job = trials.following()
                if job is None:
                    break
                self._start(job)
            if not (self.running or self._ended):
                return
            self._receive()

    def ask(self, task: Task) -> Any:
        """Run one task that is no trial and return its result, while trials go on beside it.

        Raises:
            EdgebenchError: The task is the user's mistake.
            WorkerDied: It died with every worker that was given it.
        """
        deaths = []
        for _ in range(ATTEMPTS):
            message = self._asked_once(task)
            if isinstance(message, Done):
                return message.result
            if isinstance(message, Mistaken):
                raise EdgebenchError(*message.mistakes)
            if isinstance(message, Crashed):
                raise RuntimeError(message.traceback)  # noqa: TRY004 - our own fault, not its type's
            assert isinstance(message, Died)  # noqa: S101 - nothing else ends a task
            deaths.append(message.how)
        raise WorkerDied(f"{deaths[-1]}, {len(deaths)} times in the same task")

    def _asked_once(self, task: Task) -> Message:
        while not self.pool.idle():
            self._receive()
        number = self.pool.submit(task)
        self._asked[number] = task
        while number not in self._answers:
            self._receive()
        return self._answers.pop(number)

    def _start(self, job: Job) -> None:
        config = dataclasses.replace(job.config, dataset=job.dataset or job.config.dataset)
        task = RunTrial(
            config,
            job.gate,
            replies=self._asked_about(job),
            analyses=self._analyses,
            digest=job.digest,
            keep=self._rungs is not None and not job.repeat,
            start=job.state,
            stop=self._stop(job) if job.state is not None else None,
        )
        self.running[self.pool.submit(task)] = job

    def _receive(self) -> None:
        """Wait for messages and act on them; return after `TICK` where none comes."""
        for number, message in self.pool.messages(TICK):
            if number in self._asked:
                del self._asked[number]
                self._answers[number] = message
            elif isinstance(message, EpochEnded):
                self._epoch(number, self.running[number], message)
            elif isinstance(message, Mistaken):  # of the request, not of the candidate
                raise EdgebenchError(*message.mistakes)
            else:
                self._end(self.running.pop(number), message)

    def _epoch(self, number: int, job: Job, message: EpochEnded) -> None:
        job.curve.append(message.metrics)
        job.seconds = message.seconds
        if message.state is not None:
            job.state, job.kept = message.state, message.number
        if self._asked_about(job):
            # The worker waits: reply first, record then.
            stop = self._stop(job)
            pause = stop is None and self._rungs is not None and self._rungs.pausing(job)
            self.pool.reply(number, Reply(stop, pause))
        if self._rungs is not None and message.state is not None:
            self._rungs.keep(job)
        if self._trials is not None:
            self._trials.epoch(job, message.number, message.metrics)

    def _asked_about(self, job: Job) -> bool:
        """Tell whether a trial's worker waits for a reply after each epoch."""
        return not job.repeat and (self._stopping is not None or self._rungs is not None)

    def _stop(self, job: Job) -> str | None:
        """Return why a trial is to be stopped after the epochs that it has, or None."""
        if self._stopping is None or len(job.curve) >= job.config.recipe.epochs:
            return None  # after the last one it ends by itself
        return self._stopping.judge(job.config, job.gate, job.curve)

    def _end(self, job: Job, message: Message) -> None:
        if isinstance(message, Died):
            job.deaths.append(message.how)
            if len(job.deaths) < ATTEMPTS:
                del job.curve[job.kept :]
                if self._trials is not None:
                    self._trials.retried(job)
                self._start(job)
                return
        self._ended.append((job, outcome_of(message, job.deaths)))


def outcome_of(message: Message, deaths: Sequence[str] = ()) -> Outcome:
    """Return the outcome of the trial that ``message`` ended."""
    if isinstance(message, Done):
        outcome: Outcome = message.result
        return outcome
    if isinstance(message, Crashed):
        return Outcome(State.FAILED, message.traceback)
    times = f", {len(deaths)} times" if len(deaths) > 1 else ""
    return Outcome(State.FAILED, f"{deaths[-1]}{times}")
