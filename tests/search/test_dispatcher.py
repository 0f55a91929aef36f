"""The dispatcher on a real pool of processes: order, replies, deaths, questions beside trials."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import EdgebenchError
from edgebench.record import State
from edgebench.search.dispatcher import ATTEMPTS, Dispatcher, Job, WorkerDied, outcome_of
from edgebench.search.messages import Crashed, Died, Done
from edgebench.search.pools import Pool, open_pool
from edgebench.search.tasks import Worker
from edgebench.space import TrialConfig
from edgebench.trial import Gate, Outcome, gate

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Open two local workers."""
    folder = tmp_path_factory.mktemp("data")
    with open_pool("local", workers=2, device="cpu", data_dir=folder) as opened:
        yield opened


def config(width: int, epochs: int = 2, **params: Any) -> TrialConfig:
    """Return a small candidate."""
    axes = {"model.family": "gap", "model.width": width, "model.blocks": 2}
    axes |= {"train.epochs": epochs, "train.batch_size": 64}
    return TrialConfig(axes | {n.replace("__", "."): v for n, v in params.items()}, "synthetic")


def job(number: int, **changed: Any) -> Job:
    """Return a trial that the gate admits."""
    candidate = config(number + 4, **changed)
    return Job(
        number, candidate, gate(candidate, None, SHAPE, 4), f"trial {number}", f"run{number}"
    )


@dataclass
class Collected:
    """Trials from a list; keeps all that it is told, in order."""

    waiting: list[Job]
    told: list[tuple[str, int]] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    ticks: int = 0

    def following(self) -> Job | None:
        """Return the next."""
        return self.waiting.pop(0) if self.waiting else None

    def epoch(self, job: Job, number: int, metrics: Mapping[str, float]) -> None:
        """Keep an epoch."""
        assert set(metrics) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
        self.told.append((f"epoch {number}", job.number))

    def retried(self, job: Job) -> None:
        """Keep a retry."""
        self.told.append(("retried", job.number))

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.told.append(("ended", job.number))
        self.outcomes[job.number] = outcome

    def tick(self) -> None:
        """Count."""
        self.ticks += 1


@dataclass
class StopAfter:
    """A rule that stops a trial of many epochs after one of them."""

    epoch: int

    def judge(
        self, config: TrialConfig, gate: Gate, curve: Sequence[Mapping[str, float]]
    ) -> str | None:
        """Stop at the epoch, with what is known in the reason."""
        assert gate.metrics["footprint/rom_bytes"] > 0
        if len(curve) < self.epoch:
            return None
        return f"epoch {len(curve)} of {config.recipe.epochs} is enough"


def test_every_trial_is_run_and_told_in_order(pool: Pool) -> None:
    """Epochs before the end, each once; the clock is asked while there is nothing to do."""
    trials = Collected([job(number) for number in range(3)])
    Dispatcher(pool).run(trials)
    assert sorted(trials.outcomes) == [0, 1, 2]
    assert {outcome.state for outcome in trials.outcomes.values()} == {State.FINISHED}
    for number in range(3):
        assert [what for what, whose in trials.told if whose == number] == [
            "epoch 1",
            "epoch 2",
            "ended",
        ]
    assert trials.ticks > 1
    assert pool.idle() == 2


def test_a_rule_stops_a_trial_between_two_epochs(pool: Pool) -> None:
    """It is pruned, with the rule's reason; the other one, which is shorter, ends by itself."""
    trials = Collected([job(0, epochs=9), job(1, epochs=2)])
    Dispatcher(pool, StopAfter(3)).run(trials)
    assert trials.outcomes[0].state is State.PRUNED
    assert trials.outcomes[0].reason == "epoch 3 of 9 is enough"
    assert len(trials.outcomes[0].curve) == 3
    assert trials.outcomes[1].state is State.FINISHED


@dataclass
class Killer(Collected):
    """Kills every worker that tells of a trial in ``doomed``, at its first epoch."""

    doomed: Mapping[int, int] = field(default_factory=dict)
    spared: frozenset[int] = field(default_factory=lambda: frozenset(_workers()))
    """The workers of other pools: those that were there before this one's."""

    def epoch(self, job: Job, number: int, metrics: Mapping[str, float]) -> None:
        """Kill, as often as is said."""
        super().epoch(job, number, metrics)
        if len(job.deaths) < self.doomed.get(job.number, 0) and number == 1:
            for process in {*_workers()} - self.spared:
                os.kill(process, signal.SIGKILL)


def _workers() -> list[int]:
    import psutil

    children = psutil.Process().children()
    return [one.pid for one in children if "spawn_main" in " ".join(one.cmdline())]


def test_a_trial_whose_worker_dies_begins_anew(tmp_path: Path) -> None:
    """Its curve begins anew too, and it ends as if nothing had happened; the death is kept."""
    trials = Killer([job(0, epochs=10)], doomed={0: 1})
    with open_pool("local", workers=1, device="cpu", data_dir=tmp_path) as pool:
        Dispatcher(pool).run(trials)
    assert trials.outcomes[0].state is State.FINISHED
    assert len(trials.outcomes[0].curve) == 10
    after = trials.told[trials.told.index(("retried", 0)) + 1 :]
    assert [what for what, _ in after] == [*(f"epoch {n}" for n in range(1, 11)), "ended"]


@dataclass
class Keeper:
    """Rungs at which nobody waits: keeps which states came."""

    kept: list[int] = field(default_factory=list)

    def keep(self, job: Job) -> None:
        """Keep how many epochs the state has."""
        assert job.state
        self.kept.append(job.kept)

    def pausing(self, job: Job) -> bool:
        """Never."""
        del job
        return False


def test_in_rungs_a_trial_whose_worker_dies_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    """No epoch is trained twice: a state is kept of each, the last one for the export."""
    trials, keeper = Killer([job(0, epochs=6)], doomed={0: 1}), Keeper()
    with open_pool("local", workers=1, device="cpu", data_dir=tmp_path) as pool:
        Dispatcher(pool).run(trials, keeper)
    assert trials.outcomes[0].state is State.FINISHED
    assert len(trials.outcomes[0].curve) == 6
    epochs = [what for what, _ in trials.told if what.startswith("epoch")]
    again = trials.told[trials.told.index(("retried", 0)) :]
    assert 1 < len(again) < 8
    assert epochs == [f"epoch {n}" for n in range(1, 7)]
    assert keeper.kept == [1, 2, 3, 4, 5, 6]


def test_a_trial_that_kills_its_workers_fails_and_the_next_one_runs(tmp_path: Path) -> None:
    """Given up after a stated number of deaths, with the last one as the reason."""
    trials = Killer([job(0, epochs=10), job(1)], doomed={0: ATTEMPTS})
    with open_pool("local", workers=1, device="cpu", data_dir=tmp_path) as pool:
        Dispatcher(pool).run(trials)
    assert trials.outcomes[0].state is State.FAILED
    assert trials.outcomes[0].reason == (
        "the worker process ended with signal 9 (out of memory?), 2 times"
    )
    assert trials.outcomes[1].state is State.FINISHED


def test_a_fault_of_the_candidate_is_its_outcome(pool: Pool) -> None:
    """A gate that promised other figures: failed, and the pool goes on."""
    wrong = job(0)
    wrong.gate = Gate(None, {**wrong.gate.metrics, "footprint/macs": 1})
    trials = Collected([wrong, job(1)])
    Dispatcher(pool).run(trials)
    assert trials.outcomes[0].state is State.FAILED
    assert trials.outcomes[0].reason is not None
    assert trials.outcomes[0].reason.startswith("the MACs disagree: 1 in the ONNX graph")
    assert trials.outcomes[1].state is State.FINISHED


def test_a_mistake_of_the_request_ends_the_run(pool: Pool) -> None:
    """Data that are gone would fail every candidate: the user is told instead."""
    lost = job(0)
    lost.dataset = "folder:/nowhere/at/all"
    with pytest.raises(EdgebenchError, match="there is no folder '/nowhere/at/all'"):
        Dispatcher(pool).run(Collected([lost]))


@dataclass(frozen=True)
class Question:
    """A task that answers, or ends its worker."""

    answer: str | None

    def run(self, worker: Worker) -> Any:  # noqa: ARG002 - a task's signature
        """Answer or die."""
        if self.answer is None:
            os._exit(7)
        return self.answer


def test_a_question_is_answered_between_trials(pool: Pool) -> None:
    """Whatever messages of trials come meanwhile, none is lost."""
    dispatcher = Dispatcher(pool)
    answers: list[str] = []

    class Curious(Collected):
        """Asks before each trial."""

        def following(self) -> Job | None:
            """Ask, then go on."""
            answers.append(dispatcher.ask(Question(f"answer {len(answers)}")))
            return super().following()

    trials = Curious([job(number) for number in range(3)])
    dispatcher.run(trials)
    assert answers[:3] == ["answer 0", "answer 1", "answer 2"]
    assert sorted(trials.outcomes) == [0, 1, 2]


def test_a_question_that_kills_its_workers_is_a_failed_check(pool: Pool) -> None:
    """One line, exit code 1, no traceback."""
    with pytest.raises(WorkerDied) as caught:
        Dispatcher(pool).ask(Question(None))
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        "the worker process ended with exit code 7, 2 times in the same task"
    )
    assert Dispatcher(pool).ask(Question("alive")) == "alive"


def test_what_a_message_makes_of_a_trial() -> None:
    """One place says it for all ends."""
    finished = Outcome(State.FINISHED)
    assert outcome_of(Done(finished)) is finished
    assert outcome_of(Crashed("ValueError: x\nTraceback")).reason == "ValueError: x\nTraceback"
    assert outcome_of(Died("it ended"), ["it ended"]).reason == "it ended"
    assert outcome_of(Died("b"), ["a", "b"]).reason == "b, 2 times"
