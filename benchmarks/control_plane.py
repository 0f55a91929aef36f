"""What a trial costs besides its training: drawing, gate, both stores, views; by trials recorded.

A pool that trains nothing answers at once with a made-up curve, so that everything else of a
search is what it is in earnest: Optuna's sampler and store, the gate, MLflow's store, the views.
The studies of `resume` are trials recorded so, whose rows are then copied inside both databases.

Run: python benchmarks/control_plane.py [refused|trained|report|mixed|resume ...][=COUNT]
Last printed, by refused=1000 trained=200 report=500 (2 cores, others of ours at
work now and then; the machine's own speed changes by a half between days, so ratios say more):
    1000 refused, the gate included: first 100 20.2 ms, last 100 22.1 ms, ratio 1.09
      rows recorded: 1000
    200 trained, 20 epochs: first 100 45.4 ms, last 100 51.1 ms, ratio 1.12
      their gate: first 100 8.5 ms, last 100 8.8 ms, ratio 1.04
      their artifacts, the model among them: first 100 30.1 ms, last 100 30.5 ms, ratio 1.02
    report of 500 rows: 0.28 s, 148664 characters
Since a start reads the study once, with the curves of the newest thousand, by resume:
    10000 recorded: the next trial begins after 7.5 s
      reading 10000 rows: 4.6 s, 1139 MB
By mixed, with other processes at work:
    report of 3200 rows: 1.37 s, 2777739 characters
      its page: 1.30 s, 5.7 MB, 865 MB of memory
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from edgebench import space
from edgebench.record import Facts, Row, State, StudyRecord
from edgebench.report import document, page
from edgebench.search import POOLS, Settings, coordinator, search
from edgebench.search.messages import Done, EpochEnded, Message, Reply
from edgebench.search.tasks import Judge, Prepare, RunTrial, Task
from edgebench.tracking import StudyLog, read_study
from edgebench.tracking.runs import TRIAL
from edgebench.trial import Outcome

EPOCHS = 20
FACTS = Facts(
    (3, 32, 32), tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3, "made", "0" * 16,
    {"train": 1000, "validation": 100, "test": 100}, {"torch": "2", "device": "none"},
)  # fmt: skip
CONTENT: dict[str, Any] = {
    "dataset": "synthetic",
    "method": "tpe",  # `edgebench` measures up to sixty networks for each choice
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"min": 8, "max": 64},
        "model.blocks": {"min": 2, "max": 4},
        "model.hidden": {"min": 32, "max": 512, "when": {"model.family": "vgg"}},
        "train.learning_rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "train.batch_size": {"values": [32, 64, 128]},
        "train.epochs": EPOCHS,
    },
}


class NoTraining:
    """A pool that answers every task at once."""

    size = 1

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Message]] = []
        self._number = 0

    def __enter__(self) -> Self:
        """Start nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop nothing."""
        self._waiting.clear()

    def idle(self) -> int:
        """Take one task at a time."""
        return int(not self._waiting)

    def submit(self, task: Task) -> int:
        """Answer a task with all its messages."""
        self._number += 1
        self._waiting += [(self._number, message) for message in _messages(task)]
        return self._number

    def messages(self, _timeout: float | None = None) -> list[tuple[int, Message]]:
        """Return the answers to the last task."""
        found, self._waiting = self._waiting, []
        return found

    def reply(self, number: int, reply: Reply) -> None:
        """Nobody waits for a reply."""

    def cancel(self, number: int) -> None:
        """Nothing runs that could be cancelled."""


def _messages(task: Task) -> list[Message]:
    if isinstance(task, Prepare):
        return [Done(FACTS)]
    if isinstance(task, Judge):
        return [Done({f"test/accuracy{suffix}": 0.5 for suffix in task.models})]
    if not isinstance(task, RunTrial):
        raise TypeError(task)
    rom = task.gate.metrics["footprint/rom_bytes"]
    best = 0.5 + 0.4 * rom / (rom + 1e6)
    curve = tuple(
        {"train/loss": 2 - n / EPOCHS, "train/accuracy": best * n / EPOCHS, "val/loss": 2.0,
         "val/accuracy": best * n / EPOCHS}
        for n in range(1, EPOCHS + 1)
    )  # fmt: skip
    metrics = {**task.gate.metrics, "val/accuracy_best": best, "time/train_s": 1.0}
    outcome = Outcome(State.FINISHED, None, metrics, curve, "float32", onnx=_model())
    return [*(EpochEnded(n, epoch) for n, epoch in enumerate(curve, 1)), Done(outcome)]


@functools.cache
def _model() -> bytes:
    """Return a small ONNX file, to be logged as a trial's model."""
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 10])
        for name in ("input", "logits")
    ]
    node = helper.make_node("Identity", ["input"], ["logits"])
    graph = helper.make_graph([node], "made", ends[:1], ends[1:])
    return bytes(helper.make_model(graph).SerializeToString())


POOLS.add("none", lambda _address, **_: NoTraining())


def settings(folder: Path) -> Settings:
    """Return stores in ``folder`` and the pool that trains nothing."""
    return Settings(
        storage=f"sqlite:///{folder}/optuna.db",
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        data_dir=folder,
        pool="none",
    )


def run(folder: Path, **changed: Any) -> list[float]:
    """Run a sweep; return when it began and when each trial ended."""
    times = [time.perf_counter()]

    def observe(event: Any) -> None:
        if event.kind == "ended":
            times.append(time.perf_counter())

    search(space.build({"name": "bench", **CONTENT, **changed}), settings(folder), observe)
    return times


@contextlib.contextmanager
def timed(owner: Any, name: str) -> Iterator[list[float]]:
    """Collect the seconds of each call of a function, which does what it always does."""
    real, spent = getattr(owner, name), []

    def watched(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - begun)

    setattr(owner, name, watched)
    try:
        yield spent
    finally:
        setattr(owner, name, real)


def show(title: str, seconds: list[float]) -> None:
    """Print the medians of the first and the last hundred."""
    first, last = (statistics.median(part) * 1e3 for part in (seconds[:100], seconds[-100:]))
    print(f"{title}: first 100 {first:.1f} ms, last 100 {last:.1f} ms, ratio {last / first:.2f}")


def refused(folder: Path, count: int = 1000) -> None:
    """Every candidate is over the budget."""
    times = run(folder, budget={"rom_bytes": 1}, run_cap=count // 10)
    show(f"{len(times) - 1} refused, the gate included", differences(times)[1:])
    _, record = read(folder)
    print(f"  rows recorded: {len(record.rows)}")


def trained(folder: Path, count: int = 300) -> None:
    """Every candidate is trained by nobody; gate and artifacts are timed apart."""
    with timed(StudyLog, "write_artifacts") as artifacts, timed(coordinator, "gate") as gates:
        times = run(folder, run_cap=count)
    parts = zip(differences(times), artifacts, gates, strict=True)
    show(f"{count} trained, {EPOCHS} epochs", [whole - a - g for whole, a, g in parts][1:])
    show("  their gate", gates)
    show("  their artifacts, the model among them", artifacts)


def resume(folder: Path, count: int = 10_000) -> None:
    """Continue a study of many recorded trials: the time until its next trial begins."""
    base = 100
    with timed(StudyLog, "write_artifacts"):
        run(folder, run_cap=base)
    multiply(folder, base, count // base)
    sweep = space.build({"name": "bench", **CONTENT, "run_cap": count + 1})
    started = time.perf_counter()
    begun = 0.0

    def observe(_event: Any) -> None:
        nonlocal begun
        begun = time.perf_counter()
        raise KeyboardInterrupt  # the end of such a study is of no interest here

    with contextlib.suppress(KeyboardInterrupt):
        search(sweep, settings(folder), observe)
    print(f"{count} recorded: the next trial begins after {begun - started:.1f} s", flush=True)
    seconds, record = read(folder)
    print(f"  reading {len(record.rows)} rows: {seconds:.1f} s, {megabytes()} MB")


def report(folder: Path, count: int = 500) -> None:
    """Read a study and write its table."""
    run(folder, run_cap=count)
    print_report(folder)


def mixed(folder: Path, trained: int = 200) -> None:
    """Report a study of fifteen times as many refused candidates as trained ones."""
    run(folder, run_cap=trained)
    over = read(folder)[1].rows[0]
    log = StudyLog(settings(folder).tracking_uri, "bench")
    sweep = space.build({"name": "bench", **CONTENT, "run_cap": trained})
    log.begin_sweep(sweep, FACTS, "bench")
    for number in range(trained, 16 * trained):
        name = f"trial-{number:04d}-{over.name}"
        log.refuse(Row(number, "", name, State.REFUSED, "too large", over.params, over.metrics))
    log.end_sweep("FINISHED", {})
    print_report(folder)
    started = time.perf_counter()
    _, record = read(folder, details=True)
    size = len(page(record))
    seconds = time.perf_counter() - started
    print(f"  its page: {seconds:.2f} s, {size / 1e6:.1f} MB, {megabytes()} MB of memory")


def print_report(folder: Path) -> None:
    """Print how long the table takes, its reading included."""
    started = time.perf_counter()
    _, record = read(folder)
    text = document(record, "table")
    seconds = time.perf_counter() - started
    print(f"report of {len(record.rows)} rows: {seconds:.2f} s, {len(text)} characters")


def read(folder: Path, *, details: bool = False) -> tuple[float, StudyRecord]:
    """Read the study back; return the seconds it took and the record."""
    started = time.perf_counter()
    record = read_study("bench", tracking_uri=settings(folder).tracking_uri, details=details)
    return time.perf_counter() - started, record


def differences(times: list[float]) -> list[float]:
    """Return the seconds between each moment and the next."""
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def megabytes() -> int:
    """Return the most memory that this process held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# A long study, without the hours: the rows of a short one, copied under other numbers -----------


def multiply(folder: Path, base: int, factor: int) -> None:
    """Copy the ``base`` trials of a study until there are ``factor`` times as many."""
    trial = "SELECT run_uuid FROM tags WHERE key = 'kind' AND value = 'trial'"
    run_id, child = "printf('z%03x', {k}) || substr(run_uuid, 5)", f"run_uuid IN ({trial})"
    number = f"CASE key WHEN '{TRIAL}' THEN CAST(value + {{k}} * {base} AS TEXT) ELSE value END"
    key = 'replace(value_json, \'"key": "\', \'"key": "{k}-\')'
    own = {"trial_id": f"trial_id + {{k}} * {base}"}
    copied: dict[str, dict[str, dict[str, str]]] = {
        "mlflow.db": {
            name: {"run_uuid": run_id} | ({"value": number} if name == "tags" else {})
            for name in ("runs", "tags", "params", "metrics", "latest_metrics")
        },
        "optuna.db": {
            "trials": own | {"number": f"number + {{k}} * {base}"},
            "trial_params": own,
            "trial_values": own,
            "trial_user_attributes": own | {"value_json": key},
            "trial_system_attributes": own,
        },
    }
    for file, tables in copied.items():
        with contextlib.closing(sqlite3.connect(folder / file)) as connection, connection:
            chosen = child if file == "mlflow.db" else f"trial_id <= {base}"
            for table, changes in tables.items():
                _copy(connection, table, changes, chosen, factor)


def _copy(
    connection: sqlite3.Connection, table: str, changes: dict[str, str], where: str, factor: int
) -> None:
    columns = [
        row[1]
        for row in connection.execute(f"PRAGMA table_info({table})")
        if row[1] in changes or not (row[5] and row[2] == "INTEGER")  # a key counts by itself
    ]
    source = f"temp.{table}_base"
    connection.execute(f"CREATE TABLE {source} AS SELECT * FROM {table} WHERE {where}")  # noqa: S608 - our own names
    for k in range(1, factor):
        values = ", ".join(changes.get(name, f'"{name}"').format(k=k) for name in columns)
        names = ", ".join(f'"{name}"' for name in columns)
        connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {source}")  # noqa: S608 - as above


def main() -> None:
    """Run what is named, each in a new folder."""
    parts = {
        "refused": refused,
        "trained": trained,
        "report": report,
        "mixed": mixed,
        "resume": resume,
    }
    for word in sys.argv[1:] or parts:
        name, _, count = word.partition("=")
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            parts[name](Path(folder), *([int(count)] if count else []))


if __name__ == "__main__":
    main()
