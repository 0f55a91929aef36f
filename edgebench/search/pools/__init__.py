"""Pools of workers: each file of this folder registers one kind.

A pool runs tasks side by side and hands back their messages. It knows nothing of studies, stores
or samplers, and what is asked of it here is all that a search needs; the contract tests run over
every registered kind. To add one, add one file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from edgebench.errors import EdgebenchError
from edgebench.registry import Registry
from edgebench.search.messages import Message, Reply
from edgebench.search.tasks import Task

__all__ = ["POOLS", "Pool", "open_pool"]


class Pool(Protocol):
    """Workers that run tasks; used from one thread, as a context manager."""

    size: int
    """How many tasks can run at once; it may change while the pool is open."""

    def idle(self) -> int:
        """Return how many more tasks would begin at once."""

    def submit(self, task: Task) -> int:
        """Begin a task on an idle worker, a fresh one where the last died; return its number."""

    def messages(self, timeout: float | None = None) -> list[tuple[int, Message]]:
        """Wait for messages of running tasks; [] after ``timeout`` seconds.

        A worker that ends in the middle of a task is a message too, never an exception.
        """

    def reply(self, number: int, reply: Reply) -> None:
        """Answer an epoch of a task that waits for it."""

    def cancel(self, number: int) -> None:
        """End a running task at once; no further message of it comes."""

    def __enter__(self) -> Self:
        """Open the pool."""

    def __exit__(self, *_: object) -> None:
        """End every worker, whatever it is doing."""


Opener = Callable[..., Pool]
POOLS: Registry[Opener] = Registry("pool", package=__name__)
"""Kind -> ``open(address, workers=, device=, data_dir=) -> Pool``."""


def open_pool(
    name: str, *, workers: int, device: str, data_dir: Path, gpus_per_trial: float | None = None
) -> Pool:
    """Return the pool called ``name``: a kind, or ``kind://ADDRESS``.

    ``gpus_per_trial`` goes to a kind that has such a parameter.

    Raises:
        EdgebenchError: No such kind, or it does not share GPUs.
    """
    kind, separator, address = name.partition("://")
    if separator and not address:
        raise EdgebenchError(f"--pool {name}: write the address after '://', or '{kind}' alone")
    opener, more = POOLS[kind], {}
    if gpus_per_trial is not None:
        if "gpus_per_trial" not in inspect.signature(opener).parameters:
            raise EdgebenchError(
                f"--gpus-per-trial {gpus_per_trial:g}: the pool '{kind}' does not share GPUs out; "
                "--pool ray does"
            )
        more["gpus_per_trial"] = gpus_per_trial
    return opener(address, workers=workers, device=device, data_dir=data_dir, **more)
