"""Studies end to end, on real stores and real worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import warm_pool  # noqa: F401 - registers the pool
from command import edgebench
from conftest import Stores

from edgebench import space
from edgebench.errors import EdgebenchError
from edgebench.record import Row, State, StudyRecord
from edgebench.report import front
from edgebench.search import EARLY_STOPPING, Event, Settings, search
from edgebench.space import Sweep, TrialConfig
from edgebench.tracking import read_study

FAST = {"train.epochs": 1, "train.batch_size": 64, "model.blocks": 2}
CONTENT: dict[str, Any] = {
    "name": "try",
    "dataset": "synthetic",
    "method": "tpe",
    "run_cap": 4,
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"values": [4, 6, 8]},
        **FAST,
        "model.hidden": {"values": [8, 4000], "when": {"model.family": "vgg"}},
    },
}


def build(**changed: Any) -> Sweep:
    """Build the small sweep of these tests with some keys changed."""
    return space.build({**CONTENT, **changed})


def go(built: Sweep, stores: Stores, **settings: Any) -> tuple[StudyRecord, list[Event]]:
    """Run a sweep and return its record and what was shown."""
    events: list[Event] = []
    where = Settings(
        storage=stores.storage,
        tracking_uri=stores.tracking_uri,
        data_dir=stores.folder.parent / "data",
        **{"pool": "warm", **settings},
    )
    return search(built, where, events.append), events


def statuses(stores: Stores) -> tuple[Counter[str], Counter[str]]:
    """Count the states of Optuna's trials and of MLflow's runs, straight from the files."""
    found = []
    for name, query in (
        ("optuna", "select state from trials"),
        ("mlflow", "select status from runs"),
    ):
        with sqlite3.connect(stores.folder / f"{name}.db") as connection:
            found.append(Counter(row[0] for row in connection.execute(query)))
        connection.close()
    return found[0], found[1]


def test_a_sweep_ends_with_the_asked_number_and_goes_on(stores: Stores) -> None:
    """Four are trained; the same command adds nothing; a higher cap adds what is missing."""
    record, events = go(build(), stores)
    assert [row.state for row in record.rows].count("finished") == 4
    ended = [event for event in events if event.kind == "ended"]
    assert ended[-1].done == ended[-1].total == 4

    again, events = go(build(), stores)
    assert again.rows == record.rows
    assert events == []

    more, events = go(build(run_cap=5), stores)
    assert len({row.name for row in more.rows}) == len(more.rows)
    assert [row.state for row in more.rows].count("finished") == 5
    assert len([event for event in events if event.state == "finished"]) == 1
    assert set(statuses(stores)[1]) <= {"FINISHED", "KILLED"}


def test_what_is_recorded_is_complete(stores: Stores) -> None:
    """Every metric, param and tag of the contract stands on a finished run."""
    import mlflow

    record, _ = go(build(run_cap=1), stores)
    [row] = [row for row in record.rows if row.state == "finished"]
    client = mlflow.MlflowClient(stores.tracking_uri)
    run = client.get_run(row.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["model.width"] == str(row.params["model.width"])
    for name in ("train/loss", "train/accuracy", "val/loss", "val/accuracy"):
        assert len(client.get_metric_history(row.run_id, name)) == 1
    assert row.metrics["audit/macs_fvcore"] == row.metrics["footprint/macs"]
    for tag in ("torch", "device", "edgebench.git_commit", "dataset.digest", "seed"):
        assert run.data.tags[tag]
    assert {f"val/{name}" for name in ("balanced_accuracy", "macro_f1")} <= row.metrics.keys()
    assert {f"test/recall/{name}" for name in record.classes} <= row.metrics.keys()
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == (
        "synthetic",
        run.data.tags["dataset.digest"],
    )
    assert json.loads(used.dataset.profile)["splits"] == record.split_sizes
    named = client.search_runs([run.info.experiment_id], "datasets.name = 'synthetic'")
    assert {one.info.run_id for one in named} == {row.run_id, run.data.tags["mlflow.parentRunId"]}
    assert run.data.tags["mlflow.source.name"] == "edgebench"
    [model] = client.search_logged_models([run.info.experiment_id])
    assert model.source_run_id == row.run_id
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert (parent.info.status, parent.data.tags["kind"]) == ("FINISHED", "sweep")
    assert parent.data.metrics["trials/finished"] == 1


def test_a_class_that_the_data_have_not_is_said_before_a_store_is_made(tmp_path: Path) -> None:
    """An objective may be the recall of a class; of one that there is."""
    stores = Stores(tmp_path / "mlruns")
    metrics = [{"name": "val/recall/upper-lift", "goal": "maximize"}]
    with pytest.raises(EdgebenchError) as caught:
        go(build(metrics=metrics), stores)
    assert str(caught.value) == (
        "val/recall/upper-lift: unknown class 'upper-lift'; did you mean 'upper-left'?"
    )
    assert not stores.folder.exists()


def test_a_dashboard_can_name_what_it_shows(stores: Stores) -> None:
    """The objectives by their names, each trial in a few words."""
    import optuna

    go(build(run_cap=1), stores)
    study = optuna.load_study(study_name="try", storage=stores.storage)
    assert study.metric_names == ["val/accuracy_best", "footprint/rom_bytes"]
    assert study.trials[0].user_attrs["configuration"].split("-")[0] in {"vgg", "gap"}


def test_only_the_front_is_examined_on_the_test_split(stores: Stores) -> None:
    """Members have a test accuracy, the others none."""
    record, _ = go(build(run_cap=5), stores)
    members = {row.trial for row in front(record.rows, record.objectives)}
    examined = {row.trial for row in record.rows if "test/accuracy" in row.metrics}
    assert examined == members


def test_over_the_budget_is_refused_and_shown(stores: Stores) -> None:
    """A refusal is told, shown with its reason, and does not use up the cap."""
    budget = {"rom_bytes": 60_000}
    record, _ = go(build(budget=budget, method="random", run_cap=5, seed=1), stores)
    states = Counter(row.state for row in record.rows)
    assert states["finished"] == 5
    assert states["refused"] >= 1
    for row in record.rows:
        over = row.metrics["footprint/rom_bytes"] > 60_000
        assert over == (row.state == "refused")
        if over:
            assert row.reason is not None
            assert row.reason.startswith("ROM ")
            assert "val/accuracy_best" not in row.metrics
    trials, runs = statuses(stores)
    assert trials["PRUNED"] == states["refused"]
    assert runs == {"FINISHED": 6}  # the five and the sweep: a refused candidate is no run
    assert read_study("try", tracking_uri=stores.tracking_uri).rows == record.rows


def test_an_impossible_budget_ends(stores: Stores) -> None:
    """The space is finite and all of it is refused: the search stops, nothing is trained."""
    record, events = go(build(budget={"rom_bytes": 10}), stores)
    assert {row.state for row in record.rows} == {"refused"}
    assert len(record.rows) == 9  # vgg: 3 widths x 2 hidden, gap: 3 widths
    assert not [event for event in events if event.kind == "epoch"]


def test_a_failed_candidate_is_a_row(stores: Stores) -> None:
    """The loss diverges for one of two; the sweep goes on."""
    parameters = {
        "model.family": "gap",
        "model.width": 4,
        **FAST,
        "train.optimizer": "sgd",
        "train.schedule": "constant",
        "train.learning_rate": {"values": [1.0e30, 0.01]},
    }
    record, _ = go(build(method="grid", run_cap=2, parameters=parameters), stores)
    assert [row.state for row in record.rows] == ["failed", "finished"]
    assert record.rows[0].reason is not None
    assert record.rows[0].reason.startswith("the training loss became")
    assert statuses(stores)[1]["FAILED"] == 1


def test_a_finite_space_is_exhausted_and_then_ends(stores: Stores) -> None:
    """Asked for more than there is: each configuration once, whatever the sampler repeats."""
    parameters = {"model.family": "gap", "model.width": {"values": [4, 6, 8]}, **FAST}
    record, _ = go(build(method="tpe", parameters=parameters, run_cap=50), stores)
    assert sorted(row.params["model.width"] for row in record.rows) == [4, 6, 8]


def test_a_grid_goes_in_order(stores: Stores) -> None:
    """Every configuration, in the order of the file."""
    parameters = {"model.family": {"values": ["vgg", "gap"]}, "model.width": 4, **FAST}
    record, _ = go(build(method="grid", parameters=parameters, run_cap=9), stores)
    assert [row.params["model.family"] for row in record.rows] == ["vgg", "gap"]


def test_two_workers_run_different_candidates(stores: Stores) -> None:
    """Both are used, no candidate twice, the count is exact."""
    record, events = go(build(run_cap=5, method="random"), stores, workers=2)
    assert [row.state for row in record.rows].count("finished") == 5
    keys = {TrialConfig(dict(row.params), "synthetic").key for row in record.rows}
    assert len(keys) == len(record.rows)
    under_way = most = 0
    for event in events:
        under_way += {"started": 1, "ended": -1}.get(event.kind, 0)
        most = max(most, under_way)
    assert most == 2


def test_another_search_of_the_same_name_is_refused(stores: Stores) -> None:
    """What changed is named, and the way out."""
    go(build(run_cap=1), stores)
    changed = CONTENT["parameters"] | {"model.width": {"values": [4, 8]}}
    with pytest.raises(EdgebenchError) as caught:
        go(build(parameters=changed, seed=7), stores)
    assert str(caught.value) == (
        "the study 'try' holds another search: seed, model.width changed; go on with the old "
        "file, or give this one its own name with --set name=try-2"
    )


def test_a_timeout_starts_no_further_trial(stores: Stores) -> None:
    """What is under way ends; nothing new begins."""
    record, _ = go(build(run_cap=50), stores, timeout=0.01)
    assert [row.state for row in record.rows] in ([], ["finished"])


def test_the_record_that_is_returned_is_the_one_that_is_kept(stores: Stores) -> None:
    """What was kept up to date in memory equals what the store gives back."""
    record, _ = go(build(budget={"rom_bytes": 60_000}, method="random", seed=1), stores)
    assert read_study("try", tracking_uri=stores.tracking_uri) == record
    assert {State.FINISHED, State.REFUSED} == {row.state for row in record.rows}


def test_how_a_candidate_was_made_is_read_back_and_not_assumed(stores: Stores) -> None:
    """Convention, its tool's version, precision, packages: tags of the run that made it."""
    import mlflow

    record, _ = go(build(run_cap=1, parameters=CONTENT["parameters"] | {
        "train.precision": "float32"}), stores)  # fmt: skip
    [run_id] = [row.run_id for row in record.rows if row.state is State.FINISHED]
    tags = mlflow.MlflowClient(stores.tracking_uri).get_run(run_id).data.tags
    assert tags["training.precision"] == "float32"
    assert tags["footprint.convention"] == "st"
    assert tags["footprint.provenance"] in record.provenance
    assert {"torch", "onnx", "onnxruntime", "optuna", "mlflow", "numpy"} <= set(tags)


def test_an_analysis_that_the_sweep_asks_for_is_an_artifact_of_each_run(stores: Stores) -> None:
    """The loss of every step, as JSON; without being asked for there is none."""
    import mlflow

    parameters = {"model.family": "gap", "model.width": {"values": [4, 6]}, **FAST}
    for name, asked in (("with", ["step_losses"]), ("without", None)):
        record, _ = go(build(name=name, parameters=parameters, run_cap=1, analysis=asked), stores)
        [row] = record.rows
        client = mlflow.MlflowClient(stores.tracking_uri)
        files = [one.path for one in client.list_artifacts(row.run_id, "analysis")]
        assert files == (["analysis/step_losses.json"] if asked else [])
        if asked:
            found = json.loads(
                Path(client.download_artifacts(row.run_id, files[0])).read_text("utf-8")
            )
            steps = 576 // 64
            assert {name: len(values) for name, values in found.items()} == {
                "loss": steps,
                "learning_rate": steps,
            }


def test_an_axis_of_the_data_is_prepared_once_a_value(stores: Stores) -> None:
    """Images of two resolutions in one study: other shapes, other footprints, one split."""
    parameters = {
        "model.family": "gap", "model.width": 4, **FAST,
        "data.resolution": {"values": [8, 16]},
        "train.seed": {"values": [0, 1]},
    }  # fmt: skip
    record, _ = go(build(method="grid", parameters=parameters, run_cap=9), stores)
    macs = {row.params["data.resolution"]: row.metrics["footprint/macs"] for row in record.rows}
    assert [row.state for row in record.rows] == ["finished"] * 4
    assert macs[8] < macs[16]


def test_an_unknown_early_stopping_rule_is_said_before_a_store_is_made(tmp_path: Path) -> None:
    """With the rules that are known."""
    stores = Stores(tmp_path / "mlruns")
    with pytest.raises(
        EdgebenchError, match=r"^unknown early stopping rule 'soon'; did you mean 'none'"
    ):
        go(build(early_stop="soon"), stores)
    assert not stores.folder.exists()


@pytest.mark.parametrize("method", ["edgebench", "gp"])
def test_a_method_finds_what_fits_and_goes_on(stores: Stores, method: str) -> None:
    """Our own never proposes what is over the budget; either goes on where it was left."""
    asked: dict[str, Any] = {"method": method, "budget": {"rom_bytes": 30_000}}
    parameters = {"model.family": "gap", "model.width": {"min": 1, "max": 60}, **FAST}
    asked["parameters"] = parameters
    go(build(**asked, run_cap=5), stores)
    record, _ = go(build(**asked, run_cap=8), stores)
    ended = [row for row in record.rows if row.state in ("finished", "pruned")]
    assert len({row.name for row in ended}) == len(ended) == 8
    refused = [row for row in record.rows if row.state == "refused"]
    assert bool(refused) == (method == "gp")


@EARLY_STOPPING.register
def third(sweep: Sweep, trained: Sequence[Row]) -> Any:  # noqa: ARG001 - a rule's signature
    """Stop a trial where two others were trained, and say what is known of them."""

    class Third:
        def judge(self, config: TrialConfig, gate: Any, curve: Any) -> str | None:  # noqa: ARG002 - a rule's signature
            known = [(row.trial, len(row.curves["val/accuracy"])) for row in trained]
            return f"known: {known}" if len(known) == 2 else None

    return Third()


def test_a_rule_knows_the_curves_of_this_start_and_of_earlier_ones(stores: Stores) -> None:
    """One is read back from the record, one ended beside it; the third is stopped for a reason."""
    parameters = {**CONTENT["parameters"], "model.family": "gap", "train.epochs": 2}
    del parameters["model.hidden"]
    asked: dict[str, Any] = {"method": "grid", "early_stop": "third", "parameters": parameters}
    go(build(**asked, run_cap=1), stores)
    record, events = go(build(**asked, run_cap=3), stores)
    assert [row.state for row in record.rows] == ["finished", "finished", "pruned"]
    reason = "known: [(0, 2), (1, 2)]"
    assert record.rows[2].reason == reason
    assert [event.reason for event in events if event.state == "pruned"] == [reason]
    found = statuses(stores)
    assert found[0]["PRUNED"] == found[1]["KILLED"] == 1


def words(stores: Stores, *, epochs: int, trials: int = 3) -> list[str]:
    """Return the command that runs the small sweep, each trial long enough to be cut off."""
    file = stores.folder.parent / "try.yaml"
    file.write_text(json.dumps(CONTENT | {"run_cap": trials}))  # JSON is YAML
    said = ["sweep", str(file), "--set", f"train.epochs={epochs}", "--set", "model.hidden=8"]
    said += ["--set", "method=grid", "--set", "model.family=vgg"]
    said += ["--data-dir", str(stores.folder.parent / "data")]
    return [*said, "--storage", stores.storage, "--tracking-uri", stores.tracking_uri]


def start(stores: Stores, *, epochs: int, trials: int = 3) -> subprocess.Popen[str]:
    """Start the command in a process of its own, which can be killed."""
    said = words(stores, epochs=epochs, trials=trials)
    return subprocess.Popen(
        [sys.executable, "-m", "edgebench.cli", *said],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_trial(stores: Stores, trial: int) -> None:
    """Wait until ``trial`` (counted from 1) has been given to a worker, and a moment more."""
    query = "select count(*) from tags where key = 'kind' and value = 'trial'"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with sqlite3.connect(stores.folder / "mlflow.db", timeout=30) as connection:
            [(count,)] = connection.execute(query)
        connection.close()
        if count >= trial:
            time.sleep(0.2)
            return
        time.sleep(0.05)
    raise AssertionError("no trial began")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_same_command_continues_what_a_signal_cut_off(stores: Stores, name: str) -> None:
    """Nothing finished is lost or repeated, nothing stays running, the count is honoured."""
    number = signal.Signals[name]
    process = start(stores, epochs=15)
    wait_for_trial(stores, 2)  # the second trial is under way
    os.kill(process.pid, number)
    _, complaint = process.communicate(timeout=60)
    finished_before = statuses(stores)[0]["COMPLETE"]
    assert finished_before == 1
    if number == signal.SIGKILL:
        assert statuses(stores)[0]["RUNNING"] == 1
    else:
        assert process.returncode == 128 + number
        assert "the same command goes on" in complaint
        assert "Traceback" not in complaint
        assert statuses(stores)[0]["RUNNING"] == statuses(stores)[1]["RUNNING"] == 0
    continued = edgebench(*words(stores, epochs=15), folder=stores.folder.parent)
    assert continued.returncode == 0, continued.stderr
    trials, runs = statuses(stores)
    assert trials == {"COMPLETE": 3, "FAIL": 1}
    assert runs == {"FINISHED": 4, "KILLED": 1}  # three trials and the sweep itself
    assert "Trials of try" in continued.stdout


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the worker processes of a sweep."""
    found = []
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # gone, or not yet waited for
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def test_a_trial_whose_worker_is_killed_is_tried_again(stores: Stores) -> None:
    """What the out-of-memory killer does costs the study no candidate; the run says it happened."""
    process = start(stores, epochs=15, trials=2)
    wait_for_trial(stores, 1)
    [worker] = workers_of(process)
    worker.kill()
    table, complaint = process.communicate(timeout=200)
    assert process.returncode == 0, complaint
    assert "Traceback" not in complaint
    assert statuses(stores)[1] == {"FINISHED": 3}
    with sqlite3.connect(stores.folder / "mlflow.db") as connection:
        query = "select value from tags where key = 'edgebench.worker_deaths'"
        deaths = [value for (value,) in connection.execute(query)]
    connection.close()
    assert deaths == ["the worker process ended with signal 9 (out of memory?)"]
    assert "2 finished" in table


def test_a_trial_that_kills_its_workers_is_a_failed_row(stores: Stores) -> None:
    """Tried twice, then given up with its reason; the sweep goes on with a new worker."""
    process = start(stores, epochs=15, trials=2)
    wait_for_trial(stores, 1)
    for _ in range(2):
        before = {worker.pid for worker in workers_of(process)}
        for worker in workers_of(process):
            worker.kill()
        deadline = time.monotonic() + 60
        while not {worker.pid for worker in workers_of(process)} - before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    table, complaint = process.communicate(timeout=200)
    assert process.returncode == 0, complaint
    assert "failed: the worker process ended with signal 9 (out of memory?), 2 times" in table
    assert statuses(stores)[1] == {"FINISHED": 2, "FAILED": 1}


def test_a_study_is_run_by_one_process_at_a_time(stores: Stores) -> None:
    """The second one is told, and changes nothing."""
    process = start(stores, epochs=200)
    wait_for_trial(stores, 1)
    with pytest.raises(EdgebenchError, match=r"^the study 'try' is being run by another process"):
        go(build(), stores)
    process.terminate()
    process.communicate(timeout=60)
    assert statuses(stores)[0]["RUNNING"] == 0


def test_a_store_cut_off_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    """Half a database has another name; the next start makes it whole."""
    stores = Stores(tmp_path / "mlruns")
    stores.folder.mkdir()
    (stores.folder / ".mlflow.db.unfinished").write_bytes(b"half")
    (stores.folder / ".mlflow.db.unfinished-journal").write_bytes(b"half")
    record, _ = go(build(run_cap=1), stores)
    assert len(record.rows) == 1
    assert not list(stores.folder.glob("*unfinished*"))
