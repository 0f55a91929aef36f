"""Training in rungs: who is laid aside, what goes on, and that no epoch is trained twice."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores
from small_study import CONTENT, build, go, statuses, where
from stopwatch import PATIENCE

from edgebench.record import Row, State
from edgebench.search import Event, search
from edgebench.search.checkpoints import Checkpoint, Checkpoints
from edgebench.search.dispatcher import Job
from edgebench.search.promise import FIRST, Promise
from edgebench.search.rungs import InRungs, rungs
from edgebench.space import TrialConfig
from edgebench.tracking import read_study
from edgebench.tracking.runs import reader
from edgebench.trial import Gate

EPOCHS = 4
ASKED: dict[str, Any] = {
    "method": "edgebench",
    "early_stop": "none",
    "run_cap": 4,
    "parameters": {
        "model.family": "gap",
        "model.blocks": 2,
        "model.width": {"values": [2, 3, 4, 6, 8, 12]},
        "train.learning_rate": {"values": [1e-5, 1e-3]},
        "train.epochs": EPOCHS,
        "train.batch_size": 64,
    },
}


def measure(config: TrialConfig) -> Gate:
    """Measure a network: its size is its width."""
    width = int(config.params["model.width"])
    return Gate(None, {"footprint/rom_bytes": width, "footprint/macs": width**2})


def job(number: int, width: int, *curve: float, rate: float = 1e-3, seconds: float = 1.0) -> Job:
    """Return a trial that has a curve, an epoch a second."""
    params = {**ASKED["parameters"], "model.width": width, "train.learning_rate": rate}
    config = build(**ASKED).config(params)
    found = Job(number, config, measure(config), f"trial {number}", str(number))
    found.curve = [{"val/accuracy": value} for value in curve]
    found.seconds, found.kept, found.state = seconds * len(curve), len(curve), b"state"
    return found


def finished(number: int, width: int, *curve: float) -> Row:
    """Return a trial that was trained to its end."""
    ended = job(number, width, *curve)
    metrics = {**ended.gate.metrics, "val/accuracy_best": max(curve), "time/train_s": 4.0}
    params, curves = ended.config.params, {"val/accuracy": curve}
    return Row(number, "", "", State.FINISHED, None, params, metrics, curves=curves)


RISING = (0.5, 0.6, 0.7, 0.75)
KNOWN = [finished(number, width, *RISING) for number, width in enumerate((2, 3, 6, 8))]


def study(
    folder: Path, known: Sequence[Row], running: Sequence[Job], new: Sequence[TrialConfig] | None
) -> InRungs:
    """Return the rungs of a study that knows some trials."""
    promise = Promise(build(**ASKED), measure, known, 0.25)
    under_way = dict(enumerate(running))
    return InRungs(promise, Checkpoints(folder / "paused", "this"), lambda: new, under_way)


def test_an_eighth_a_quarter_and_a_half() -> None:
    """Rounded up, each once, and never the last epoch."""
    assert [sorted(rungs(epochs)) for epochs in (1, 2, 4, 8, 15)] == [
        [],
        [1],
        [1, 2],
        [1, 2, 4],
        [2, 4, 8],
    ]


def test_a_trial_is_laid_aside_for_one_that_promises_more(tmp_path: Path) -> None:
    """Of two as costly ones the worse waits; the better goes on; between rungs nobody asks."""
    good, bad = job(8, 4, 0.6), job(9, 4, 0.1, rate=1e-5)
    each = study(tmp_path, KNOWN * 2, [bad], [])
    each.lay_aside(good)
    assert each.pausing(bad)
    assert each.following(()) is good
    bad.curve *= 3
    assert not each.pausing(bad)  # epoch 3 of 4 is no rung
    other = study(tmp_path, KNOWN * 2, [good], [])
    other.lay_aside(job(9, 4, 0.1, rate=1e-5))
    assert not other.pausing(good)


def test_the_first_ones_all_wait_after_their_first_rung(tmp_path: Path) -> None:
    """Until so many differ there is nothing to expect from; with no new ones they go on."""
    new = [job(9, 12).config]
    one = job(0, 4, 0.9)
    assert study(tmp_path, [], [one], new).pausing(one)
    assert not study(tmp_path, [], [one], ()).pausing(one)
    assert not study(tmp_path, [], [one], None).pausing(one)  # the time is over
    assert FIRST > 1


def test_what_is_left_is_what_is_paid(tmp_path: Path) -> None:
    """Of two that stand alike the one whose epochs take a fifth of the time is first."""
    each = study(tmp_path, KNOWN * 2, [], [])
    for one in (job(8, 4, 0.6, seconds=5.0), job(9, 4, 0.6, seconds=1.0)):
        each.lay_aside(one)
    found = each.following(())
    assert isinstance(found, Job)
    assert found.number == 9


def test_a_checkpoint_is_whole_and_of_one_candidate(tmp_path: Path) -> None:
    """Another study's, another candidate's, or one that was cut short is none."""
    kept = Checkpoints(tmp_path / "paused", "this")
    checkpoint = Checkpoint([{"val/accuracy": 0.1 + 0.2}], 1.5, b"\n\x00state" * 50)
    kept.save(3, "key", checkpoint)
    assert kept.load(3, "key") == checkpoint
    assert kept.load(4, "key") is kept.load(3, "other") is None
    assert Checkpoints(tmp_path / "paused", "another").load(3, "key") is None
    [file] = (tmp_path / "paused").iterdir()
    whole = file.read_bytes()
    for length in (0, 20, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert kept.load(3, "key") is None
    kept.save(4, "key", checkpoint)
    kept.only([4])
    assert kept.load(3, "key") is None
    assert kept.load(4, "key") == checkpoint
    kept.drop(4)
    assert not (tmp_path / "paused").exists()
    kept.drop(3)


def epochs_of(stores: Stores) -> dict[str, list[int]]:
    """Return which epochs MLflow has of each trial, in order."""
    client = reader(stores.tracking_uri)
    [experiment] = [one for one in client.search_experiments() if one.name == "try"]
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    return {
        run.info.run_name: [
            metric.step for metric in client.get_metric_history(run.info.run_id, "val/accuracy")
        ]
        for run in runs
    }


def test_a_study_trains_every_epoch_once(stores: Stores) -> None:
    """Without a rule that stops, all that was laid aside goes on before the end; two at once."""
    record, events = go(build(**ASKED), stores, workers=2)
    assert {row.state for row in record.rows} == {State.FINISHED}
    assert len(record.rows) == 4
    told = Counter(event.kind for event in events)
    assert told["paused"] >= 1
    assert told["started"] == told["paused"] + told["ended"]
    assert told["epoch"] == 4 * EPOCHS
    assert set(map(tuple, epochs_of(stores).values())) == {tuple(range(1, EPOCHS + 1))}
    assert statuses(stores) == (Counter(COMPLETE=4), Counter(FINISHED=5))
    assert not list(stores.folder.glob(".*.paused"))


def cut_off(stores: Stores, asked: dict[str, Any], paused: int) -> None:
    """Run a study until so many trials were laid aside, and press Ctrl-C."""
    told = Counter[str]()

    def observe(event: Event) -> None:
        told[event.kind] += 1
        if told["paused"] == paused:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(build(**asked), where(stores), observe)


def test_what_waits_when_a_study_is_cut_off_goes_on_the_next_time(stores: Stores) -> None:
    """It stands as paused in the record, and the same command trains what is left of it."""
    cut_off(stores, ASKED, 2)
    assert statuses(stores) == (Counter(RUNNING=2), Counter(SCHEDULED=2, KILLED=1))
    before = epochs_of(stores)
    assert set(map(tuple, before.values())) == {(1,)}
    shown = read_study("try", tracking_uri=stores.tracking_uri)
    assert {row.state for row in shown.rows} == {State.PAUSED}
    record, events = go(build(**ASKED), stores)
    assert {row.state for row in record.rows} == {State.FINISHED}
    assert len(record.rows) == 4
    assert sum(event.kind == "epoch" for event in events) == 4 * EPOCHS - 2
    assert set(map(tuple, epochs_of(stores).values())) == {tuple(range(1, EPOCHS + 1))}


def test_another_method_begins_anew_what_was_laid_aside(stores: Stores) -> None:
    """It has no use for states: what waited is closed as interrupted, and tried again."""
    asked = ASKED | {"run_cap": 2}
    cut_off(stores, asked, 1)
    record, _ = go(build(**asked | {"method": "random"}), stores)
    assert {row.state for row in record.rows} == {State.FINISHED}
    assert statuses(stores) == (Counter(COMPLETE=2, FAIL=1), Counter(FINISHED=3, KILLED=1))
    assert not list(stores.folder.glob(".*.paused"))


def test_kill_9_in_a_rung_loses_nothing(stores: Stores) -> None:
    """The same command goes on: no epoch twice, no trial begun anew, and the very same weights."""
    parameters = {**ASKED["parameters"], "train.batch_size": 16}
    file = stores.folder.parent / "try.yaml"
    asked = {**ASKED, "run_cap": 2, "parameters": parameters}
    file.write_text(json.dumps(CONTENT | asked))  # JSON is YAML
    where = ["--storage", stores.storage, "--tracking-uri", stores.tracking_uri]
    where += ["--data-dir", str(stores.folder.parent / "data")]
    command = [sys.executable, "-m", "edgebench.cli", "sweep", str(file), *where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE
    while len(list(stores.folder.glob(".try.paused/*.pt"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert statuses(stores)[0] == Counter(RUNNING=2)
    read_study("try", tracking_uri=stores.tracking_uri)  # closes what was left
    assert statuses(stores)[1]["RUNNING"] == 0
    record, events = go(build(**asked), stores)
    assert {row.state for row in record.rows} == {State.FINISHED}
    assert statuses(stores)[0] == Counter(COMPLETE=2)
    assert sum(event.kind == "epoch" for event in events) < 2 * EPOCHS
    for steps in epochs_of(stores).values():
        assert sorted(steps) == list(range(1, EPOCHS + 1))
    cut = record.rows[0]
    assert weights(stores, cut) == alone(stores, cut)


@pytest.mark.parametrize("cut", ["command", "worker"])
def test_what_is_cut_off_in_its_export_has_every_epoch_once(stores: Stores, cut: str) -> None:
    """The state of the last epoch is kept too: nothing is trained again."""
    told = Counter[str]()

    def observe(event: Event) -> None:
        told[event.kind] += 1
        if event.kind == "epoch" and event.epoch == EPOCHS and not told["cut"]:
            told["cut"] += 1
            if cut == "command":
                raise KeyboardInterrupt
            for child in psutil.Process().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()

    asked = build(**ASKED | {"run_cap": 1})
    with pytest.raises(KeyboardInterrupt) if cut == "command" else contextlib.nullcontext():
        search(asked, where(stores), observe)
    record = search(asked, where(stores), observe)
    assert [row.state for row in record.rows] == [State.FINISHED]
    assert told["epoch"] == EPOCHS
    assert [sorted(steps) for steps in epochs_of(stores).values()] == [[1, 2, 3, 4]]
    assert weights(stores, record.rows[0]) == alone(stores, record.rows[0])


def test_a_trial_whose_state_is_lost_begins_anew_in_another_run(stores: Stores) -> None:
    """In the first one its epochs would stand twice; that one is closed."""

    def observe(event: Event) -> None:
        if event.kind == "paused":
            for file in stores.folder.glob(".try.paused/*.pt"):
                file.unlink()

    record = search(build(**ASKED | {"run_cap": 2}), where(stores), observe)
    assert [row.state for row in record.rows] == [State.FINISHED] * 2
    assert [sorted(steps) for steps in epochs_of(stores).values()] == [[1, 2, 3, 4]] * 2
    assert statuses(stores)[1]["KILLED"] >= 1


def weights(stores: Stores, row: Row) -> bytes:
    """Return the weights that the record has of a trial."""
    client = reader(stores.tracking_uri)
    path = client.download_artifacts(row.run_id, "checkpoint.pt")
    return content(torch.load(path))


def alone(stores: Stores, row: Row) -> bytes:
    """Return the weights of the same candidate, trained without a pause."""
    from edgebench import trial

    config = build(**ASKED).config(row.params)
    facts = trial.dataset_of(config, stores.folder.parent / "data")
    gate = trial.gate(config, None, facts.input_shape, len(facts.classes))
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
    try:
        found = trial.run(
            config, gate, data_dir=stores.folder.parent / "data", device=torch.device("cpu")
        )
    finally:
        torch.set_num_threads(threads)
    assert found.checkpoint is not None
    return content(torch.load(io.BytesIO(found.checkpoint)))


def content(state: dict[str, torch.Tensor]) -> bytes:
    """Return all weights and statistics bit for bit."""
    return b"".join(value.numpy().tobytes() for value in state.values())
