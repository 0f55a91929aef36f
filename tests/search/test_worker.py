"""A worker: a process that may die, which is said, survived, and never taken for an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench.errors import EdgebenchError
from edgebench.search.worker import Worker, WorkerDied, crew
from edgebench.space import TrialConfig


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """One worker, on data that no file is read for."""
    with crew(1, device="cpu", data_dir=tmp_path) as workers:
        yield workers[0]


def death(worker: Worker) -> None:
    """Kill the process as the system would."""
    worker.process.kill()
    worker.process.join()


def test_a_worker_that_died_idle_is_begun_anew_when_asked(worker: Worker) -> None:
    """What it was asked last has its answer; the next question has its own."""
    worker.ask("prepare", "digits", 0)
    facts = worker.receive().content
    first = worker.process.pid
    death(worker)
    worker.ask("prepare", "digits", 0)
    assert worker.receive().content == facts
    assert worker.process.pid != first


def test_a_death_is_an_error_of_a_question_and_an_outcome_of_a_trial(worker: Worker) -> None:
    """A trial's row can say why; a question has no row."""
    worker.ask("prepare", "digits", 0)
    death(worker)
    with pytest.raises(WorkerDied, match=r"^the worker process ended with signal 9 \(out of mem"):
        worker.receive()
    worker.ask("trial", TrialConfig({"model.family": "vgg"}, "digits"), None)
    death(worker)
    message = worker.receive()
    assert message.kind == "outcome"
    assert message.content.state == "failed"
    assert message.content.reason == "the worker process ended with signal 9 (out of memory?)"


def test_a_mistake_and_a_fault_are_told_apart(worker: Worker) -> None:
    """The user reads the first; the second is ours, with its traceback."""
    worker.ask("prepare", "folder:nowhere", 0)
    with pytest.raises(EdgebenchError, match="nowhere"):
        worker.receive()
    worker.ask("prepare", "digits", "no seed")
    with pytest.raises(RuntimeError, match="Traceback"):
        worker.receive()
