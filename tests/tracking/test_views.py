"""What is written for the MLflow UI, on a real store; how it looks is `test_ui`'s subject."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import urllib.parse
import zlib
from pathlib import Path

import pytest
from conftest import Stores
from mlflow_study import write_study
from report_studies import crowded, reference, synthetic

from edgebench.record import StudyRecord
from edgebench.tracking import read_study
from edgebench.tracking.views import (
    LONGEST_NOTE,
    comparison_url,
    front_url,
    links,
    log_pictures,
    note,
    refresh,
    run_tags,
    view_state,
)

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def test_the_comparison_link_asks_for_the_saved_view_alone() -> None:
    """A filter in the link would make the UI pass over the view."""
    link = comparison_url("http://localhost:5000/", "7")
    head, _, query = link.partition("?")
    assert head == "http://localhost:5000/#/experiments/7/runs"
    assert urllib.parse.parse_qs(query) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "viewStateShareKey": ["edgebench"],
    }


def test_without_a_saved_view_the_link_sorts_the_trials_by_accuracy() -> None:
    """Sorted by a metric, the runs stand flat and the charts fill."""
    link = comparison_url("http://localhost:5000", "7", mode="TABLE", saved_view=False)
    assert urllib.parse.parse_qs(link.partition("?")[2]) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["TABLE"],
        "searchFilter": ["tags.kind = 'trial'"],
        "orderByKey": ["metrics.`val/accuracy_best`"],
        "orderByAsc": ["false"],
    }


def test_the_front_link_names_every_member() -> None:
    """Run and experiment ids as JSON lists, encoded."""
    link = front_url("http://localhost:5000", "7", ["a1", "b2"])
    head, _, query = link.partition("?")
    assert head == "http://localhost:5000/#/compare-runs"
    assert urllib.parse.parse_qs(query) == {"runs": ['["a1", "b2"]'], "experiments": ['["7"]']}


def test_links_of_a_study_hold_its_front_only_if_there_is_something_to_compare() -> None:
    """Two members make a comparison, one does not."""
    record = reference()
    assert list(links("http://h:1", "7", record)) == ["comparison", "front"]
    alone = StudyRecord("one", record.objectives, record.rows[:1])
    assert list(links("http://h:1", "7", alone)) == ["comparison"]


def test_a_run_says_its_table_row_and_why_it_was_refused() -> None:
    """The description of a run, and the tag that the UI shows as a column."""
    record = reference()
    tags = run_tags(record.rows[2], record)
    assert tags["fits"] == "refused: ROM 73,000,000 B is over 20,000,000 B by 53,000,000 B"
    assert "73.00 MB" in tags["mlflow.note.content"]
    assert tags["fits"] in tags["mlflow.note.content"]
    assert run_tags(record.rows[0], record) == {
        "fits": "yes",
        "mlflow.note.content": (
            "| trial | family | width | hidden | accuracy | test accuracy | MACC | parameters "
            "| ROM | RAM | fits |\n"
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
            "| 0 | vgg | 64 | 1024 | 88.20 % | 87.19 % | 43.95 M | 4.58 M | 18.32 MB | 97.28 kB "
            "| yes |\n"
        ),
    }


def test_the_note_holds_front_trials_and_how_to_read_them() -> None:
    """Markdown of the same numbers as the table."""
    text = note(reference())
    assert "| ROM | 18.32 MB | 1.51 MB |" in text
    assert "| 1 | gap | 64 |" in text
    assert "- Footprints: estimated; st, float32, fused chains." in text


def test_a_long_note_is_cut_at_a_row_and_says_where_the_rest_is() -> None:
    """MLflow refuses a tag of more than 20,000 characters."""
    text = note(synthetic(500))
    assert len(text) <= LONGEST_NOTE
    assert text.endswith("more trials: `edgebench report synthetic-500`.")
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))


def test_note_and_view_are_written_to_a_real_store(stores: Stores) -> None:
    """Read back: the note is the note, the view unpacks to the state that the UI reads.

    The list of runs has the nine that were trained, and none of the three that were refused.
    """
    client, experiment_id, record = write_study(stores.folder, synthetic(12))
    assert refresh(client, experiment_id, record)
    tags = client.get_experiment(experiment_id).tags
    assert tags["mlflow.note.content"] == note(record)
    view = json.loads(tags["mlflow.sharedViewState.edgebench"])
    state = json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
    assert state == view_state(record)
    assert "tags.`fits`" in state["selectedColumns"]
    charts = [(chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in state["compareRunCharts"]]
    assert charts == [
        ("footprint/rom_bytes", "val/accuracy_best"),
        ("footprint/ram_bytes", "val/accuracy_best"),
        ("footprint/macc", "val/accuracy_best"),
    ]
    found = client.search_runs([experiment_id], "tags.kind = 'trial'")
    assert [run.info.run_id for run in found if run.data.tags["fits"] == "yes"] == [
        row.run_id for row in reversed(record.rows) if row.state == "finished"
    ]
    assert len(found) == 9


def test_many_refused_trials_do_not_fill_the_note() -> None:
    """The trained ones are in it; the refused are counted by the figure that they are over."""
    text = note(crowded(30, 3000))
    assert "3,000 trials were refused before training: " in text
    assert "refused: R" not in text
    assert text.count("| yes |") == 30


def test_pictures_are_logged_on_the_sweeps_run(stores: Stores) -> None:
    """The three trade-offs, the learning curves and the hypervolume, as artifacts."""
    client, experiment_id, record = write_study(stores.folder, synthetic(6))
    [parent] = client.search_runs([experiment_id], "tags.kind = 'sweep'")
    record = read_study(record.study, tracking_uri=stores.tracking_uri, details=True)
    assert log_pictures(client, parent.info.run_id, dataclasses.replace(record, classes=()))
    logged = {Path(one.path).stem for one in client.list_artifacts(parent.info.run_id, "pictures")}
    expected = {"accuracy-rom", "accuracy-ram", "accuracy-macc", "learning-curves", "hypervolume"}
    assert expected <= logged
    assert not log_pictures(client, "no-such-run", record)


def test_a_view_that_cannot_be_written_fails_nothing(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    """An experiment that does not exist is logged, not raised."""
    client, _, record = write_study(stores.folder, synthetic(2))
    with caplog.at_level(logging.WARNING):
        assert not refresh(client, "999", record)
    assert "the MLflow view of synthetic-2 was not refreshed" in caplog.text
