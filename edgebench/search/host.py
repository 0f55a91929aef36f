"""What stands on a node of a cluster: it runs one task at a time and is asked for its messages.

It is a class of plain methods; the pool makes an actor of it. Tasks run in a thread beside, so that
it answers at any time.
"""

from __future__ import annotations

import importlib.metadata
import platform
import queue
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import EdgebenchError
from edgebench.search.messages import EpochEnded, Message, Mistaken, Reply
from edgebench.search.serving import carry_out
from edgebench.search.tasks import Task, Worker
from edgebench.space import TrialConfig

COMPARED = ("torch", "torchvision", "numpy", "onnx", "onnxruntime", "onnxscript")
"""The packages that a result depends on: all workers of a study have the same versions."""
DATA_SECONDS = 600.0
"""How long a data set may take to arrive."""


@dataclass(frozen=True)
class Hello:
    """Who an actor is: its node's id and name, and where its versions differ."""

    node: str
    host: str
    differences: tuple[str, ...]


@dataclass(frozen=True)
class DataWanted:
    """A node lacks the data set of a configuration, or has another of its name."""

    config: TrialConfig


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on, in this process."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in COMPARED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> tuple[str, ...]:
    """Say which versions differ: what this process has, and what the coordinator has."""
    return tuple(
        f"{name} {theirs.get(name, 'none')}, the coordinator {version}"
        for name, version in ours.items()
        if theirs.get(name, "none") != version
    )


class Host:
    """Runs one task at a time in a thread, and keeps its messages until it is asked.

    ``path`` is where the coordinator finds modules: those of a program of one's own too, where a
    node shares that folder.
    """

    def __init__(self, device: str, data_dir: Path, threads: int, path: Sequence[str]) -> None:
        sys.path += [folder for folder in path if folder not in sys.path and Path(folder).is_dir()]
        self._device, self._data_dir, self._threads = device, data_dir, threads
        self._told: queue.SimpleQueue[Message | DataWanted] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._parcels: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def hello(self, coordinators: Mapping[str, str]) -> Hello:
        """Say who this is, and how it differs from the coordinator."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return Hello(node, socket.gethostname(), differences(versions(), coordinators))

    def begin(self, task: Task, digests: Mapping[str, str]) -> list[Message | DataWanted]:
        """Start a task; ``digests`` say which images are meant. There are no messages yet."""
        threading.Thread(target=self._run, args=(task, digests), daemon=True).start()
        return []

    def messages(self, timeout: float) -> list[Message | DataWanted]:
        """Wait for messages, and return all that there are; [] after ``timeout`` seconds."""
        try:
            found = [self._told.get(timeout=timeout)]
        except queue.Empty:
            return []
        while not self._told.empty():
            found.append(self._told.get())
        return found

    def reply(self, reply: Reply) -> None:
        """Answer the epoch that waits."""
        self._replies.put(reply)

    def provide(self, parcel: dict[str, Any] | None) -> None:
        """Take a data set that was asked for; None where the coordinator has none either."""
        self._parcels.put(parcel)

    def _run(self, task: Task, digests: Mapping[str, str]) -> None:
        import torch

        from edgebench.training import choose_device

        torch.set_num_threads(self._threads)
        try:
            worker = Worker(choose_device(self._device), self._data_dir, self._tell)
            config = getattr(task, "config", None)
            if isinstance(config, TrialConfig):
                self._fetch(config, digests.get(config.data_key))
        except EdgebenchError as error:
            self._told.put(Mistaken(error.mistakes))
            return
        self._told.put(carry_out(task, worker))

    def _tell(self, epoch: EpochEnded, wait: bool) -> Reply:
        self._told.put(epoch)
        return self._replies.get() if wait else Reply()

    def _fetch(self, config: TrialConfig, digest: str | None) -> None:
        """Have the data set of a configuration: read here, else sent by the coordinator.

        Raises:
            EdgebenchError: Neither has it, or it is not the one of the study.
        """
        from edgebench import trial
        from edgebench.search.parcels import unpacked

        lacks = None
        try:
            found = trial.dataset_of(config, self._data_dir)
        except EdgebenchError as error:
            lacks = error
        else:
            if digest is None or found.digest == digest:
                return
        self._told.put(DataWanted(config))
        parcel = self._parcels.get(timeout=DATA_SECONDS)
        if parcel is None:
            raise lacks or EdgebenchError(
                f"the data set '{config.dataset}' of {socket.gethostname()} is not the study's"
            )
        if digest is not None and parcel["digest"] != digest:
            raise EdgebenchError(
                f"the data set '{config.dataset}' of the coordinator has the digest "
                f"{parcel['digest']}, the study's is {digest}"
            )
        trial.keep_dataset(config, self._data_dir, unpacked(parcel))
