"""A study on a recorded table: the package's own coordinator, with a pool that replays trainings.

What draws, what refuses, what stops and what is told to whom is the code of real studies
(`edgebench.search`): only the pool, which answers from the table in no time and counts the
training seconds that it would have taken, and the record, which is kept in memory, are others.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

from edgebench import trial
from edgebench.record import Facts, Row, State, front
from edgebench.report import hypervolume
from edgebench.search import coordinator
from edgebench.search.coordinator import Coordinator
from edgebench.search.dispatcher import Dispatcher
from edgebench.search.messages import Done, EpochEnded, Message, Reply
from edgebench.search.sampler import Sampler, initialize
from edgebench.search.settings import Settings
from edgebench.search.stopping import EARLY_STOPPING
from edgebench.search.tasks import Prepare, RunTrial, Task
from edgebench.space import Sweep, TrialConfig, load

HERE = Path(__file__).parent
UNLOCKED: Any = SimpleNamespace(check=lambda: None)
"""The lock of a study that nobody else can reach."""
FLOOR = 0.5
"""The accuracy of the reference point of the hypervolume; its ROM is the budget's limit."""


class Table:
    """Every configuration that the gate admits, with its curve and the seconds of its epochs."""

    def __init__(self, path: Path) -> None:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            self.facts, *lines = [json.loads(line) for line in file if line.endswith("\n")]
        self.sweep = load(HERE / "fashion.yaml")
        self.lines = {self.key(line["params"]): line for line in lines}
        rows = [row_of(number, line) for number, line in enumerate(lines) if line["curve"]]
        assert self.sweep.budget is not None  # noqa: S101 - it is in the file
        self.reference = np.array([1 - FLOOR, self.sweep.budget.limits["rom_bytes"]])
        self.members = [row.metrics for row in front(rows, self.sweep.objectives)]
        self.best = self.hypervolume(self.members)

    @staticmethod
    def key(params: Mapping[str, Any]) -> str:
        """Identify a configuration, whatever its data set is called."""
        return json.dumps(params, sort_keys=True)

    def hypervolume(self, found: Sequence[Mapping[str, float]]) -> float:
        """Return what the metrics of some trials dominate before the reference point."""
        return hypervolume([_costs(metrics) for metrics in found], self.reference)


def row_of(number: int, line: Mapping[str, Any]) -> Row:
    """Return a line of the table as a trial that finished."""
    accuracy = [epoch[3] for epoch in line["curve"]]
    metrics = {**line["footprint"], "val/accuracy_best": max(accuracy)}
    curves = {"val/accuracy": accuracy, "seconds": line["seconds"]}
    return Row(number, "", "", State.FINISHED, None, line["params"], metrics, curves=curves)


def _costs(metrics: Mapping[str, float]) -> list[float]:
    return [1 - metrics["val/accuracy_best"], metrics["footprint/rom_bytes"]]


class ReplayPool:
    """One worker that trains in no time; ``seconds`` are those that the table's epochs took."""

    size = 1

    def __init__(self, table: Table) -> None:
        self.table = table
        self.seconds = 0.0
        self._numbers = 0
        self._waiting: deque[Message] = deque()
        self._task: RunTrial | None = None
        self._reply = Reply()
        self._epoch = 0

    def idle(self) -> int:
        """Return 1 while nothing is under way."""
        return int(self._task is None and not self._waiting)

    def submit(self, task: Task) -> int:
        """Begin a task."""
        self._numbers += 1
        if isinstance(task, Prepare):
            self._waiting.append(Done(facts_of(self.table)))
            return self._numbers
        assert isinstance(task, RunTrial)  # noqa: S101 - a search begins nothing else here
        self._task, self._reply = task, Reply(task.stop)
        self._epoch = int(task.start or 0)
        return self._numbers

    def messages(self, timeout: float | None = None) -> list[tuple[int, Message]]:  # noqa: ARG002
        """Return the next epoch of what is under way, or its end."""
        message = self._waiting.popleft() if self._waiting else self._next()
        return [(self._numbers, message)]

    def _next(self) -> Message:
        assert self._task is not None  # noqa: S101 - the dispatcher waits for something
        task, line = self._task, self.table.lines[self.table.key(self._task.config.params)]
        if self._reply == Reply() and self._epoch < len(line["curve"]):
            metrics = dict(zip(self.table.facts["curve"], line["curve"][self._epoch], strict=True))
            self.seconds += line["seconds"][self._epoch]
            self._epoch += 1
            more = self._epoch < len(line["curve"])
            state = str(self._epoch).encode() if task.keep and more else None
            return EpochEnded(self._epoch, metrics, sum(line["seconds"][: self._epoch]), state)
        self._task = None
        return Done(outcome(task, line, self._epoch, self._reply, self.table.facts["curve"]))

    def reply(self, number: int, reply: Reply) -> None:  # noqa: ARG002 - one task at a time
        """Stop or pause where the coordinator says so."""
        self._reply = reply

    def cancel(self, number: int) -> None:
        """Leave the task."""
        del number
        self._task = None

    def __enter__(self) -> Self:
        """Nothing is to be opened."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be closed."""


def outcome(
    task: RunTrial, line: Mapping[str, Any], epochs: int, reply: Reply, names: Sequence[str]
) -> trial.Outcome:
    """Return what `trial.run` would have, without the models."""
    if line["failure"]:
        return trial.Outcome(State.FAILED, line["failure"], task.gate.metrics)
    more = epochs < len(line["curve"])
    if reply.pause and more:
        return trial.Outcome(State.PAUSED)
    curve = tuple(dict(zip(names, epoch, strict=True)) for epoch in line["curve"][:epochs])
    accuracy = [epoch["val/accuracy"] for epoch in curve]
    metrics = {
        **task.gate.metrics,
        "val/accuracy_best": max(accuracy),
        "val/epoch_best": accuracy.index(max(accuracy)) + 1,
        "time/train_s": sum(line["seconds"][:epochs]),
    }
    state = State.PRUNED if reply.stop and more else State.FINISHED
    return trial.Outcome(state, reply.stop if more else None, metrics, curve)


def facts_of(table: Table) -> Facts:
    """Return what a worker would have found."""
    facts = table.facts
    return Facts(
        tuple(facts["input_shape"]), tuple(facts["classes"]), (), (), facts["dataset"],
        facts["digest"], facts["sizes"], {},
    )  # fmt: skip


class Ledger(SimpleNamespace):
    """The record of a study in memory: nothing of it is left running, so nothing is settled."""

    def __init__(self) -> None:
        nothing = lambda *_, **__: None  # noqa: E731 - the log's many verbs that say nothing here
        verbs = ("refuse", "log_epoch", "log_deaths", "end_trial", "flush_if_due", "refresh_views",
                 "pause_trial", "resume_trial", "leave")  # fmt: skip
        super().__init__(**dict.fromkeys(verbs, nothing), runs=0)

    def begin_trial(self, *_: object) -> str:
        """Number the runs."""
        self.runs += 1
        return str(self.runs)


@dataclass
class Replay:
    """A study that was replayed.

    ``trace`` holds the training seconds, and the share of the table's best hypervolume, after each
    trial that finished; ``rows`` what became of every trial.
    """

    trace: list[tuple[float, float]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    suggestion_seconds: float = 0.0

    def seconds_to(self, share: float) -> float:
        """Return the training seconds to a share of the best hypervolume; infinity if never."""
        return next((at for at, reached in self.trace if reached >= share), float("inf"))


class Measured(Coordinator):
    """The coordinator, which ends where the table's hypervolume is nearly reached."""

    def watch(self, pool: ReplayPool, enough: float) -> Replay:
        """Say where the seconds are counted, and how much is enough; return what is filled in."""
        self._pool, self._enough, self._found = pool, enough, list[Mapping[str, float]]()
        self.replay = Replay()
        return self.replay

    def following(self) -> Any:
        """Draw the next, as long as there is not enough."""
        if self.replay.trace and self.replay.trace[-1][1] >= self._enough:
            return None
        began = time.perf_counter()
        job = super().following()
        self.replay.suggestion_seconds += time.perf_counter() - began
        return job

    def ended(self, job: Any, outcome: trial.Outcome) -> None:
        """Take the hypervolume after each trial."""
        super().ended(job, outcome)
        if outcome.state is State.PAUSED:
            return
        self.replay.rows.append(coordinator.row_of(job, outcome))
        if outcome.state is State.FINISHED:
            self._found.append(outcome.metrics)
            share = self._pool.table.hypervolume(self._found) / self._pool.table.best
            self.replay.trace.append((self._pool.seconds, share))


def replay(table: Table, folder: Path, enough: float = 0.99, **changed: Any) -> Replay:
    """Replay one study of the table's sweep with some of its keys changed."""
    name = "-".join(str(value) for value in changed.values())
    sweep = dataclasses.replace(table.sweep, name=name, **changed)
    pool = ReplayPool(table)
    trained: list[Row] = []
    stopping = EARLY_STOPPING[sweep.early_stop](sweep, trained)
    facts = facts_of(table)
    with fast_gate(table):
        sampler = Sampler(sweep, store(folder, name))
        running = Measured(
            sampler, Ledger(), Dispatcher(pool, stopping),  # type: ignore[arg-type]
            Settings(storage=f"sqlite:///{folder}/{name}.db"),
            lambda _: None, UNLOCKED, {sweep.first().data_key: facts}, trained,
        )  # fmt: skip
        found = running.watch(pool, enough)
        running.in_rungs()
        running.dispatcher.run(running, running.rungs)
    return found


def store(folder: Path, name: str) -> str:
    """Return a fresh store of Optuna's: a copy of an empty one, which takes a second to make."""
    empty = folder / "empty.db"
    if not empty.is_file():
        initialize(f"sqlite:///{empty}")
    shutil.copy(empty, folder / f"{name}.db")
    return f"sqlite:///{folder}/{name}.db"


class fast_gate:  # noqa: N801 - a context manager, as contextlib's are
    """Measure each network once: a hundred studies meet the same ones again and again.

    Of a table that is not whole yet, what is not recorded is refused.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    kept: dict[str, trial.Gate] = {}  # noqa: RUF012 - one for all studies

    def __enter__(self) -> None:
        """Keep what the gate says of a network."""
        self._gate: Callable[..., trial.Gate] = coordinator.gate

        def gate(config: TrialConfig, *given: Any, **named: Any) -> trial.Gate:
            key = json.dumps([config.family, config.model_options], sort_keys=True)
            if key not in self.kept:
                self.kept[key] = self._gate(config, *given, **named)
            known = self.kept[key]
            if known.refusal is None and self._table.key(config.params) not in self._table.lines:
                return trial.Gate("not recorded", known.metrics)
            return known

        coordinator.gate = gate

    def __exit__(self, *_: object) -> None:
        """Leave the gate as it was."""
        coordinator.gate = self._gate


def swept(table: Table, **changed: Any) -> Sweep:
    """Return the table's sweep with some keys changed."""
    return dataclasses.replace(table.sweep, **changed)
