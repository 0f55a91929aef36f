"""Contracts that every pool keeps; a new pool is under test by existing.

A pool may name in ``POOLS`` more kinds than this machine can open: a kind that needs an address or
a package says so in one message, and is passed over here.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray_nodes import cluster
from stopwatch import PATIENCE

from edgebench.errors import EdgebenchError
from edgebench.record import Facts
from edgebench.search.cluster import cores_each
from edgebench.search.host import DataWanted, Host, differences, versions
from edgebench.search.messages import Crashed, Died, Done, EpochEnded, Message, Mistaken, Reply
from edgebench.search.parcels import packed, unpacked
from edgebench.search.pools import POOLS, Pool, open_pool
from edgebench.search.pools.local import ENVIRONMENT, LocalPool, threads_for
from edgebench.search.tasks import Prepare, Worker
from edgebench.space import TrialConfig


@dataclass(frozen=True)
class Say:
    """A task that returns what it was given, and where it ran."""

    word: str

    def run(self, worker: Worker) -> Any:
        """Answer."""
        return self.word, os.getpid(), worker.device.type


@dataclass(frozen=True)
class Meet:
    """A task that ends when as many are under way as are to meet in a folder."""

    word: str
    folder: Path
    count: int = 2

    def run(self, worker: Worker) -> Any:
        """Come, and wait for the others."""
        (self.folder / self.word).touch()
        deadline = time.monotonic() + PATIENCE
        while len(list(self.folder.iterdir())) < self.count and time.monotonic() < deadline:
            time.sleep(0.01)
        return Say(self.word).run(worker)


@dataclass(frozen=True)
class Count:
    """A task of several epochs, which listens to the replies where it is told to."""

    epochs: int
    replies: bool

    def run(self, worker: Worker) -> Any:
        """Tell each epoch; stop where the reply says so, and return how many there were."""
        for number in range(1, self.epochs + 1):
            reply = worker.tell(EpochEnded(number, {"val/accuracy": number / 10}), self.replies)
            if reply.stop is not None:
                return number, reply.stop
        return self.epochs, None


@dataclass(frozen=True)
class End:
    """A task in which the worker ends, by a signal or an exit code."""

    how: str

    def run(self, worker: Worker) -> Any:  # noqa: ARG002 - a task's signature
        """Die."""
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        os._exit(3)


@dataclass(frozen=True)
class Fail:
    """A task that raises."""

    error: Exception

    def run(self, worker: Worker) -> Any:  # noqa: ARG002 - a task's signature
        """Raise."""
        raise self.error


@dataclass(frozen=True)
class Imported:
    """A task that returns which of some packages its worker has imported."""

    packages: tuple[str, ...]

    def run(self, worker: Worker) -> Any:  # noqa: ARG002 - a task's signature
        """Look."""
        return tuple(name for name in self.packages if name in sys.modules)


@dataclass(frozen=True)
class Sleep:
    """A task that takes long."""

    def run(self, worker: Worker) -> Any:  # noqa: ARG002 - a task's signature
        """Sleep for longer than any test waits."""
        time.sleep(600)


@pytest.fixture(params=POOLS, scope="module")
def pool(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool]:
    """Open each kind of pool, with two workers; of Ray, on a cluster of two nodes."""
    if request.param == "ray":
        cluster()
    try:
        made = open_pool(
            request.param, workers=2, device="cpu", data_dir=tmp_path_factory.mktemp("data")
        )
    except EdgebenchError as error:
        pytest.skip(str(error))
    with made as opened:
        yield opened


def ended(pool: Pool, number: int) -> Message:
    """Wait for the message that ends a task; others' messages are passed over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for found, message in pool.messages(1.0):
            if found == number and not isinstance(message, EpochEnded):
                return message
    raise AssertionError("the task did not end")


def test_a_result_comes_back_under_the_tasks_number(pool: Pool, tmp_path: Path) -> None:
    """Two at once, each with its own answer, on the device that was asked for."""
    numbers = {pool.submit(Meet(word, tmp_path)): word for word in ("one", "two")}
    assert pool.idle() == 0
    found: dict[int, Message] = {}
    deadline = time.monotonic() + PATIENCE
    while len(found) < 2 and time.monotonic() < deadline:
        found |= dict(pool.messages(1.0))
    results = {
        number: message.result for number, message in found.items() if isinstance(message, Done)
    }
    assert {number: result[0] for number, result in results.items()} == numbers
    assert len({process for _, process, _ in results.values()} - {os.getpid()}) == 2
    assert {device for _, _, device in results.values()} == {"cpu"}
    assert pool.idle() == pool.size == 2


def test_waiting_ends_where_nothing_comes(pool: Pool) -> None:
    """Then there are no messages, and no error."""
    begun = time.monotonic()
    assert pool.messages(0.2) == []
    assert time.monotonic() - begun < 30


def test_epochs_come_in_order_and_none_is_waited_for(pool: Pool) -> None:
    """A task that asks for no reply goes on by itself."""
    number = pool.submit(Count(5, replies=False))
    heard: list[int] = []
    message: Message | None = None
    deadline = time.monotonic() + PATIENCE
    while message is None and time.monotonic() < deadline:
        for _, each in pool.messages(1.0):
            if isinstance(each, EpochEnded):
                heard.append(each.number)
                assert each.metrics == {"val/accuracy": each.number / 10}
            else:
                message = each
    assert heard == [1, 2, 3, 4, 5]
    assert message == Done((5, None))
    assert number >= 0


def test_a_reply_is_waited_for_and_can_stop(pool: Pool) -> None:
    """Go on, go on, stop: three epochs, and the reason arrives."""
    number = pool.submit(Count(9, replies=True))
    heard: list[int] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for _, message in pool.messages(1.0):
            if isinstance(message, Done):
                assert heard == [1, 2, 3]
                assert message.result == (3, "that is enough")
                return
            assert isinstance(message, EpochEnded)
            heard.append(message.number)
            pool.reply(number, Reply("that is enough" if message.number == 3 else None))
    raise AssertionError("the task did not end")


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_death_is_a_message_and_the_next_task_has_a_fresh_worker(pool: Pool, how: str) -> None:
    """Never an exception; as many workers as before."""
    message = ended(pool, pool.submit(End(how)))
    assert isinstance(message, Died)
    assert message.how
    assert pool.idle() == 2
    again = ended(pool, pool.submit(Say("alive")))
    assert isinstance(again, Done)
    assert again.result[0] == "alive"


def test_mistakes_and_faults_are_told_apart(pool: Pool) -> None:
    """The user reads the first; the second is ours, with its traceback."""
    mistake = ended(pool, pool.submit(Fail(EdgebenchError("write this", "and that"))))
    assert mistake == Mistaken(("write this", "and that"))
    fault = ended(pool, pool.submit(Fail(ZeroDivisionError("of our own"))))
    assert isinstance(fault, Crashed)
    assert fault.traceback.startswith("ZeroDivisionError: of our own\nTraceback")


def test_a_cancelled_task_says_no_more_and_frees_its_place(pool: Pool) -> None:
    """Whatever it is doing."""
    number = pool.submit(Sleep())
    assert pool.idle() == 1
    pool.cancel(number)
    assert pool.idle() == 2
    other = ended(pool, pool.submit(Say("after")))
    assert isinstance(other, Done)


def test_data_are_read_where_the_worker_is(pool: Pool) -> None:
    """The facts of the data set and of the machine that trains."""
    message = ended(pool, pool.submit(Prepare(TrialConfig({"model.family": "gap"}, "synthetic"))))
    assert isinstance(message, Done)
    facts = message.result
    assert isinstance(facts, Facts)
    assert (facts.input_shape, len(facts.classes)) == ((3, 16, 16), 4)
    assert facts.split_sizes == {"train": 576, "validation": 64, "test": 160}
    assert facts.environment["device"] == "cpu"


def test_nothing_runs_on_after_the_pool_is_closed(tmp_path: Path) -> None:
    """Its processes are gone, a busy one too."""
    import psutil

    others = set(psutil.Process().children())
    with open_pool("local", workers=2, device="cpu", data_dir=tmp_path) as opened:
        opened.submit(Sleep())
        mine = set(psutil.Process().children()) - others
        workers = [one for one in mine if "spawn_main" in " ".join(one.cmdline())]
        assert workers
    assert not [one for one in workers if one.is_running() and one.status() != "zombie"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loca", "unknown pool 'loca'; did you mean 'local'?"),
        ("local://here", "--pool local://here: the local pool takes no address"),
        ("local://", "--pool local://: write the address after '://', or 'local' alone"),
    ],
)
def test_a_pool_that_is_none_is_one_message(name: str, message: str) -> None:
    """With the nearest kind, or the way to write it."""
    with pytest.raises(EdgebenchError) as caught:
        open_pool(name, workers=1, device="cpu", data_dir=Path())
    assert str(caught.value) == message


def test_cores_are_divided_among_workers() -> None:
    """Never more threads than cores, and never none."""
    cores = len(os.sched_getaffinity(0))
    assert threads_for(1) == cores
    assert threads_for(cores) == 1
    assert threads_for(10 * cores) == 1


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable of the environment is a worker's default, not its fate."""
    name = next(iter(ENVIRONMENT))
    monkeypatch.setenv(name, "4096")
    with open_pool("local", workers=1, device="cpu", data_dir=tmp_path) as opened:
        message = ended(opened, opened.submit(Environment(name)))
    assert message == Done("4096")
    assert os.environ[name] == "4096"


@dataclass(frozen=True)
class Environment:
    """A task that returns a variable of its process."""

    name: str

    def run(self, worker: Worker) -> Any:  # noqa: ARG002 - a task's signature
        """Return the variable."""
        return os.environ.get(self.name)


def test_a_worker_imports_nothing_of_the_coordinators(pool: Pool) -> None:
    """MLflow and Optuna would cost each worker seconds and a third of its memory."""
    if not isinstance(pool, LocalPool):
        pytest.skip("its workers are no processes of their own")
    message = ended(pool, pool.submit(Imported(("mlflow", "optuna", "click", "matplotlib"))))
    assert message == Done(())


def test_a_data_set_that_a_node_lacks_is_sent_to_it(tmp_path: Path) -> None:
    """Whole: what the worker then says of it is what the coordinator reads, and it can train."""
    from edgebench import trial

    config = TrialConfig({"model.family": "gap"}, "digits")
    parcel = packed(config, tmp_path)
    sent = unpacked(parcel)
    read = trial.dataset_of(config, tmp_path)
    assert (sent.digest, sent.classes, sent.sizes) == (read.digest, read.classes, read.sizes)
    assert sent.contents == read.contents
    lost = TrialConfig({"model.family": "gap"}, "folder:/nowhere/at/all")
    host = Host("cpu", tmp_path, 1, [])
    assert host.begin(Prepare(lost), {}) == []
    assert host.messages(PATIENCE) == [DataWanted(lost)]
    host.provide(parcel)
    [message] = host.messages(PATIENCE)
    assert isinstance(message, Done)
    assert message.result.dataset_digest == read.digest
    host.begin(Prepare(lost), {lost.data_key: "another"})
    assert host.messages(PATIENCE) == [DataWanted(lost)]
    host.provide(parcel)
    [refused] = host.messages(PATIENCE)
    assert isinstance(refused, Mistaken)
    assert f"has the digest {read.digest}, the study's is another" in refused.mistakes[0]


def test_a_parcel_that_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    """By its digest."""
    parcel = packed(TrialConfig({"model.family": "gap"}, "digits"), tmp_path)
    with pytest.raises(EdgebenchError, match=r"^the data set 'digits' did not arrive whole"):
        unpacked({**parcel, "digest": "0" * 16})


def test_a_worker_of_other_versions_is_named_with_both() -> None:
    """The coordinator's and its own."""
    theirs = {"torch": "2.9.0", "numpy": "2.4.6"}
    assert differences(theirs, {"torch": "2.15.0", "numpy": "2.4.6"}) == (
        "torch 2.9.0, the coordinator 2.15.0",
    )
    assert differences(versions(), versions()) == ()


@pytest.mark.parametrize(
    ("nodes", "workers", "cores"), [([8, 8], 2, 8), ([8, 8], 3, 4), ([4], 8, 1), ([], 2, 1)]
)
def test_a_clusters_cores_are_divided_as_they_lie(
    nodes: list[int], workers: int, cores: int
) -> None:
    """A worker's cores are all on one node."""
    assert cores_each(nodes, workers) == cores
