"""Local processes that run tasks over pipes, so that a trial can die alone.

The kernel's out-of-memory killer, a crash in a kernel library or a lost GPU ends a worker, not
the sweep. A worker ends itself when its parent is gone, so nothing trains on unseen.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Self

from edgebench.errors import EdgebenchError
from edgebench.registry import program_has_members
from edgebench.search.messages import Died, EpochEnded, Message, Mistaken, Reply
from edgebench.search.pools import POOLS
from edgebench.search.serving import carry_out
from edgebench.search.tasks import Task, Worker

ENVIRONMENT = {
    # glibc returns every large block to the system and faults its pages in anew at each step
    # (benchmarks/training_step.py has the figures). The C library reads these at its start.
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
    # libgomp's threads spin while they wait for each other; beside another busy process that
    # costs two thirds of the speed (benchmarks/spinning.py).
    "GOMP_SPINCOUNT": "1000",
}
"""What a worker's environment has besides the user's, who may set any of it otherwise."""
PATIENCE = 5.0  # seconds for a worker to end between two training steps
_SPAWN = multiprocessing.get_context("spawn")  # a forked child would inherit CUDA and threads


class _Process:
    """One worker process; at most one task is under way in it."""

    def __init__(self, *, threads: int, device: str, data_dir: Path) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(
            target=_serve, args=(theirs, threads, device, data_dir), daemon=True
        )
        # Ctrl-C reaches the whole group: the child must inherit that it is ignored, from its
        # first instruction on, and be stopped by its parent alone.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with _environment(ENVIRONMENT), _without_program():
                self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()

    def receive(self) -> Message:
        """Return the next message; that the process ended is one."""
        try:
            message: Message = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return Died(self._how())
        return message

    def _how(self) -> str:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        likely = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"the worker process ended with {how}{likely}"

    def stop(self) -> None:
        """End the process, whatever it is doing: between two steps if it can, else at once."""
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@dataclass
class _Place:
    """One of the pool's places: its process, started when it is needed, and the task in it."""

    process: _Process | None = None
    task: int | None = None


class LocalPool:
    """Processes of this machine; the cores are divided among them."""

    def __init__(self, workers: int, *, device: str, data_dir: Path) -> None:
        self.size = workers
        self._device = device
        self._data_dir = data_dir
        self._places = [_Place() for _ in range(workers)]
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        """Start the processes, so that they import side by side."""
        for place in self._places:
            place.process = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End every process."""
        for place in self._places:
            self._end(place)

    def idle(self) -> int:
        """Return how many places have no task."""
        return sum(place.task is None for place in self._places)

    def submit(self, task: Task) -> int:
        """Send a task to an idle process, to a fresh one where that has died."""
        place = next(place for place in self._places if place.task is None)
        try:
            if place.process is None:
                raise BrokenPipeError
            place.process.pipe.send(task)
        except (BrokenPipeError, ConnectionResetError):  # it died since its last task
            self._end(place)
            place.process = self._start()
            place.process.pipe.send(task)
        place.task = next(self._numbers)
        return place.task

    def messages(self, timeout: float | None = None) -> list[tuple[int, Message]]:
        """Wait for messages of the tasks under way; [] after ``timeout`` seconds."""
        busy = {
            place.process.pipe: place
            for place in self._places
            if place.process is not None and place.task is not None
        }
        found: list[tuple[int, Message]] = []
        for pipe in wait(list(busy), timeout):
            place = busy[pipe]  # type: ignore[index]  # what was given is returned
            assert place.process is not None  # noqa: S101 - for mypy: it is busy
            assert place.task is not None  # noqa: S101 - for mypy: it is busy
            message = place.process.receive()
            found.append((place.task, message))
            if not isinstance(message, EpochEnded):
                place.task = None
            if isinstance(message, Died):
                self._end(place)
        return found

    def reply(self, number: int, reply: Reply) -> None:
        """Answer an epoch; a process that has died since is told of by `messages`."""
        place = self._of(number)
        if place.process is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                place.process.pipe.send(reply)

    def cancel(self, number: int) -> None:
        """End the process of a task."""
        place = self._of(number)
        self._end(place)
        place.task = None

    def _of(self, number: int) -> _Place:
        return next(place for place in self._places if place.task == number)

    def _start(self) -> _Process:
        return _Process(
            threads=threads_for(self.size), device=self._device, data_dir=self._data_dir
        )

    def _end(self, place: _Place) -> None:
        if place.process is not None:
            place.process.stop()
            place.process = None


@POOLS.register
def local(address: str, *, workers: int, device: str, data_dir: Path) -> LocalPool:
    """Processes on this machine.

    Raises:
        EdgebenchError: An address is given.
    """
    if address:
        raise EdgebenchError(f"--pool local://{address}: the local pool takes no address")
    return LocalPool(workers, device=device, data_dir=data_dir)


@contextlib.contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a process that starts inside; what the user set stays."""
    ours = {name: value for name, value in given.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextlib.contextmanager
def _without_program() -> Iterator[None]:
    """Hide the program that is run from a process that starts inside, unless it is needed there.

    To import it anew would run a script without a guard a second time, and fails where it is no
    file, as a script from standard input; it is needed where it registered members of its own.
    """
    program = sys.modules["__main__"]
    if not program_has_members():
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def threads_for(workers: int) -> int:
    """Return each worker's share of the cores: threads beyond them cost far more than they give."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux alone knows the allowed cores
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, cores // workers)


def _serve(pipe: Connection, threads: int, device_name: str, data_dir: Path) -> None:
    """Run tasks until the parent closes the pipe."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an orderly end frees its semaphores
    import torch

    from edgebench.training import choose_device

    def tell(epoch: EpochEnded, wait_for_reply: bool) -> Reply:
        pipe.send(epoch)
        reply: Reply = pipe.recv() if wait_for_reply else Reply()
        return reply

    torch.set_num_threads(threads)
    while True:
        try:
            task: Task = pipe.recv()
        except EOFError:
            return
        try:
            worker = Worker(choose_device(device_name), data_dir, tell)
        except EdgebenchError as error:  # no such device here
            pipe.send(Mistaken(error.mistakes))
            continue
        pipe.send(carry_out(task, worker))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
