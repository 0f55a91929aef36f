"""An outage of MLflow's server: the study goes on, and its record is whole afterwards."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Stores
from mlflow.entities import Metric, Param, RunTag
from mlflow_study import begin, end, facts_of, model_bytes, sweep_of, write_row
from report_studies import synthetic
from servers import Tracker

from edgebench.errors import CheckFailed
from edgebench.record import Row, State
from edgebench.tracking import StudyLog, read_study
from edgebench.tracking.journal import Entry, Journal
from edgebench.tracking.runs import search

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RECORD = dataclasses.replace(synthetic(40), study="study", convention="st", provenance="estimated")
TRAINED = [row for row in RECORD.rows if row.state == State.FINISHED][:4]
REFUSED = [row for row in RECORD.rows if row.state == State.REFUSED][:1]


# The file --------------------------------------------------------------------------------------

ENTRIES = [
    Entry("create_run", "journal-1", {"tags": {"kind": "trial"}, "start_time": 5}),
    Entry(
        "log_batch",
        "journal-1",
        {
            "metrics": [Metric("val/accuracy", 0.5, 7, 1)],
            "params": [Param("a", "1")],
            "tags": [RunTag("b", "2")],
        },
    ),
    Entry("log_artifact", "journal-1", {"name": "x.pt", "content": bytes(range(256))}),
]


def plain(entry: Entry) -> Any:
    """Return an entry in which MLflow's figures can be compared."""
    return json.loads(json.dumps(dataclasses.asdict(entry), default=lambda value: str(vars(value))
                                 if hasattr(value, "__dict__") else list(value)))  # fmt: skip


def test_what_is_owed_survives_the_process_in_order(tmp_path: Path) -> None:
    """One line a write; what was delivered is owed no more, and the last mark ends the file."""
    path = tmp_path / "mlruns" / ".study.journal"
    journal = Journal(path)
    for entry in ENTRIES:
        journal.append(entry)
    assert [json.loads(line)["call"] for line in path.read_text().splitlines()] == [
        "create_run",
        "log_batch",
        "log_artifact",
    ]
    again = Journal(path)
    assert [plain(entry) for _, entry in again.owed()] == [plain(entry) for entry in ENTRIES]
    again.mark(0, ENTRIES[0], "abc")
    third = Journal(path)
    assert [entry.call for _, entry in third.owed()] == ["log_batch", "log_artifact"]
    assert third.runs == {"journal-1": "abc"}
    for number, entry in third.owed():
        third.mark(number, entry, "abc")
    assert not path.exists()


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path, left: int) -> None:
    """It was never acknowledged; what comes next is whole."""
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(ENTRIES[0])
    whole = path.read_bytes()
    journal.append(ENTRIES[1])
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:left])
    again = Journal(path)
    again.append(ENTRIES[2])
    found = [entry.call for _, entry in Journal(path).owed()]
    assert found == ["create_run", "log_artifact"]


# A real server -----------------------------------------------------------------------------------


@pytest.fixture
def tracker(stores: Stores) -> Iterator[Tracker]:
    """Run an MLflow server on an empty store."""
    server = Tracker(stores.tracking_uri, stores.folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Killed(BaseException):
    """The process ends here: nothing catches it."""


def test_an_outage_leaves_no_gap_and_nothing_twice(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    """A trial in the middle of it, one within it, and one after.

    Delivery is killed after each of its writes, so that every one is made twice.
    """
    caplog.set_level(logging.WARNING)
    path = tmp_path / ".study.journal"
    log = StudyLog(tracker.uri, "study", path)
    log.begin_sweep(sweep_of(RECORD), facts_of(RECORD), "st")
    rows = [dataclasses.replace(row, trial=number) for number, row in enumerate(TRAINED)]
    write_row(log, rows[0], RECORD, onnx=model_bytes())
    cut = begin(log, rows[1], RECORD)
    log.flush()
    tracker.stop()
    model = model_bytes()
    bare = dataclasses.replace(rows[1], run_id=cut, curves={}, layers=())
    end(log, bare, rows[1], RECORD, onnx=model, checkpoint=b"weights")
    write_row(log, rows[2], RECORD, onnx=model)
    write_row(log, dataclasses.replace(REFUSED[0], trial=9), RECORD)
    log.flush()
    log.refresh_views()
    with pytest.raises(CheckFailed, match=r"is away: \d+ writes of the study are kept in"):
        log.deliver(0.0)
    assert len(caplog.records) == 1
    assert "is away; the study goes on, and what it writes is kept in" in caplog.text
    tracker.start()
    deliveries = _deliver_with_kills(tracker.uri, path, monkeypatch)
    assert deliveries > 8
    log = StudyLog(tracker.uri, "study", path)
    log.begin_sweep(sweep_of(RECORD), facts_of(RECORD), "st")
    write_row(log, rows[3], RECORD, onnx=model)
    log.end_sweep("FINISHED", {})
    _check(log, tracker.uri, rows)


def _deliver_with_kills(uri: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Deliver, ended each time after one write that was made and not yet marked; count these."""
    mark = Journal.mark
    spared: list[int] = []

    def killing(journal: Journal, number: int, entry: Entry, run_id: str) -> None:
        if number not in spared:
            spared.append(number)
            raise Killed
        mark(journal, number, entry, run_id)

    monkeypatch.setattr(Journal, "mark", killing)
    while path.exists():
        try:
            StudyLog(uri, "study", path).deliver(5.0)
        except Killed:
            continue
    return len(spared)


def _check(log: StudyLog, uri: str, rows: list[Row]) -> None:
    """Look at runs, metrics, artifacts and models, each once."""
    found = list(search(log.client, log.experiment_id, "tags.kind = 'trial'"))
    assert [run.data.tags["edgebench.trial"] for run in found] == ["0", "1", "2", "3"]
    assert {run.info.status for run in found} == {"FINISHED"}
    for run, row in zip(found, rows, strict=True):
        for name, values in row.curves.items():
            history = log.client.get_metric_history(run.info.run_id, name)
            assert sorted((one.step, one.value) for one in history) == list(enumerate(values, 1))
        assert log.model_of(run.info.run_id) == model_bytes()
    models = log.client.search_logged_models([log.experiment_id], max_results=100)
    assert len(models) == 4
    read = read_study("study", tracking_uri=uri, details=True)
    assert [row.trial for row in read.rows] == [0, 1, 2, 3, 9]
    assert [row.curves for row in read.rows[:4]] == [row.curves for row in rows]
