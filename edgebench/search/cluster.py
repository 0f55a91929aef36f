"""The Ray cluster of a pool: joined, asked for its resources, watched, and left."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgebench.errors import CheckFailed, EdgebenchError

CLIENT_PORT = 10_001
"""Where Ray's own ``ray://`` listens, for a coordinator that is on no node of the cluster."""
HEAD_SECONDS = 15.0
"""How long the head may be silent; Ray itself ends the process after a minute of that."""
LOOK_SECONDS = 2.0  # between two looks at the head
TOLD = logging.ERROR  # of what Ray says in the coordinator


class Cluster:
    """A connection to Ray; one that the process had before is used and left as it is."""

    def __init__(self, address: str) -> None:
        import ray

        self.ray: Any = ray
        self._address = address
        self._joined = False
        self._looked = self._alive = time.monotonic()

    def join(self, environment: Mapping[str, str]) -> None:
        """Join the cluster at the address, or in RAY_ADDRESS, or that runs here, or a new one.

        ``environment`` is what the workers' environment has besides their node's.

        Raises:
            EdgebenchError: Nobody answers there.
        """
        if self.ray.is_initialized():
            return
        package = Path(__file__).resolve().parents[1]  # this very code runs on every node
        runtime = {"py_modules": [str(package)], "env_vars": dict(environment)}
        options: dict[str, Any] = {"logging_level": TOLD, "log_to_driver": False}
        if self._address.endswith(f":{CLIENT_PORT}"):
            options["address"] = f"ray://{self._address}"
        elif self._address:
            _check_listening(self._address)
            options["address"] = self._address
        else:
            options["address"] = _running() or "local"
        try:
            with _own_signals():
                self.ray.init(runtime_env=runtime, **options)
        except (ConnectionError, ValueError, RuntimeError, ImportError, TimeoutError) as error:
            said = f"ray://{self._address}" if self._address else "ray"
            raise EdgebenchError(
                f"--pool {said}: no cluster can be joined: {str(error).strip().splitlines()[0]}"
            ) from None
        self._joined = True

    def leave(self) -> None:
        """End the connection, and a cluster that was begun with it."""
        if self._joined:
            self._joined = False
            self.ray.shutdown()

    def nodes(self) -> dict[str, dict[str, float]]:
        """Return the resources of each node that is alive, by its id."""
        return {node["NodeID"]: node["Resources"] for node in self.ray.nodes() if node["Alive"]}

    def share(self, workers: int, *, device: str, gpus: float | None) -> dict[str, Any]:
        """Return what each of ``workers`` actors asks for: its share of the cores, and of GPUs."""
        nodes = self.nodes().values()
        cores = cores_each([int(node.get("CPU", 0)) for node in nodes], workers)
        if gpus is None:
            there = sum(node.get("GPU", 0.0) for node in nodes)
            gpus = 0.0 if device == "cpu" else min(1.0, there / workers)
        return {"num_cpus": cores, "num_gpus": gpus}

    def look(self) -> None:
        """Find out that the head is gone before Ray ends this process for it.

        Raises:
            CheckFailed: It is.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS or self.ray.util.client.ray.is_connected():
            return  # looked just now; or Ray's client notices by itself
        self._looked = now
        address = self.ray.get_runtime_context().gcs_address
        if _listens(address):
            self._alive = now
        elif now - self._alive > HEAD_SECONDS:
            self._joined = False  # to say farewell would wait for an answer
            raise CheckFailed(
                f"the head of the Ray cluster at {address} is gone; what was finished is kept, the "
                "same command goes on when there is a cluster"
            )

    @property
    def there(self) -> bool:
        """Tell whether the head answered when it was looked at last."""
        return self._alive >= self._looked


def cores_each(nodes: list[int], workers: int) -> int:
    """Return the most cores that each of ``workers`` can have on nodes of so many cores.

    >>> cores_each([8, 8], 3)
    4
    """
    for cores in range(max(nodes, default=1), 1, -1):
        if sum(count // cores for count in nodes) >= workers:
            return cores
    return 1


def overridable(given: Mapping[str, str]) -> dict[str, str]:
    """Return variables for workers; what the user set for the coordinator stays."""
    return {name: os.environ.get(name, value) for name, value in given.items()}


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers: Ray puts one of its own in place of SIGTERM's."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        with contextlib.suppress(ValueError):  # only the main thread has handlers
            signal.signal(one, handler)


def _running() -> str | None:
    """Return the address of the cluster in RAY_ADDRESS or on this machine, or None.

    Ray keeps the address of a cluster that is gone, and would wait for it for minutes.
    """
    named = os.environ.get("RAY_ADDRESS")
    if named:
        return named
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108 - Ray's own place
    with contextlib.suppress(OSError):
        address = file.read_text(encoding="utf-8").strip()
        return address if _listens(address) else None
    return None


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), LOOK_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _check_listening(address: str) -> None:
    if not _listens(address):
        raise EdgebenchError(
            f"--pool ray://{address}: no Ray cluster answers there; write HOST:PORT as 'ray start "
            f"--head' printed it (port 6379), or HOST:{CLIENT_PORT} from a machine that is no node"
        )
