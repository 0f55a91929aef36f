"""The front retrained on real stores and workers; its figures against a second source."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import psutil
import pytest
import warm_pool  # noqa: F401 - registers the pool
from click.testing import CliRunner, Result
from conftest import Stores
from mlflow_study import write_study
from report_studies import synthetic
from scipy import stats

from edgebench import data, export, space
from edgebench.cli._running import watched
from edgebench.cli.finalize import command
from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.record import Facts, Opening, Row, State, StudyRecord
from edgebench.report import Finals, front, notes, table_one
from edgebench.search import Event, Settings, finalize
from edgebench.tracking import FinalsLog, StudyLog, experiment_id_of, read_study
from edgebench.tracking.openings import TAG
from edgebench.trial import Gate, Outcome, preprocessing

CONTENT: dict[str, Any] = {
    "name": "try",
    "dataset": "synthetic",
    "method": "grid",
    "seed": 4,
    "export": {"int8": True},
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": "gap",
        "model.width": {"values": [4, 8, 12]},
        "model.blocks": 2,
        "train.epochs": 1,
        "train.batch_size": 16,
        "train.learning_rate": 0.01,
    },
}
SEEDS = [5, 6]
"""The study's seed is 4: these are the next ones."""


@dataclass
class Tried:
    """A finished study that was finalised: cut off in its third training, then gone on with."""

    stores: Stores
    swept: StudyRecord
    left_running: str
    cut_off: list[Event]
    went_on: list[Event]
    finals: Finals

    @property
    def settings(self) -> Settings:
        """Where it runs."""
        return settings(self.stores)


def settings(stores: Stores, pool: str = "warm") -> Settings:
    """Run beside the stores."""
    return Settings(
        storage=stores.storage,
        tracking_uri=stores.tracking_uri,
        data_dir=stores.folder.parent / "data",
        pool=pool,
    )


@pytest.fixture(scope="module")
def tried(empty_stores: Path, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """Record a sweep, leave a final as a kill would, cut one off, go on."""
    folder = tmp_path_factory.mktemp("finals") / "mlruns"
    shutil.copytree(empty_stores, folder)
    stores = Stores(folder)
    swept = _record(stores)
    assert [row.trial for row in front(swept.rows, swept.objectives)] == [0, 1]
    left_running = _leave_running(stores, swept)
    cut_off: list[Event] = []

    def cut(event: Event) -> None:
        cut_off.append(event)
        if [shown.kind for shown in cut_off].count("started") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finalize("try", settings(stores), cut, seeds=2)
    went_on: list[Event] = []
    finals = finalize("try", settings(stores), went_on.append, seeds=2)
    return Tried(stores, swept, left_running, cut_off, went_on, finals)


def _record(stores: Stores) -> StudyRecord:
    """Write a sweep of three trials as one that trained them: the third is dominated."""
    built = space.build(CONTENT)
    log = StudyLog(stores.tracking_uri, "try")
    log.begin_sweep(built, _facts(), "st")
    accuracies, sizes = (0.75, 0.95, 0.7), (18_026, 22_090, 26_154)
    gate = Gate(None)
    for number, config in enumerate(built.configurations() or []):
        name = f"trial-{number:04d}-{config.label(built.varied)}"
        run_id = log.begin_trial(number, config, _facts(), name, gate)
        metrics = {"val/accuracy_best": accuracies[number], "test/accuracy": 0.5}
        metrics["footprint/rom_bytes"] = sizes[number]
        row = Row(number, run_id, name, State.FINISHED, None, config.params, metrics)
        log.end_trial(row, config, _facts(), gate, Outcome(State.FINISHED, metrics=metrics))
    log.end_sweep("FINISHED", {})
    return read_study("try", tracking_uri=stores.tracking_uri)


def _facts() -> Facts:
    """Return what a worker would find."""
    found = data.load("synthetic", seed=CONTENT["seed"])
    names = (found.input_shape, found.classes, found.mean, found.std, found.name, found.digest)
    return Facts(*names, found.sizes, {"device": "cpu"})


def _leave_running(stores: Stores, swept: StudyRecord) -> str:
    """Begin a final run and say no more, as a process that was killed."""
    log = FinalsLog(stores.tracking_uri, "try")
    log.begin_finals()
    row = swept.rows[0]
    config, _ = log.recorded(row.run_id)
    return log.begin_final(row.trial, config.with_seed(SEEDS[0]), _facts(), "cut", Gate(None))


def _forget_openings(log: FinalsLog) -> None:
    """Leave a study as one whose test split was never opened."""
    for name in log.client.get_experiment(log.experiment_id).tags:
        if name.startswith(TAG):
            log.client.delete_experiment_tag(log.experiment_id, name)


def test_what_finished_before_a_cut_is_not_trained_again(tried: Tried) -> None:
    """Two finals had ended; the third, and the fourth that never began, are trained after it."""
    ended = [event.name for event in tried.cut_off if event.kind == "ended"]
    after = [event.name for event in tried.went_on if event.kind == "ended"]
    assert len(ended) == len(after) == 2
    assert not set(ended) & set(after)
    assert (tried.went_on[-1].done, tried.went_on[-1].total) == (4, 4)
    client = mlflow.MlflowClient(tried.stores.tracking_uri)
    study = [experiment_id_of("try", tried.stores.tracking_uri)]
    finals = client.search_runs(study, "tags.kind = 'final'")
    assert [run.info.status for run in finals] == ["FINISHED"] * 4
    cut = client.search_runs(study, "tags.kind = 'interrupted'")
    assert [run.info.status for run in cut] == ["KILLED"] * 2
    assert tried.left_running in {run.info.run_id for run in cut}


def test_finals_are_no_trials(tried: Tried) -> None:
    """They stand under the sweep with trial and seed; rows and front are those of before."""
    client = mlflow.MlflowClient(tried.stores.tracking_uri)
    for member in tried.finals.members:
        assert list(member.runs) == SEEDS
        for seed, final in member.runs.items():
            tags = client.get_run(final.run_id).data.tags
            assert tags["kind"] == "final"
            assert (tags["seed"], tags["edgebench.trial"]) == (str(seed), str(member.row.trial))
            assert tags["edgebench.state"] == "finished"
            parent = client.get_run(tags["mlflow.parentRunId"])
            assert (parent.data.tags["kind"], parent.info.status) == ("sweep", "FINISHED")
    now = read_study("try", tracking_uri=tried.stores.tracking_uri)
    kept = [
        dataclasses.replace(
            row, metrics={n: v for n, v in row.metrics.items() if not n.startswith("final/")}
        )
        for row in now.rows
    ]
    assert tuple(kept) == tried.swept.rows


def test_accuracies_are_those_of_the_same_split(tried: Tried) -> None:
    """ONNX Runtime on the sweep's validation images and on the test images gives the same."""
    dataset = data.load("synthetic", seed=CONTENT["seed"])
    pre = preprocessing(dataset)
    log = FinalsLog(tried.stores.tracking_uri, "try")
    for member in tried.finals.members:
        for run in member.finished:
            model = log.model_of(run.run_id)
            for metric, split in (
                ("val/accuracy_best", dataset.validation),
                ("test/accuracy", dataset._test),
            ):
                logits = export.onnx_logits(model, pre.apply(split.images.numpy()))
                correct = (logits.argmax(1) == split.labels.numpy()).mean()
                assert run.metrics[metric] == pytest.approx(correct, abs=1e-12)
            quantized = export.onnx_logits(
                log.model_of(run.run_id, "model-int8"), pre.apply(dataset._test.images.numpy())
            )
            correct = (quantized.argmax(1) == dataset._test.labels.numpy()).mean()
            assert run.metrics["test/accuracy_int8"] == pytest.approx(correct, abs=1e-12)


def test_the_members_runs_carry_means_and_intervals(tried: Tried) -> None:
    """Against numpy and scipy, from the single runs as MLflow holds them."""
    client = mlflow.MlflowClient(tried.stores.tracking_uri)
    for member in tried.finals.members:
        on_run = client.get_run(member.row.run_id).data.metrics
        singles = [client.get_run(run.run_id).data.metrics for run in member.runs.values()]
        assert on_run["final/seeds"] == 2
        validation = np.mean([metrics["val/accuracy_best"] for metrics in singles])
        assert on_run["final/val_accuracy_mean"] == pytest.approx(validation)
        for suffix in ("", "_int8"):
            shares = np.array([metrics[f"test/accuracy{suffix}"] for metrics in singles])
            half = stats.t.ppf(0.975, 1) * shares.std(ddof=1) / math.sqrt(2)
            for name, value in (
                ("mean", shares.mean()),
                ("low", max(0, shares.mean() - half)),
                ("high", min(1, shares.mean() + half)),
            ):
                found = on_run[f"final/test_accuracy_{name}{suffix}"]
                assert found == pytest.approx(value, abs=1e-4), (name, suffix)


def test_the_report_shows_the_means_beside_what_the_search_saw(tried: Tried) -> None:
    """In the table of the front, with the interval and the seeds behind it; the notes say which."""
    record = read_study("try", tracking_uri=tried.stores.tracking_uri)
    by_title = {str(row[""]): row for row in table_one(record)}
    for member in tried.finals.members:
        name, mean = member.row.name, member.mean("test/accuracy")
        assert mean is not None
        assert mean.low is not None
        assert by_title["test accuracy, mean over seeds"][name] == pytest.approx(mean.mean)
        interval = str(by_title["test accuracy, 95 % interval of the mean"][name])
        assert interval.startswith(f"{100 * mean.low:.2f} to ")
        assert by_title["seeds retrained"][name] == 2
    assert "test accuracy int8, mean over seeds" in by_title
    [note] = [line for line in notes(record) if line.startswith("Means over seeds")]
    assert "'edgebench finalize'" in note


def test_a_second_opening_is_refused_before_anything_is_trained(tried: Tried) -> None:
    """The message has the time, the seeds and the way out; nothing is shown or recorded."""
    events: list[Event] = []
    with pytest.raises(EdgebenchError) as caught:
        finalize("try", tried.settings, events.append, seeds=3)
    assert caught.value.exit_code == 2
    [opening] = tried.finals.openings
    assert str(caught.value) == (
        f"the test split of 'try' was opened on {opening['when']} by finalize (seeds 5, 6); what "
        "it showed is in 'edgebench report try --format json' under final/, and --again opens it "
        "once more, which is recorded too"
    )
    assert events == []
    assert FinalsLog(tried.stores.tracking_uri, "try").openings() == [opening]
    assert {name: opening[name] for name in opening if name != "when"} == {
        "by": "finalize", "seeds": SEEDS, "again": False, "complete": True,
        "trials": sorted(member.row.trial for member in tried.finals.members),
    }  # fmt: skip


def test_an_opening_that_was_cut_off_is_gone_on_with(tried: Tried, tmp_path: Path) -> None:
    """The same seeds end it, and it keeps its time; other seeds would be another opening."""
    stores = _copy(tried, tmp_path)
    log = FinalsLog(stores.tracking_uri, "try")
    [opening] = log.openings()
    details = {n: v for n, v in opening.items() if n not in {"when", "by"}} | {"complete": False}
    log.record_opening(Opening(opening["when"], opening["by"], details))
    with pytest.raises(EdgebenchError, match="was opened on"):
        finalize("try", settings(stores), print, seeds=3)
    events: list[Event] = []
    finals = finalize("try", settings(stores), events.append, seeds=2)
    assert events == []
    assert finals.openings == log.openings() == [opening]


def test_again_is_recorded_and_repeats_no_training(tried: Tried, tmp_path: Path) -> None:
    """One seed of the two: no interval, in JSON null; stdout holds the JSON alone."""
    stores = _copy(tried, tmp_path)
    ran = run(stores, "try", "--again", "--seeds", "1", "--format", "json")
    shown = json.loads(ran.stdout)
    assert list(shown) == ["study", "openings", "rows"]
    assert [opening["again"] for opening in shown["openings"]] == [False, True]
    assert shown["openings"][1]["seeds"] == [5]
    client = mlflow.MlflowClient(stores.tracking_uri)
    for row, member in zip(shown["rows"], tried.finals.members, strict=True):
        [final] = row["runs"]
        assert final["run_id"] == member.runs[5].run_id
        share = member.runs[5].metrics["test/accuracy"]
        assert row["test_accuracy"] == {"mean": share, "low": None, "high": None}
        assert row["ties_with"] is None
        assert math.isnan(client.get_run(row["run_id"]).data.metrics["final/test_accuracy_low"])
    assert ran.stderr == ""  # nothing was trained


def _kill_workers(killing: threading.Event, spared: frozenset[int]) -> None:
    """Kill every worker process as soon as it is there, until told otherwise."""
    while killing.is_set():
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid not in spared and "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
        time.sleep(0.05)


def test_a_final_whose_worker_dies_begins_anew_in_another_run(tried: Tried, tmp_path: Path) -> None:
    """With the epochs of its own training alone; the first run is closed."""
    stores = _copy(tried, tmp_path)
    _forget_openings(FinalsLog(stores.tracking_uri, "try"))
    study = [experiment_id_of("try", stores.tracking_uri)]
    client = mlflow.MlflowClient(stores.tracking_uri)
    before = {run.info.run_id for run in client.search_runs(study)}
    killed: list[Event] = []

    def kill(event: Event) -> None:
        if event.kind == "epoch" and not killed:
            killed.append(event)
            for child in psutil.Process().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()

    finals = finalize("try", settings(stores), kill, seeds=3)
    assert [len(member.finished) for member in finals.members] == [3, 3]
    added = [run for run in client.search_runs(study) if run.info.run_id not in before]
    kinds = sorted((run.data.tags["kind"], run.info.status) for run in added)
    assert kinds == [("final", "FINISHED")] * 2 + [("interrupted", "KILLED")]
    for run in added:
        history = client.get_metric_history(run.info.run_id, "val/accuracy")
        assert [metric.step for metric in history] == [1]


def test_workers_that_die_are_failed_finals(tried: Tried, tmp_path: Path) -> None:
    """Where none is left it is a failed check, the test split stays closed; failures repeat."""
    stores = _copy(tried, tmp_path)
    log = FinalsLog(stores.tracking_uri, "try")
    _forget_openings(log)
    for run_id in [run.run_id for run in log.finals().values()]:
        log.client.delete_run(run_id)
    events: list[Event] = []
    killing = threading.Event()
    warm = frozenset(child.pid for child in psutil.Process().children())

    def kill(event: Event) -> None:
        events.append(event)
        if event.kind == "started" and not killing.is_set():
            killing.set()
            threading.Thread(target=_kill_workers, args=(killing, warm), daemon=True).start()

    try:
        with pytest.raises(CheckFailed) as caught:
            finalize("try", settings(stores, "local"), kill, seeds=1)
    finally:
        killing.clear()
    assert caught.value.exit_code == 1
    reason = "the worker process ended with signal 9 (out of memory?), 2 times"
    assert caught.value.mistakes[0] == (
        "no final run of 'try' finished; the test split stays closed"
    )
    names = [member.row.name for member in tried.finals.members]
    assert caught.value.mistakes[1:] == tuple(f"{name}, seed 5: {reason}" for name in names)
    assert [event.state for event in events if event.kind == "ended"] == ["failed", "failed"]
    assert log.openings() == []
    assert {final.state for final in log.finals().values()} == {"failed"}


def test_other_images_are_refused_by_their_digest(tried: Tried, tmp_path: Path) -> None:
    """Before anything is trained; the message has both digests."""
    stores = _copy(tried, tmp_path)
    log = FinalsLog(stores.tracking_uri, "try")
    _forget_openings(log)
    before = len(log._runs(""))
    recorded = data.load("synthetic", seed=CONTENT["seed"]).digest
    with pytest.raises(EdgebenchError) as caught:
        finalize("try", settings(stores), print, dataset="digits")
    shown = re.sub("digest is [0-9a-f]{16},", "digest is D,", str(caught.value))
    assert shown == (
        "the data set 'digits' is not the one that 'try' was trained on: its digest is D, the "
        f"recorded one {recorded}; say where that one is with --dataset or --data-dir"
    )
    assert len(log._runs("")) == before


def test_mistakes_are_one_message(tried: Tried, tmp_path: Path) -> None:
    """An unknown study has the nearest name, no seed is too few, a running study is left alone."""
    stores = tried.stores
    for words, message in (
        (("tri",), "unknown study 'tri'; did you mean 'try'?"),
        (("try", "--seeds", "0"), "--seeds 0: at least 1 is needed; 3 give an interval"),
    ):
        with pytest.raises(EdgebenchError) as caught:
            run(stores, *words)
        assert str(caught.value) == message
    with (
        settings(stores).alone("try"),
        pytest.raises(EdgebenchError, match=r"^the study 'try' is being run by another process"),
    ):
        run(stores, "try")
    with pytest.raises(EdgebenchError, match=r"^there is no record at"):
        run(Stores(tmp_path / "none"), "try")
    assert not (tmp_path / "none").exists()


def test_a_study_without_a_front_says_why(stores: Stores) -> None:
    """None of its trials finished within the budget."""
    record = synthetic(4)
    rows = [dataclasses.replace(row, state="refused", reason="ROM") for row in record.rows]
    write_study(stores.folder, dataclasses.replace(record, rows=rows))
    with pytest.raises(EdgebenchError) as caught:
        run(stores, record.study)
    assert str(caught.value) == (
        f"the study '{record.study}' has no front: none of its 4 trials finished within the "
        f"budget; 'edgebench report {record.study}' says why"
    )


def test_sigterm_ends_with_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    """As Ctrl-C does: a word on stderr, 128 + 15."""
    with pytest.raises(SystemExit) as caught, watched(quiet=True):
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 143
    assert "the same command goes on" in capsys.readouterr().err


def run(stores: Stores, *words: str) -> Result:
    """Run the command in this process; a user's mistake comes out as the exception."""
    where = ["--storage", stores.storage, "--tracking-uri", stores.tracking_uri]
    where += ["--data-dir", str(stores.folder.parent / "data"), "--pool", "warm"]
    return CliRunner().invoke(command, [*words, *where], catch_exceptions=False)


def _copy(tried: Tried, folder: Path) -> Stores:
    """Return stores of a test's own; the artifacts stay where they are."""
    stores = Stores(folder / "mlruns")
    shutil.copytree(tried.stores.folder, stores.folder, ignore=shutil.ignore_patterns("artifacts"))
    return stores
