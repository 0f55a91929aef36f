"""The table of refused candidates, on a real run of a real store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from conftest import Stores
from mlflow import MlflowClient
from mlflow.entities import Run

from edgebench.record import Row, State
from edgebench.tracking import refused, runs
from edgebench.tracking.refused import PART, RefusedTable, read_refused

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def run(stores: Stores) -> tuple[MlflowClient, Run]:
    """A run, as that of a sweep, in a store of its own."""
    client = runs.writer(stores.tracking_uri)
    experiment = client.create_experiment("study", (stores.folder / "artifacts").as_uri())
    return client, client.create_run(experiment)


def row(number: int, **changed: Any) -> Row:
    """Return a refused candidate."""
    content: dict[str, Any] = {
        "trial": number,
        "run_id": "",
        "name": f"trial-{number:04d}-vgg-w{number}",
        "state": State.REFUSED,
        "reason": "ROM 1,222 B is over 1,000 B by 222 B",
        "params": {"model.family": "vgg", "model.width": number, "train.momentum": 0.9},
        "metrics": {"footprint/rom_bytes": 1222, "footprint/macc": 10**12},
    }
    return Row(**content | changed)


def files(run: Run) -> list[Path]:
    """Return the parts on the disk."""
    folder = runs.local_artifact(run, refused.FOLDER)
    assert folder is not None
    return sorted(folder.iterdir())


def test_rows_come_back_as_they_were(run: tuple[MlflowClient, Run]) -> None:
    """Numbers with their types, text in any script, booleans."""
    client, made = run
    table = RefusedTable(client, made.info.run_id)
    rows = [row(3), row(1, name="größer", params={"train.nesterov": True}), row(2, reason=None)]
    for one in rows:
        table.append(one)
    table.flush()
    read = read_refused(client, made)
    assert read.rows == rows
    assert read.whole
    assert type(read.rows[0].metrics["footprint/macc"]) is int


def test_a_run_without_refused_candidates_has_an_empty_table(
    run: tuple[MlflowClient, Run],
) -> None:
    """Nothing is written for it either."""
    client, made = run
    RefusedTable(client, made.info.run_id).flush()
    assert read_refused(client, made).rows == []
    assert client.list_artifacts(made.info.run_id) == []


def test_a_flush_writes_the_last_part_alone(run: tuple[MlflowClient, Run]) -> None:
    """What a row costs does not grow with the table."""
    client, made = run
    table = RefusedTable(client, made.info.run_id)
    for number in range(2 * PART + 1):
        table.append(row(number))
    table.flush()
    parts = files(made)
    assert [part.name for part in parts] == ["00000.jsonl", "00001.jsonl", "00002.jsonl"]
    assert [len(part.read_text().splitlines()) for part in parts] == [PART, PART, 1]
    before = [part.stat().st_mtime_ns for part in parts]
    table.flush()
    assert [part.stat().st_mtime_ns for part in parts] == before
    table.append(row(2 * PART + 1))
    table.flush()
    assert [part.stat().st_mtime_ns for part in parts][:2] == before[:2]
    assert len(parts[2].read_text().splitlines()) == 2


def test_the_table_goes_on_in_another_process(run: tuple[MlflowClient, Run]) -> None:
    """The part that was begun is filled."""
    client, made = run
    for first in (0, 300, 600):
        table = RefusedTable(client, made.info.run_id)
        assert len(table.rows) == first
        for number in range(first, first + 300):
            table.append(row(number))
        table.flush()
    assert [one.trial for one in read_refused(client, made).rows] == list(range(900))
    assert len(files(made)) == 2


def test_a_line_that_was_cut_short_is_left_out_with_a_warning(
    run: tuple[MlflowClient, Run], caplog: pytest.LogCaptureFixture
) -> None:
    """A kill in the middle of a write costs rows, never a traceback."""
    client, made = run
    table = RefusedTable(client, made.info.run_id)
    for number in range(3):
        table.append(row(number))
    table.flush()
    [part] = files(made)
    part.write_bytes(part.read_bytes()[:-40])
    with caplog.at_level(logging.WARNING):
        read = read_refused(client, made)
    assert [one.trial for one in read.rows] == [0, 1]
    assert not read.whole
    assert caplog.messages == [
        "a line of 'refused/00000.jsonl' was cut short; the next sweep writes it again"
    ]


@pytest.mark.parametrize("line", [b"{}", b"[]", b"7", b'{"trial": 1}', b"\xff\xfe", b'"\xc3'])
def test_a_line_that_is_no_row_is_left_out(run: tuple[MlflowClient, Run], line: bytes) -> None:
    """Whatever it holds."""
    client, made = run
    table = RefusedTable(client, made.info.run_id)
    table.append(row(0))
    table.flush()
    [part] = files(made)
    part.write_bytes(line + b"\n" + part.read_bytes())
    read = read_refused(client, made)
    assert (read.rows, read.whole) == ([row(0)], False)


def test_what_a_kill_lost_is_written_again(run: tuple[MlflowClient, Run]) -> None:
    """Optuna's store has every refused candidate; those that are missing are added, once."""
    client, made = run
    known = [row(number) for number in range(PART + 20)]
    table = RefusedTable(client, made.info.run_id)
    for one in known[:-5]:
        table.append(one)
    table.flush()
    first, _ = files(made)
    lines = first.read_text().splitlines(keepends=True)
    first.write_text("".join([*lines[:100], lines[100][:50]]))  # a kill in the first part
    table = RefusedTable(client, made.info.run_id)
    missing = table.complete(known)
    table.flush()
    assert [one.trial for one in missing] == [*range(100, PART), *range(PART + 15, PART + 20)]
    read = read_refused(client, made)
    assert sorted(read.rows, key=lambda one: one.trial) == known
    assert read.whole
    again = RefusedTable(client, made.info.run_id)
    assert again.complete(known) == []
