"""A worker: one local process that takes trials over a pipe, so that a trial can die alone.

The kernel's out-of-memory killer, a crash in a kernel library or a lost GPU ends the worker, not
the sweep. A worker ends itself when its parent is gone, so nothing trains on unseen.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from edgebench.errors import EdgebenchError
from edgebench.record import Facts
from edgebench.space import Budget, TrialConfig

# glibc returns every large block to the system and faults its pages in anew at each step
# (benchmarks/training_step.py has the figures). The C library reads this when a process starts.
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
PATIENCE = 5.0  # seconds for a worker to end between two training steps
_SPAWN = multiprocessing.get_context("spawn")  # a forked child would inherit CUDA and threads


@dataclass(frozen=True)
class Message:
    """What a worker says; its kind is ``facts``, ``epoch``, ``outcome`` or ``accuracy``."""

    kind: str
    content: Any


@dataclass(frozen=True)
class _Mistake:
    """A request was the user's mistake."""

    mistakes: tuple[str, ...]


@dataclass(frozen=True)
class _Crash:
    """A request ended in an exception."""

    traceback: str


class WorkerDied(EdgebenchError):
    """A worker ended without an answer: nothing about the request, and not the user's mistake."""

    exit_code = 1


class Worker:
    """One process; at most one request is under way. One that died is begun anew when asked."""

    def __init__(self, *, threads: int, device: str, data_dir: Path) -> None:
        self._arguments = (threads, device, data_dir)
        self._request = ""
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(
            target=_serve, args=(theirs, *self._arguments), daemon=True
        )
        # Ctrl-C reaches the whole group: the child must inherit that it is ignored, from its
        # first instruction on, and be stopped by its parent alone.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with _environment(_ALLOCATOR):
                self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()

    def ask(self, request: str, *arguments: Any) -> None:
        """Send a request: ``prepare``, ``trial`` or ``examine``, with its arguments."""
        self._request = request
        try:
            self.pipe.send((request, arguments))
        except (BrokenPipeError, ConnectionResetError):  # it died since its last answer
            self.stop()
            self._start()
            self.pipe.send((request, arguments))

    def receive(self) -> Message:
        """Return the next message; a ``trial`` that crashed, or died, has a failed outcome.

        Raises:
            EdgebenchError: The request was the user's mistake.
            WorkerDied: The process ended, and the request was no trial.
        """
        try:
            said = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            said = self._death()
        if isinstance(said, Message):
            return said
        if isinstance(said, _Mistake):
            raise EdgebenchError(*said.mistakes)
        reason = said.traceback if isinstance(said, _Crash) else str(said)
        if self._request == "trial":
            from edgebench.trial import Outcome

            return Message("outcome", Outcome("failed", reason))
        raise said if isinstance(said, WorkerDied) else RuntimeError(reason)

    def _death(self) -> WorkerDied:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        likely = " (out of memory?)" if -code == signal.SIGKILL else ""
        return WorkerDied(f"the worker process ended with {how}{likely}")

    def stop(self) -> None:
        """End the process, whatever it is doing: between two steps if it can, else at once."""
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextlib.contextmanager
def crew(count: int, *, device: str, data_dir: Path) -> Iterator[list[Worker]]:
    """Start ``count`` workers, the cores divided among them, and end them, whatever happens."""
    workers: list[Worker] = []
    try:
        workers.extend(
            Worker(threads=threads_for(count), device=device, data_dir=data_dir)
            for _ in range(count)
        )
        yield workers
    finally:
        for worker in workers:
            worker.stop()


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


def speaking(workers: Sequence[Worker], timeout: float | None = None) -> list[Worker]:
    """Wait until some of ``workers`` have a message or died; [] after ``timeout`` seconds."""
    ready = wait([worker.pipe for worker in workers], timeout)
    return [worker for worker in workers if worker.pipe in ready]


def threads_for(workers: int) -> int:
    """Return each worker's share of the cores: threads beyond them cost far more than they give."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux alone knows the allowed cores
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, cores // workers)


def _serve(pipe: Connection, threads: int, device_name: str, data_dir: Path) -> None:
    """Answer requests until the parent closes the pipe."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an orderly end frees its semaphores
    import torch

    from edgebench.training import choose_device

    torch.set_num_threads(threads)
    while True:
        try:
            request, arguments = pipe.recv()
        except EOFError:
            return
        try:
            device = choose_device(device_name)
            answer: object = _REQUESTS[request](pipe, data_dir, device, *arguments)
        except EdgebenchError as error:
            answer = _Mistake(error.mistakes)
        except Exception as error:  # noqa: BLE001 - any fault of a candidate is its row's reason
            first = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
            answer = _Crash(f"{first}\n{traceback.format_exc()}")
        pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepare(
    pipe: Connection,  # noqa: ARG001 - all requests share one signature
    data_dir: Path,
    device: Any,
    dataset_name: str,
    split_seed: int,
) -> Message:
    from edgebench import trial
    from edgebench.training import environment

    dataset = trial.dataset_of(dataset_name, data_dir, split_seed)
    facts = Facts(
        dataset.input_shape,
        dataset.classes,
        dataset.mean,
        dataset.std,
        dataset.name,
        dataset.digest,
        dataset.sizes,
        environment(device),
    )
    return Message("facts", facts)


def _trial(
    pipe: Connection, data_dir: Path, device: Any, config: TrialConfig, budget: Budget | None
) -> Message:
    from edgebench import trial

    def on_epoch(number: int, metrics: Mapping[str, float]) -> None:
        pipe.send(Message("epoch", (number, metrics)))

    outcome = trial.run(config, budget, data_dir=data_dir, device=device, on_epoch=on_epoch)
    return Message("outcome", outcome)


def _examine(
    pipe: Connection,  # noqa: ARG001 - all requests share one signature
    data_dir: Path,
    device: Any,  # noqa: ARG001 - ONNX Runtime examines on the CPU
    model: bytes,
    config: TrialConfig,
) -> Message:
    from edgebench import trial

    return Message("accuracy", trial.examine(model, config, data_dir))


_REQUESTS: dict[str, Callable[..., Message]] = {
    "prepare": _prepare,
    "trial": _trial,
    "examine": _examine,
}
