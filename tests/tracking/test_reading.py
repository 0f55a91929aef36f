"""The record read back: a study by its name, a run by its id, its number, or as the best."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest
from conftest import Stores
from mlflow_study import (
    facts_of,
    gate_of,
    model_bytes,
    outcome_of,
    sweep_of,
    write_row,
    write_study,
)
from report_studies import synthetic

from edgebench.errors import EdgebenchError
from edgebench.record import State, StudyRecord
from edgebench.space import TrialConfig
from edgebench.tracking import (
    FinalsLog,
    StudyLog,
    best_value,
    experiment_id_of,
    fetch_onnx,
    fetch_run,
    last_study,
    locked,
    read_study,
)

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RECORD = dataclasses.replace(synthetic(12), study="study")


def exported(stores: Stores, states: tuple[State, ...] = (State.FINISHED,)) -> StudyRecord:
    """Write a trial for each state, each with a checkpoint and a model; return the record."""
    log = StudyLog(stores.tracking_uri, "study")
    log.begin_sweep(sweep_of(RECORD), facts_of(RECORD), "st")
    finished = [row for row in RECORD.rows if row.state == State.FINISHED]
    for number, (row, state) in enumerate(zip(finished, states, strict=False)):
        changed = dataclasses.replace(row, trial=number, state=state)
        write_row(log, changed, RECORD, onnx=model_bytes(), checkpoint=b"weights")
    log.end_sweep("FINISHED", {})
    return log.record()


def mistake(reference: str, stores: Stores) -> str:
    """Return what is said of a run that cannot be fetched."""
    with pytest.raises(EdgebenchError) as caught:
        fetch_run(reference, tracking_uri=stores.tracking_uri)
    [message] = caught.value.mistakes
    return message


# A study --------------------------------------------------------------------------------------


def test_curves_and_layers_are_read_where_they_are_asked_for(stores: Stores) -> None:
    """Each trial's are a file of its own; a refused candidate has none."""
    write_study(stores.folder, RECORD)
    plain = read_study("study", tracking_uri=stores.tracking_uri)
    detailed = read_study("study", tracking_uri=stores.tracking_uri, details=True)
    assert all(row.curves == {} and row.layers == () for row in plain.rows)
    for row, written in zip(detailed.rows, RECORD.rows, strict=True):
        trained = written.state == State.FINISHED
        assert row.curves == written.curves
        assert list(row.layers) == (list(written.layers) if trained else [])


def test_a_trial_whose_artifacts_were_deleted_goes_without_curves(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    """The others keep theirs: a folder was cleared to save room."""
    client, _, record = write_study(stores.folder, RECORD)
    gone, kept = [row for row in record.rows if row.state == State.FINISHED][:2]
    shutil.rmtree(Path(urlparse(client.get_run(gone.run_id).info.artifact_uri).path))
    with caplog.at_level(logging.WARNING):
        read = read_study("study", tracking_uri=stores.tracking_uri, details=True)
    rows = {row.trial: row for row in read.rows}
    assert rows[gone.trial].curves == {}
    assert rows[gone.trial].metrics == gone.metrics
    assert rows[kept.trial].curves
    assert f"{gone.name} goes without curves and layers: the run '{gone.run_id}'" in caplog.text


def test_params_come_back_with_their_types(stores: Stores) -> None:
    """MLflow keeps text; a number that was written as text only looks like one, and stays text."""
    params = {
        "model.family": "vgg",
        "model.width": 32,
        "train.learning_rate": 1e-05,
        "train.momentum": 1.0,
        "train.nesterov": False,
        "data.normalization": "none",
        "note": "1_000",
        "version": "1e5",
        "empty": "",
        "word": "inf",
    }
    log = StudyLog(stores.tracking_uri, "study")
    log.begin_sweep(sweep_of(RECORD), facts_of(RECORD), "st")
    config = TrialConfig({"model.family": "vgg"}, "synthetic")
    object.__setattr__(config, "params", params)
    written = dataclasses.replace(RECORD.rows[0], params=params)
    log.begin_trial(0, config, facts_of(RECORD), "trial-0000", gate_of(written, RECORD))
    log.flush()
    with locked("study", stores.tracking_uri):  # as by the coordinator that is at work
        [row] = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert row.params == params
    assert {name: type(value) for name, value in row.params.items()} == {
        name: type(value) for name, value in params.items()
    }


def test_an_unknown_study_names_the_nearest(stores: Stores) -> None:
    """An experiment that is no study is unknown too."""
    client, _, _ = write_study(stores.folder, RECORD)
    client.create_experiment("other")
    for name in ("studi", "other"):
        with pytest.raises(EdgebenchError, match=f"unknown study '{name}'.*study"):
            read_study(name, tracking_uri=stores.tracking_uri)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Reading makes nothing."""
    path = tmp_path / "none.db"
    with pytest.raises(EdgebenchError) as caught:
        read_study("study", tracking_uri=f"sqlite:///{path}")
    message = (
        f"there is no record at '{path}'; run 'edgebench sweep' first, from this folder, or say "
        "where it is with --tracking-uri"
    )
    assert caught.value.mistakes == (message,)
    assert not path.exists()


def test_the_study_written_last_is_found(stores: Stores) -> None:
    """By the time of its last change, not by its name."""
    with pytest.raises(EdgebenchError, match="there is no study in the store yet"):
        last_study(stores.tracking_uri)
    for name in ("b", "a"):
        write_study(stores.folder, dataclasses.replace(RECORD, study=name, rows=RECORD.rows[:1]))
    assert last_study(stores.tracking_uri) == "a"
    assert experiment_id_of("a", stores.tracking_uri) != experiment_id_of("b", stores.tracking_uri)


# A run ----------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_id_its_number_and_as_the_best(stores: Stores) -> None:
    """The same run, with what rebuilds it."""
    record = exported(stores, (State.FINISHED, State.FINISHED))
    best = max(record.rows, key=lambda row: row.metrics["val/accuracy_best"])
    by_id = fetch_run(best.run_id, tracking_uri=stores.tracking_uri)
    assert by_id == fetch_run(f"study:{best.trial}", tracking_uri=stores.tracking_uri)
    assert by_id == fetch_run("study:best", tracking_uri=stores.tracking_uri)
    assert by_id.name == best.name
    assert by_id.config.params["model.width"] == best.params["model.width"]
    found = best_value("study", "model.width", tracking_uri=stores.tracking_uri)
    assert found == best.params["model.width"]
    assert (by_id.study, by_id.dataset_name) == ("study", "synthetic")
    assert by_id.checkpoint.read_bytes() == b"weights"
    assert by_id.onnx.read_bytes() == model_bytes()
    assert fetch_onnx("study:best", tracking_uri=stores.tracking_uri) == by_id.onnx


def test_the_configuration_that_was_recorded_is_the_one_that_was_trained(stores: Stores) -> None:
    """With every default said, so that one that changes later changes nothing recorded."""
    record = exported(stores)
    saved = fetch_run("study:0", tracking_uri=stores.tracking_uri)
    config = TrialConfig(record.rows[0].params, "synthetic")
    assert saved.config.key == config.key
    assert saved.config == config.resolved()
    assert saved.config.params.keys() > config.params.keys()


def test_an_interrupted_trial_is_passed_over_by_its_number(stores: Stores) -> None:
    """It was tried again under another number."""
    log = StudyLog(stores.tracking_uri, "study")
    log.begin_sweep(sweep_of(RECORD), facts_of(RECORD), "st")
    row = next(row for row in RECORD.rows if row.state == State.FINISHED)
    config = TrialConfig(row.params, "synthetic")
    log.interrupt(log.begin_trial(7, config, facts_of(RECORD), "trial-0007", gate_of(row, RECORD)))
    assert "unknown trial of 'study' '7'" in mistake("study:7", stores)


@pytest.mark.parametrize("state", [State.FAILED, State.PRUNED])
def test_only_a_finished_trial_has_a_model(stores: Stores, state: State) -> None:
    """The message says what became of this one."""
    exported(stores, (state,))
    assert mistake("study:0", stores) == (
        f"'study:0' is {state}: only a finished trial has a model; see 'edgebench report'"
    )


def test_a_refused_candidate_has_no_model(stores: Stores) -> None:
    """It has no run, and a reason."""
    _, _, record = write_study(stores.folder, RECORD)
    row = next(row for row in record.rows if row.state is State.REFUSED)
    assert mistake(f"study:{row.trial}", stores) == (
        f"'study:{row.trial}' is refused ({row.reason}): only a finished trial has a model; see "
        "'edgebench report'"
    )


def test_an_unknown_run_names_what_there_is(stores: Stores) -> None:
    """By number the trials, by id the studies; the sweep's run is no trial."""
    exported(stores)
    parent = StudyLog(stores.tracking_uri, "study")
    [sweep] = parent.client.search_runs([parent.experiment_id], "tags.kind = 'sweep'")
    assert "unknown trial of 'study' '99'" in mistake("study:99", stores)
    assert "study:best" in mistake("0" * 32, stores)
    assert "unknown run" in mistake(sweep.info.run_id, stores)
    assert "unknown study 'stuby'" in mistake("stuby:0", stores)


def test_a_study_without_a_feasible_trial_has_no_best(stores: Stores) -> None:
    """Nothing stands on its front."""
    exported(stores, (State.FAILED,))
    assert mistake("study:best", stores) == "the study 'study' has no feasible trial yet"
    with pytest.raises(EdgebenchError) as caught:
        best_value("study", "model.width", tracking_uri=stores.tracking_uri)
    assert str(caught.value) == "the study 'study' has no feasible trial yet; run it first"


# Final runs -----------------------------------------------------------------------------------


def test_final_runs_are_no_rows_and_are_found_by_what_they_train(stores: Stores) -> None:
    """One that was cut off is closed when the finals go on, and is not among those that ended."""
    record = exported(stores)
    [row] = record.rows
    log = FinalsLog(stores.tracking_uri, "study")
    log.begin_finals()
    recorded, digest = log.recorded(row.run_id)
    assert digest == "0123456789abcdef"
    facts, gate = facts_of(RECORD), gate_of(row, RECORD)
    configs = [recorded.with_seed(seed) for seed in (1, 2)]
    done, cut = (log.begin_final(0, config, facts, "final", gate) for config in configs)
    ended = dataclasses.replace(row, run_id=done)
    log.end_trial(ended, configs[0], facts, gate, outcome_of(RECORD.rows[0]))
    log.log_epoch(cut, 1, {"val/accuracy": 0.5})
    log.flush()
    again = FinalsLog(stores.tracking_uri, "study")
    again.begin_finals()
    assert again.finals().keys() == {configs[0].key}
    assert again.finals()[configs[0].key].run_id == done
    assert again.client.get_run(cut).info.status == "KILLED"
    assert again.client.get_run(done).data.tags["mlflow.parentRunId"] == again.parent_id
    assert read_study("study", tracking_uri=stores.tracking_uri).rows == record.rows
