"""What a sweep writes: where it stands in MLflow, in which order, and at which cost."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Stores
from mlflow.entities import Run, ViewType
from mlflow_study import begin, end, facts_of, model_bytes, sweep_of, write_row
from report_studies import synthetic
from sqlalchemy import event
from sqlalchemy.engine import Engine

from edgebench.errors import EdgebenchError
from edgebench.record import Objective, Row, State, StudyRecord
from edgebench.tracking import FinalsLog, StudyLog, locked, read_study, trials
from edgebench.tracking.runs import METRICS_LIMIT, TAG_LIMIT

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

CONVENTION = "st (the vendor's)"
RECORD = dataclasses.replace(synthetic(40), study="study", convention="st", provenance="estimated")
TRAINED = [row for row in RECORD.rows if row.state == State.FINISHED]
REFUSED = [row for row in RECORD.rows if row.state == State.REFUSED]


def opened(stores: Stores, record: StudyRecord = RECORD) -> StudyLog:
    """Return a log whose sweep was begun."""
    log = StudyLog(stores.tracking_uri, record.study)
    log.begin_sweep(sweep_of(record), facts_of(record), CONVENTION)
    return log


def runs_of(log: StudyLog, kind: str = "trial") -> list[Run]:
    """Return the runs of a kind, in order of their start."""
    order = ["attributes.start_time ASC"]
    return list(
        log.client.search_runs([log.experiment_id], f"tags.kind = '{kind}'", order_by=order)
    )


def numbered(rows: list[Row]) -> list[Row]:
    """Return rows as the trials 0, 1, ..."""
    return [dataclasses.replace(row, trial=number) for number, row in enumerate(rows)]


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """Collect every SQL statement that is executed meanwhile."""
    found: list[str] = []

    def executed(*arguments: Any) -> None:
        found.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", executed)


# Where it stands ------------------------------------------------------------------------------


def test_an_experiment_a_study_a_parent_run_a_sweep_a_child_run_a_trained_trial(
    stores: Stores,
) -> None:
    """A refused candidate is no run: it stands in the table of the sweep's run."""
    log = opened(stores)
    first, second, refused = numbered([TRAINED[0], TRAINED[1], REFUSED[0]])
    rows = [write_row(log, row, RECORD) for row in (first, second, refused)]
    log.end_sweep("FINISHED", {"trials/finished": 2})
    [parent] = runs_of(log, "sweep")
    children = runs_of(log)
    assert [run.info.run_id for run in children] == [rows[0].run_id, rows[1].run_id]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert len(log.client.search_runs([log.experiment_id], run_view_type=ViewType.ALL)) == 3
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"trials/finished": 2}
    assert [one.path for one in log.client.list_artifacts(parent.info.run_id, "refused")] == [
        "refused/00000.jsonl"
    ]


def test_the_experiment_says_what_the_study_is(stores: Stores) -> None:
    """All that a report needs besides the rows, and the format that it is written in."""
    log = opened(stores)
    content = json.loads(log.client.get_experiment(log.experiment_id).tags["edgebench.study"])
    assert content.pop("data")["split"]["digest"] == "0123456789abcdef"
    assert content == {
        "format": 2,
        "objectives": [
            {"name": "val/accuracy_best", "goal": "maximize"},
            {"name": "footprint/rom_bytes", "goal": "minimize"},
        ],
        "budget": {"rom_upper_bytes": 1_000_000, "ram_upper_bytes": 320_000},
        "target": "stm32f746g-disco",
        "dataset": "synthetic",
        "split_sizes": {"validation": 5000, "test": 10000},
        "classes": list("abcdefghij"),
        "convention": CONVENTION,
        "omitted": [],
    }


def test_class_names_that_no_tag_holds_are_left_out(stores: Stores) -> None:
    """MLflow refuses a tag of more than 20,000 characters; everything else stays."""
    record = dataclasses.replace(RECORD, classes=tuple(f"class number {i}" for i in range(2000)))
    log = opened(stores, record)
    assert log.record().classes == ()
    assert log.record().objectives == RECORD.objectives


def test_a_run_says_what_was_trained_on_what_and_by_which_rules_it_was_measured(
    stores: Stores,
) -> None:
    """Provenance is read from the run, not from the code that reads."""
    log = opened(stores)
    write_row(log, numbered(TRAINED)[0], RECORD)
    [run] = runs_of(log)
    tags = {name: value for name, value in run.data.tags.items() if "mlflow" not in name}
    key = tags.pop("edgebench.key")
    assert key.startswith("2-")
    assert tags == {
        "kind": "trial",
        "edgebench.trial": "0",
        "edgebench.state": "finished",
        "seed": "0",
        "dataset": "synthetic",
        "dataset.digest": "0123456789abcdef",
        "torch.version": "2.9",
        "footprint.convention": "st",
        "footprint.provenance": "estimated",
        "training.precision": "float32",
        "fits": "yes",
    }
    assert run.data.params == {name: str(value) for name, value in TRAINED[0].params.items()}
    assert next(iter(run.data.metrics)) == "val/accuracy"  # what MLflow's comparison opens on
    assert "| 0 |" in run.data.tags["mlflow.note.content"]


def test_every_epoch_is_in_the_history_of_its_metric(stores: Stores) -> None:
    """Step 1 is the first epoch."""
    log = opened(stores)
    row = write_row(log, numbered(TRAINED)[0], RECORD)
    for name, values in TRAINED[0].curves.items():
        history = log.client.get_metric_history(row.run_id, name)
        assert {point.step: point.value for point in history} == dict(enumerate(values, 1))


@pytest.mark.parametrize(
    ("state", "status"),
    [(State.FINISHED, "FINISHED"), (State.PRUNED, "KILLED"), (State.FAILED, "FAILED")],
)
def test_the_state_of_a_trial_is_the_status_of_its_run(
    stores: Stores, state: State, status: str
) -> None:
    """And it reads back as it was, with its reason."""
    log = opened(stores)
    reason = None if state is State.FINISHED else "it was too slow"
    written = dataclasses.replace(numbered(TRAINED)[0], state=state, reason=reason)
    write_row(log, written, RECORD)
    [run] = runs_of(log)
    [row] = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert run.info.status == status
    assert (row.state, row.reason) == (state, reason)


# Read back ------------------------------------------------------------------------------------


def test_what_the_log_knows_is_what_can_be_read_back(stores: Stores) -> None:
    """Read before the first trial and kept up to date since, or read at the end: no difference."""
    log = opened(stores)
    assert log.record().rows == ()
    for row in RECORD.rows[:12]:
        write_row(log, row, RECORD)
    failed = dataclasses.replace(TRAINED[-1], state=State.FAILED, reason="the loss is NaN")
    write_row(log, failed, RECORD)
    kept = log.record()
    log.end_sweep("FINISHED", {})
    assert kept == read_study("study", tracking_uri=stores.tracking_uri)
    assert [row.trial for row in kept.rows] == [*range(12), failed.trial]
    assert (kept.convention, kept.provenance) == ("st", "estimated")


def test_counts_are_ints_and_measurements_are_floats(stores: Stores) -> None:
    """MLflow keeps every metric as a float; what was an int is one again, and nothing else."""
    log = opened(stores)
    figures: dict[str, float] = {
        "footprint/rom_bytes": 262_144,
        "footprint/macs": 0,
        "val/epoch_best": 1,
        "val/accuracy_best": 1.0,
        "time/train_s": 12.0,
        "parity/max_abs_diff": 0.0,
    }
    row = dataclasses.replace(numbered(TRAINED)[0], metrics=figures, curves={})
    write_row(log, row, RECORD)
    log.end_sweep("FINISHED", {})
    [read] = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert read.metrics == figures
    assert {name: type(value) for name, value in read.metrics.items()} == {
        name: type(value) for name, value in figures.items()
    }


def test_values_that_are_no_numbers_come_back(stores: Stores) -> None:
    """MLflow's SQL stores keep the largest float for infinity, and a flag for NaN."""
    log = opened(stores)
    figures = {"val/loss": math.inf, "train/loss": -math.inf, "footprint/rom_bytes": math.nan}
    row = dataclasses.replace(numbered(TRAINED)[0], metrics=figures, curves={})
    write_row(log, row, RECORD)
    [read] = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert read.metrics["val/loss"] == math.inf
    assert read.metrics["train/loss"] == -math.inf
    assert math.isnan(read.metrics["footprint/rom_bytes"])


def test_a_run_longer_than_one_call_is_written_whole(stores: Stores) -> None:
    """MLflow takes 1,000 entries a call, tags and params among them."""
    epochs = METRICS_LIMIT  # of four metrics each
    curves = {name: [0.5] * epochs for name in TRAINED[0].curves}
    log = opened(stores)
    row = write_row(log, dataclasses.replace(numbered(TRAINED)[0], curves=curves), RECORD)
    for name in curves:
        history = log.client.get_metric_history(row.run_id, name)
        assert [point.step for point in history] == list(range(1, epochs + 1))
    assert runs_of(log)[0].data.tags["edgebench.state"] == "finished"


def test_a_reason_longer_than_a_tag_is_cut_in_the_record_too(stores: Stores) -> None:
    """A worker's traceback may be long."""
    log = opened(stores)
    log.record()
    row = dataclasses.replace(numbered(TRAINED)[0], state=State.FAILED, reason="x" * 9000)
    write_row(log, row, RECORD)
    kept = log.record()
    assert kept.rows[0].reason == "x" * TAG_LIMIT
    assert kept == read_study("study", tracking_uri=stores.tracking_uri)


def test_figures_added_later_are_read(stores: Stores) -> None:
    """The test split is read after the trials have ended."""
    log = opened(stores)
    row = write_row(log, numbered(TRAINED)[0], RECORD)
    assert "test/accuracy" not in log.record().rows[0].metrics
    log.log_metrics(row.run_id, {"test/accuracy": 0.75})
    assert log.record().rows[0].metrics["test/accuracy"] == 0.75


def test_a_trial_under_way_is_no_row_of_the_log_and_a_running_one_of_a_reader(
    stores: Stores,
) -> None:
    """A second process may look at a study while it runs."""
    log = opened(stores)
    begin(log, numbered(TRAINED)[0], RECORD)
    log.flush()
    assert log.record().rows == ()
    with locked("study", stores.tracking_uri):  # else it would be closed: nobody were at work on it
        [row] = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert row.state is State.RUNNING
    assert row.params == TRAINED[0].params


# When it is written ---------------------------------------------------------------------------


def test_epochs_are_kept_back_until_they_are_due(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch costs no call; what is due is written with the params, once."""
    log = opened(stores)
    run_id = begin(log, numbered(TRAINED)[0], RECORD)
    with statements() as executed:
        log.log_epoch(run_id, 6, {"val/accuracy": 0.5})
        log.flush_if_due()
    assert executed == []
    assert log.client.get_metric_history(run_id, "val/accuracy") == []
    monkeypatch.setattr(trials, "FLUSH_SECONDS", 0.0)
    log.flush_if_due()
    history = log.client.get_metric_history(run_id, "val/accuracy")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]
    with statements() as executed:
        log.flush_if_due()
    assert executed == []


def test_a_trial_whose_worker_died_says_so_in_a_run_of_its_own(stores: Stores) -> None:
    """MLflow takes no epoch back: the first attempt's run is closed with what it has."""
    log = opened(stores)
    row, death = numbered(TRAINED)[0], "the worker was ended by signal 9"
    left = begin(log, row, RECORD)
    log.leave(left, death)
    run_id = begin(log, row, RECORD)
    log.log_deaths(run_id, [death])
    bare = dataclasses.replace(row, run_id=run_id, curves={}, layers=())
    end(log, bare, row, RECORD)
    [run] = runs_of(log)
    assert run.data.tags["edgebench.worker_deaths"] == death
    [read] = read_study("study", tracking_uri=stores.tracking_uri, details=True).rows
    assert (read.run_id, read.curves) == (run_id, row.curves)
    for each in (left, run_id):
        history = log.client.get_metric_history(each, "val/accuracy")
        assert [point.step for point in history] == list(range(1, len(history) + 1))
    gone = log.client.get_run(left)
    assert (gone.info.status, gone.data.tags["edgebench.reason"]) == ("KILLED", death)
    assert (gone.data.tags["edgebench.state"], log.run_of(row.trial)) == ("interrupted", run_id)


def test_the_cost_of_a_trial_does_not_grow_with_the_record(stores: Stores) -> None:
    """SQL statements of one trial, after three trials and after fifty."""
    log = opened(stores)
    rows = numbered(TRAINED * 3)
    costs = []
    for row in rows[:60]:
        with statements() as executed:
            write_row(log, row, RECORD)
            log.record()
        costs.append(len(executed))
    assert costs[3:] == [costs[3]] * 57


def test_a_refused_candidate_costs_no_statement(stores: Stores) -> None:
    """Its row is written with others, on the timer."""
    log = opened(stores)
    with statements() as executed:
        for number in range(50):
            write_row(log, dataclasses.replace(REFUSED[0], trial=number), RECORD)
        log.flush_if_due()
    assert executed == []
    assert len(log.record().rows) == 50


def test_a_start_reads_the_study_once(stores: Stores) -> None:
    """With the trials that were trained comes the record; curves are read of the newest alone."""
    written = numbered(TRAINED[:4])
    for row in written:
        write_row(opened(stores), row, RECORD)
    log = opened(stores)
    trained = log.trained(2)
    assert [row.trial for row in trained] == [0, 1, 2, 3]
    assert [row.curves for row in trained] == [{}, {}, written[2].curves, written[3].curves]
    with statements() as executed:
        record = log.record()
    assert executed == []
    assert [row.metrics for row in record.rows] == [row.metrics for row in trained]


# After a kill ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here: nothing catches it."""


@contextlib.contextmanager
def killed_at(commit: int) -> Iterator[None]:
    """End the process before a commit to a database, the first being number 0."""
    left = [commit]

    def before(_connection: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    event.listen(Engine, "commit", before)
    try:
        yield
    finally:
        event.remove(Engine, "commit", before)


def repair(stores: Stores) -> StudyLog:
    """Continue the study in a new process, as the search does."""
    log = opened(stores)
    for run_id in log.unfinished():
        if log.close_ended(run_id) is None:
            log.interrupt(run_id)
    return log


def test_a_kill_at_any_moment_leaves_a_whole_row_or_none(stores: Stores) -> None:
    """Killed before each commit in turn, and repaired: no half row, no run that still runs.

    The trial's models go with it: none is left that belongs to no ended trial.
    """
    opened(stores).end_sweep("KILLED", {})
    model = model_bytes()
    whole = write_row(opened(stores), numbered(TRAINED)[0], RECORD, onnx=model)
    seen = set()
    for commit in range(100):
        row = dataclasses.replace(TRAINED[1], trial=commit + 1)
        log = opened(stores)
        try:
            with killed_at(commit):
                write_row(log, row, RECORD, onnx=model)
        except Killed:
            pass
        else:
            break
        log = repair(stores)
        assert log.unfinished() == []
        found = [one for one in log.record().rows if one.trial == row.trial]
        seen.add(len(found))
        for one in found:
            assert one.metrics.keys() == whole.metrics.keys()
            assert one.params == row.params
            assert log.model_of(one.run_id) == model
    else:
        pytest.fail("a trial takes more than a hundred commits")
    assert commit > 10
    assert seen == {0, 1}
    ended = {one.run_id for one in log.record().rows}
    models = log.client.search_logged_models([log.experiment_id], max_results=1000)
    assert {one.source_run_id for one in models} <= ended


def test_a_kill_in_the_repair_is_repaired(stores: Stores) -> None:
    """The state was written, MLflow's status was not."""
    log = opened(stores)
    run_id = begin(log, numbered(TRAINED)[0], RECORD)
    log.interrupt(run_id)
    log.client.set_tag(run_id, "kind", "trial")
    log.client.update_run(run_id, status="RUNNING")
    log = repair(stores)
    assert log.client.get_run(run_id).info.status == "KILLED"
    assert log.record().rows == ()


def test_an_interrupted_trial_is_no_row_and_its_repetition_is(stores: Stores) -> None:
    """The run stays, closed, with its reason and what it trained."""
    log = opened(stores)
    run_id = begin(log, numbered(TRAINED)[0], RECORD)
    log.interrupt(run_id)
    again = write_row(log, dataclasses.replace(TRAINED[0], trial=1), RECORD)
    rows = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert [row.run_id for row in rows] == [again.run_id]
    run = log.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["edgebench.state"] == "interrupted"
    assert run.data.tags["kind"] == "interrupted"  # the view of the study lists trials
    assert run.data.tags["edgebench.reason"] == "the command was cut off in this run"
    assert run.data.metrics["val/accuracy"] == TRAINED[0].curves["val/accuracy"][-1]


def test_the_sweeps_run_is_the_same_whenever_the_study_goes_on(stores: Stores) -> None:
    """It runs again, and ends again."""
    first = opened(stores)
    write_row(first, dataclasses.replace(REFUSED[0], trial=0), RECORD)
    first.end_sweep("KILLED", {"trials/refused": 1})
    second = opened(stores)
    assert second.parent_id == first.parent_id
    assert runs_of(second, "sweep")[0].info.status == "RUNNING"
    write_row(second, dataclasses.replace(REFUSED[1], trial=1), RECORD)
    second.end_sweep("FINISHED", {"trials/refused": 2})
    [parent] = runs_of(second, "sweep")
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"trials/refused": 2})
    assert [row.trial for row in second.record().rows] == [0, 1]


def test_the_last_run_of_a_trial_is_found_by_its_number(stores: Stores) -> None:
    """And none where none was made."""
    log = opened(stores)
    assert log.run_of(0) is None
    row = write_row(log, numbered(TRAINED)[0], RECORD)
    assert log.run_of(0) == row.run_id
    assert log.run_of(1) is None


# Stores that are refused ----------------------------------------------------------------------


def test_a_study_of_an_older_format_is_refused_in_one_line(stores: Stores) -> None:
    """By whoever writes, and by whoever reads."""
    log = opened(stores)
    old = {"objectives": [], "dataset": "synthetic"}
    log.client.set_experiment_tag(log.experiment_id, "edgebench.study", json.dumps(old))
    message = (
        "the study 'study' was recorded in format 1 and this edgebench reads format 2: move "
        "mlruns/ away, or give the sweep another name with --set name=study-2"
    )
    for attempt in (
        lambda: StudyLog(stores.tracking_uri, "study"),
        lambda: FinalsLog(stores.tracking_uri, "study"),
        lambda: read_study("study", tracking_uri=stores.tracking_uri),
    ):
        with pytest.raises(EdgebenchError) as caught:
            attempt()
        assert caught.value.mistakes == (message,)


def test_an_experiment_deleted_in_mlflow_is_refused(stores: Stores) -> None:
    """MLflow keeps its name; the message says both ways out."""
    log = opened(stores)
    log.client.delete_experiment(log.experiment_id)
    with pytest.raises(EdgebenchError) as caught:
        StudyLog(stores.tracking_uri, "study")
    message = (
        "the experiment 'study' was deleted in MLflow; restore it there, or give the sweep "
        "another name with --set name=study-2"
    )
    assert caught.value.mistakes == (message,)


def test_an_experiment_of_another_program_becomes_a_study(stores: Stores) -> None:
    """Its runs are none of ours, and stay."""
    client = opened(stores).client
    other = client.create_experiment("shared")
    client.create_run(other, run_name="not ours")
    record = dataclasses.replace(RECORD, study="shared", objectives=(Objective("a", "minimize"),))
    log = opened(stores, record)
    assert log.experiment_id == other
    assert log.record().rows == ()
