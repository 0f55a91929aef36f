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
from edgebench.space import Budget, TrialConfig

# glibc returns every large block to the system and faults its pages in anew at each step
# (benchmarks/allocator.py has the figures). The C library reads this when a process starts.
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
PATIENCE = 5.0  # seconds for a worker to end between two training steps
_SPAWN = multiprocessing.get_context("spawn")  # a forked child would inherit CUDA and threads


@dataclass(frozen=True)
class Facts:
    """What a worker found: the data set and the machine, for the record."""

    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    dataset_digest: str
    split_sizes: Mapping[str, int]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Message:
    """What a worker says.

    Its kind is ``facts``, ``epoch``, ``outcome``, ``accuracy``, ``mistake`` or ``crash``.
    """

    kind: str
    content: Any


class Worker:
    """One process; at most one request is under way."""

    def __init__(self, *, threads: int, device: str, data_dir: Path) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(
            target=_serve, args=(theirs, threads, device, data_dir), daemon=True
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
        self.pipe.send((request, arguments))

    def receive(self) -> Message:
        """Return the next message; the death of the process is a ``crash``."""
        try:
            message = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            likely = " (out of memory?)" if -code == signal.SIGKILL else ""
            return Message("crash", f"the worker process ended with {how}{likely}")
        assert isinstance(message, Message)  # noqa: S101 - our own protocol
        return message

    def answer(self) -> Message:
        """Wait for the answer to a request that sends no epochs.

        Raises:
            EdgebenchError: The request was the user's mistake.
        """
        message = self.receive()
        if message.kind == "mistake":
            raise EdgebenchError(*message.content)
        if message.kind == "crash":
            raise RuntimeError(message.content)
        return message

    def stop(self) -> None:
        """End the process, whatever it is doing: between two steps if it can, else at once."""
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        self.pipe.close()


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
            answer = _REQUESTS[request](pipe, data_dir, device, *arguments)
        except EdgebenchError as error:
            answer = Message("mistake", error.mistakes)
        except Exception as error:  # noqa: BLE001 - any fault of a candidate is its row's reason
            first = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
            answer = Message("crash", f"{first}\n{traceback.format_exc()}")
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
    from edgebench.environment import environment

    dataset = trial.dataset_of(dataset_name, data_dir, split_seed)
    sizes = {name: len(getattr(dataset, name)) for name in ("train", "validation", "test")}
    facts = Facts(
        dataset.input_shape,
        dataset.classes,
        dataset.mean,
        dataset.std,
        dataset.name,
        dataset.digest,
        sizes,
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
