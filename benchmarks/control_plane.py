"""What a trial costs besides its training: drawing, gate, both stores, views; by trials recorded.

A pool that trains nothing answers at once with a made-up curve, so that everything else of a
search is what it is in earnest: Optuna's sampler and store, the gate, MLflow's store, the views.

Run: python benchmarks/control_plane.py [refused|trained|resume|report ...]
Last printed: see the end of this file.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from edgebench import space
from edgebench.record import Facts, State
from edgebench.report import document
from edgebench.search import POOLS, Settings, search
from edgebench.search.messages import Done, EpochEnded, Message, Reply
from edgebench.search.tasks import Judge, Prepare, RunTrial, Task
from edgebench.tracking import StudyLog, read_study
from edgebench.trial import Outcome

EPOCHS = 20
FACTS = Facts(
    (3, 32, 32), tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3, "made", "0" * 16,
    {"train": 1000, "validation": 100, "test": 100}, {"torch": "2", "device": "none"},
)  # fmt: skip
CONTENT: dict[str, Any] = {
    "dataset": "synthetic",
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
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()

    def idle(self) -> int:
        return int(not self._waiting)

    def submit(self, task: Task) -> int:
        self._number += 1
        self._waiting += [(self._number, message) for message in _messages(task)]
        return self._number

    def messages(self, timeout: float | None = None) -> list[tuple[int, Message]]:
        found, self._waiting = self._waiting, []
        return found

    def reply(self, number: int, reply: Reply) -> None: ...

    def cancel(self, number: int) -> None: ...


def _messages(task: Task) -> list[Message]:
    if isinstance(task, Prepare):
        return [Done(FACTS)]
    if isinstance(task, Judge):
        return [Done(dict.fromkeys(task.models, 0.5))]
    assert isinstance(task, RunTrial)
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


POOLS.add("none", lambda address, **_: NoTraining())


def run(folder: Path, events: list[float], **changed: Any) -> float:
    """Run a sweep, and append the time at which each trial ended; return when it began."""
    sweep = space.build({"name": "bench", **CONTENT, **changed})
    settings = Settings(
        storage=f"sqlite:///{folder}/optuna.db",
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        data_dir=folder,
        pool="none",
    )
    started = time.perf_counter()

    def observe(event: Any) -> None:
        if event.kind == "ended":
            events.append(time.perf_counter())

    search(sweep, settings, observe)
    return started


def show(title: str, seconds: list[float]) -> None:
    """Print the medians of the first and the last hundred."""
    first, last = (statistics.median(part) * 1e3 for part in (seconds[:100], seconds[-100:]))
    print(f"{title}: first 100 {first:.1f} ms, last 100 {last:.1f} ms, ratio {last / first:.2f}")


def refused(folder: Path, count: int = 1000) -> None:
    """Every candidate is over the budget."""
    events: list[float] = []
    started = run(folder, events, budget={"rom_bytes": 1}, run_cap=count // 10)
    times = [started, *events]
    show(f"{len(events)} refused", [b - a for a, b in zip(times[1:], times[2:], strict=False)])
    record = read_study("bench", tracking_uri=f"sqlite:///{folder}/mlflow.db")
    print(f"  rows recorded: {len(record.rows)}")


def trained(folder: Path, count: int = 300) -> None:
    """Every candidate is trained by nobody; artifacts are timed apart."""
    spent: list[float] = []
    real = StudyLog.write_artifacts

    def timed(self: StudyLog, *arguments: Any) -> None:
        begun = time.perf_counter()
        real(self, *arguments)
        spent.append(time.perf_counter() - begun)

    events: list[float] = []
    StudyLog.write_artifacts = timed  # type: ignore[method-assign]  # to time it, not to change it
    try:
        started = run(folder, events, run_cap=count)
    finally:
        StudyLog.write_artifacts = real  # type: ignore[method-assign]
    times = [started, *events]
    whole = [b - a for a, b in zip(times, times[1:], strict=False)][1:]
    show(f"{len(events)} trained, without artifacts",
         [w - s for w, s in zip(whole, spent[1:], strict=True)])  # fmt: skip
    show("  their artifacts, the model among them", spent)


def resume(folder: Path, count: int = 10_000) -> None:
    """Continue a study of many recorded trials: the time until its next trial begins."""
    from edgebench.search import sampler as sampler_module  # noqa: F401 - named for the reader

    events: list[float] = []
    run(folder, events, run_cap=count)
    begun: list[float] = []
    sweep = space.build({"name": "bench", **CONTENT, "run_cap": count + 1})
    settings = Settings(
        storage=f"sqlite:///{folder}/optuna.db", tracking_uri=f"sqlite:///{folder}/mlflow.db",
        data_dir=folder, pool="none",
    )  # fmt: skip
    started = time.perf_counter()
    search(sweep, settings, lambda event: begun.append(time.perf_counter()))
    print(f"{count} recorded: the next trial begins after {begun[0] - started:.1f} s")


def report(folder: Path, count: int = 500) -> None:
    """Read a study and write its table."""
    run(folder, [], run_cap=count)
    started = time.perf_counter()
    text = document(read_study("bench", tracking_uri=f"sqlite:///{folder}/mlflow.db"), "table")
    seconds = time.perf_counter() - started
    print(f"report of {count} trials: {seconds:.2f} s, {len(text)} characters")


def main() -> None:
    """Run what is named, each in a new folder."""
    parts = {"refused": refused, "trained": trained, "report": report, "resume": resume}
    for word in sys.argv[1:] or ["refused", "trained", "report"]:
        name, _, count = word.partition("=")
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            parts[name](Path(folder), *([int(count)] if count else []))


if __name__ == "__main__":
    main()
