"""Trials an hour by the number of workers: real coordinator and stores, workers that sleep.

Each worker sleeps for `SECONDS`, tells 20 epochs meanwhile, and returns a made-up outcome with an
ONNX file; drawing, gate, recording and views are what they are in earnest. What is counted is the
time from the first begin to the last end, without the start.

Run: python benchmarks/cluster/scaling.py [storage=URL] [tracking_uri=URI] [WORKERS ...]
Last printed, by 1 64, on SQLite files on 2 cores, with nothing beside the second line:
      1 workers:      345 trials an hour, 1.000 of linear; the coordinator's CPU 124 ms a trial
     64 workers:    21060 trials an hour, 0.955 of linear; the coordinator's CPU 100 ms a trial
"""

from __future__ import annotations

import heapq
import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import control_plane

from edgebench import space
from edgebench.search import POOLS, Settings, search
from edgebench.search.messages import Message, Reply
from edgebench.search.tasks import RunTrial, Task

SECONDS = 10.0
ROUNDS = 10
"""Trials of each worker."""


class Sleepers:
    """Workers that sleep: each message of a task becomes due at its own time."""

    def __init__(self, workers: int) -> None:
        self.size = workers
        self._due: list[tuple[float, int, int, Message]] = []
        self._busy: set[int] = set()
        self._numbers, self._order = itertools.count(), itertools.count()

    def __enter__(self) -> Self:
        """Start nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop nothing."""

    def idle(self) -> int:
        """Count who does nothing."""
        return self.size - len(self._busy)

    def submit(self, task: Task) -> int:
        """Spread the messages of a task over its seconds."""
        number = next(self._numbers)
        found = control_plane._messages(task)  # noqa: SLF001 - a neighbour's
        seconds = SECONDS if isinstance(task, RunTrial) else 0.0
        for place, message in enumerate(found, 1):
            due = time.monotonic() + seconds * place / len(found)
            heapq.heappush(self._due, (due, next(self._order), number, message))
        self._busy.add(number)
        return number

    def messages(self, timeout: float | None = None) -> list[tuple[int, Message]]:
        """Return what is due, after waiting for it."""
        if self._due:
            left = self._due[0][0] - time.monotonic()
            time.sleep(max(0.0, min(left, timeout if timeout is not None else left)))
        found = []
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, number, message = heapq.heappop(self._due)
            found.append((number, message))
            if not isinstance(message, control_plane.EpochEnded):
                self._busy.discard(number)
        return found

    def reply(self, number: int, reply: Reply) -> None:
        """Nobody waits."""

    def cancel(self, number: int) -> None:
        """Nothing is cancelled."""


POOLS.add("sleepers", lambda _address, workers, **_: Sleepers(workers))


def measure(workers: int, settings: dict[str, str]) -> tuple[float, float]:
    """Return trials an hour with so many workers, and the coordinator's CPU seconds a trial."""
    begun: list[float] = []
    ended: list[tuple[float, float]] = []

    def observe(event: Any) -> None:
        if event.kind == "started":
            begun.append(time.monotonic())
        elif event.kind == "ended":
            used = resource.getrusage(resource.RUSAGE_SELF)
            ended.append((time.monotonic(), used.ru_utime + used.ru_stime))

    sweep = space.build(
        {"name": f"scale-{workers}", **control_plane.CONTENT, "run_cap": ROUNDS * workers}
    )
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            "storage": f"sqlite:///{folder}/optuna.db",
            "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        } | settings
        where = Settings(data_dir=Path(folder), pool="sleepers", workers=workers, **stores)
        search(sweep, where, observe)
    count = ROUNDS * workers
    hourly = count / (ended[-1][0] - begun[0]) * 3600
    cpu = (ended[-1][1] - ended[0][1]) / max(1, len(ended) - 1)
    return hourly, cpu


def main() -> None:
    """Print a line for each number of workers."""
    words = sys.argv[1:]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    one: float | None = None
    for workers in [int(word) for word in words if "=" not in word] or [1, 4, 16, 64]:
        hourly, cpu = measure(workers, settings)
        one = one or hourly / workers
        print(
            f"{workers:3d} workers: {hourly:8.0f} trials an hour, {hourly / (one * workers):.3f} "
            f"of linear; the coordinator's CPU {cpu * 1000:.0f} ms a trial",
            flush=True,
        )


if __name__ == "__main__":
    main()
