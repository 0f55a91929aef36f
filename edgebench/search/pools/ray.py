"""Actors of a Ray cluster that run tasks: this machine and others, as they come and go.

The coordinator asks each actor that is busy for messages, and waits for the first that has some. A
task that nobody has begun waits here, not in an actor, so that a place that a cluster cannot fill
holds nothing up. An actor is never restarted by Ray: what dies is a message, and the dispatcher
tries the trial again on whatever is there. When the coordinator ends, however it ends, Ray ends its
actors.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from edgebench.errors import EdgebenchError
from edgebench.record import Facts
from edgebench.search.cluster import Cluster, overridable
from edgebench.search.host import DataWanted, Hello, Host, versions
from edgebench.search.messages import Crashed, Died, Done, EpochEnded, Message, Reply
from edgebench.search.parcels import packed
from edgebench.search.pools import POOLS
from edgebench.search.pools.local import ENVIRONMENT
from edgebench.search.tasks import Task

LOG = logging.getLogger(__name__)
FRESH_SECONDS = 45.0
"""How long a new actor may take to answer before its place no longer counts as there."""
POLL_SECONDS = 30.0  # an actor answers a question for messages after this, with or without any
THREADS = 4  # of an actor: a question for messages waits in one, the others answer at once


@dataclass
class _Place:
    """One actor: asked who it is, then idle or busy with a task."""

    actor: Any
    asked: Any
    """The answer that is awaited: the actor's hello, or messages of its task; None while idle."""
    born: float = field(default_factory=time.monotonic)
    hello: Hello | None = None
    task: int | None = None

    @property
    def fresh(self) -> bool:
        """Tell whether it may answer at any moment, for the first time."""
        return self.hello is None and time.monotonic() - self.born < FRESH_SECONDS


class RayPool:
    """Actors, as many as are asked for and as the cluster has room for."""

    def __init__(
        self, address: str, workers: int, *, device: str, data_dir: Path, gpus: float | None
    ) -> None:
        self.size = workers
        self._address = address
        self._workers = workers
        self._device, self._data_dir, self._gpus = device, data_dir.absolute(), gpus
        self._numbers = itertools.count()
        self._places: list[_Place] = []
        self._waiting: deque[tuple[int, Task]] = deque()
        self._tasks: dict[int, Task] = {}
        self._refused: dict[str, str] = {}  # nodes by their ids, and why
        self._digests: dict[str, str] = {}
        self._parcels: dict[str, Any] = {}
        self._warned = False

    def __enter__(self) -> Self:
        """Join the cluster, and ask for actors."""
        self._cluster = Cluster(self._address)
        self._cluster.join(overridable(ENVIRONMENT))
        self._ray = self._cluster.ray
        self._share = self._cluster.share(self._workers, device=self._device, gpus=self._gpus)
        self._places = [self._start() for _ in range(self._workers)]
        return self

    def __exit__(self, *_: object) -> None:
        """End every actor, and the connection where it is this pool's own."""
        for place in self._places:
            self._end(place)
        self._places.clear()
        self._cluster.leave()

    # The interface --------------------------------------------------------------------------

    def idle(self) -> int:
        """Return how many places are ready, or about to be, and have nothing to do."""
        free = sum(
            place.task is None and (place.hello is not None or place.fresh)
            for place in self._places
        )
        return max(0, free - len(self._waiting))

    def submit(self, task: Task) -> int:
        """Begin a task on a ready actor, or on the next one that is."""
        number = next(self._numbers)
        self._waiting.append((number, task))
        self._hand_out()
        return number

    def messages(self, timeout: float | None = None) -> list[tuple[int, Message]]:
        """Wait for messages of the tasks under way; [] after ``timeout`` seconds.

        Raises:
            CheckFailed: The head of the cluster is gone.
            EdgebenchError: No node of the cluster has this machine's versions.
        """
        self._cluster.look()
        self._warn_of_no_room()
        asked = {place.asked: place for place in self._places if place.asked is not None}
        found: list[tuple[int, Message]] = []
        if not asked:
            time.sleep(timeout or 0)
            return found
        done, _ = self._ray.wait(list(asked), num_returns=1, timeout=timeout)
        if done:
            done, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for reference in done:
            found += self._answer(asked[reference])
        self._hand_out()
        there = sum(place.hello is not None or place.fresh for place in self._places)
        self.size = max(1, there)
        return found

    def reply(self, number: int, reply: Reply) -> None:
        """Answer an epoch; an actor that has died since is told of by `messages`."""
        self._of(number).actor.reply.remote(reply)

    def cancel(self, number: int) -> None:
        """End the actor of a task."""
        for item in self._waiting:
            if item[0] == number:
                self._waiting.remove(item)
                return
        self._replace(self._of(number))

    # Actors ---------------------------------------------------------------------------------

    def _start(self) -> _Place:
        """Ask Ray for an actor, on any node that was not refused."""
        asks = dict(self._share)
        if self._refused:
            asks["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._refused)})"}
        made = self._ray.remote(Host).options(max_concurrency=THREADS, **asks)
        actor = made.remote(self._device, self._data_dir, int(asks["num_cpus"]), sys.path)
        return _Place(actor, actor.hello.remote(versions()))

    def _end(self, place: _Place) -> None:
        if self._cluster.there:  # else this would wait for an answer
            with contextlib.suppress(Exception):  # it may be gone already
                self._ray.kill(place.actor)

    def _replace(self, place: _Place) -> None:
        self._end(place)
        self._places[self._places.index(place)] = self._start()

    def _of(self, number: int) -> _Place:
        return next(place for place in self._places if place.task == number)

    def _hand_out(self) -> None:
        """Give what waits to actors that are ready."""
        for place in self._places:
            if not self._waiting:
                return
            if place.hello is not None and place.task is None:
                place.task, task = self._waiting.popleft()
                self._tasks[place.task] = task
                place.asked = place.actor.begin.remote(task, self._digests)

    def _answer(self, place: _Place) -> list[tuple[int, Message]]:
        """Take what an actor answered: who it is, messages, or that it is dead."""
        try:
            answer = self._ray.get(place.asked)
        except self._ray.exceptions.RayError as error:
            number = place.task
            self._replace(place)
            return [] if number is None else [(number, self._ended(place, error))]
        if isinstance(answer, Hello):
            self._welcome(place, answer)
            return []
        number = place.task
        assert number is not None  # noqa: S101 - for mypy: only a busy one is asked for messages
        found: list[tuple[int, Message]] = []
        for message in answer:
            if isinstance(message, DataWanted):
                self._ship(place, message)
                continue
            found.append((number, message))
            if not isinstance(message, EpochEnded):
                self._learn(self._tasks.pop(number), message)
                place.task = place.asked = None
        if place.task is not None:
            place.asked = place.actor.messages.remote(POLL_SECONDS)
        return found

    def _ended(self, place: _Place, error: Exception) -> Message:
        """Return what an error says of a task: its worker is gone, or could not read it."""
        faults = self._ray.exceptions
        if isinstance(error, faults.RaySystemError) or (
            isinstance(error, faults.RayTaskError) and not isinstance(error, faults.RayActorError)
        ):
            return Crashed(f"the Ray worker{_on(place.hello)} could not begin the task: {error}")
        return Died(f"the Ray worker{_on(place.hello)} ended: {_why(error)}")

    def _welcome(self, place: _Place, hello: Hello) -> None:
        """Make an actor ready, or refuse its node where that has other versions."""
        if not hello.differences:
            place.hello, place.asked = hello, None
            return
        why = "; ".join(hello.differences)
        if hello.node not in self._refused:
            self._refused[hello.node] = f"{hello.host} has {why}"
            LOG.warning("the node %s is not used: it has %s", hello.host, why)
        if self._cluster.nodes().keys() <= self._refused.keys():
            raise EdgebenchError(
                "no node of the Ray cluster has the versions of this machine: "
                f"{'; '.join(self._refused.values())}; install the same on all"
            )
        self._replace(place)

    # Data -----------------------------------------------------------------------------------

    def _learn(self, task: Task, message: Message) -> None:
        """Remember the digest of the data set that the first worker read: all must have it."""
        config = getattr(task, "config", None)
        if config is not None and isinstance(message, Done) and isinstance(message.result, Facts):
            self._digests.setdefault(config.data_key, message.result.dataset_digest)

    def _ship(self, place: _Place, wanted: DataWanted) -> None:
        """Send a node the data set that it has not, through the object store: once a node."""
        key = wanted.config.data_key
        try:
            if key not in self._parcels:
                self._parcels.clear()  # one at a time: the object store is memory
                self._parcels[key] = self._ray.put(packed(wanted.config, self._data_dir))
            place.actor.provide.remote(self._parcels[key])
        except EdgebenchError:
            place.actor.provide.remote(None)  # it says itself what it lacks

    def _warn_of_no_room(self) -> None:
        """Say once that nothing goes on, where what waits has no place."""
        if self._warned or not self._waiting or any(p.hello or p.fresh for p in self._places):
            return
        self._warned = True
        asked = ", ".join(f"{value:g} {name[4:]}" for name, value in self._share.items() if value)
        LOG.warning("no node of the Ray cluster has room for a worker of %s; waiting", asked)


@POOLS.register
def ray(
    address: str, *, workers: int, device: str, data_dir: Path, gpus_per_trial: float | None = None
) -> RayPool:
    """Actors of a Ray cluster: ``ray`` is the one here or a new one, ``ray://HOST:PORT`` another.

    Raises:
        EdgebenchError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise EdgebenchError(
            "--pool ray: the package 'ray' is not installed: pip install 'edgebench[cluster]' "
            "brings it"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return RayPool(address, workers, device=device, data_dir=data_dir, gpus=gpus_per_trial)


def _on(hello: Hello | None) -> str:
    return f" on {hello.host}" if hello else ""


def _why(error: BaseException) -> str:
    """Return the sentence of Ray's message that says by what an actor ended."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "because" in line or "died" in line]
    return (told or lines or [type(error).__name__])[-1][:300]
