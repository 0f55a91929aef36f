"""Studies end to end, on real stores and real worker processes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores
from small_study import CONTENT, FAST, build, go, statuses

from edgebench.errors import EdgebenchError
from edgebench.record import State
from edgebench.report import front
from edgebench.space import TrialConfig
from edgebench.tracking import read_study


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


def test_a_store_cut_off_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    """Half a database has another name; the next start makes it whole."""
    stores = Stores(tmp_path / "mlruns")
    stores.folder.mkdir()
    (stores.folder / ".mlflow.db.unfinished").write_bytes(b"half")
    (stores.folder / ".mlflow.db.unfinished-journal").write_bytes(b"half")
    record, _ = go(build(run_cap=1), stores)
    assert len(record.rows) == 1
    assert not list(stores.folder.glob("*unfinished*"))
