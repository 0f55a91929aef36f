"""The one door to the test split: every opening is on the study's experiment, before the images."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from conftest import Stores
from mlflow import MlflowClient

from edgebench import data
from edgebench.record import Opening
from edgebench.tracking import open_test_split, openings, record_opening, runs

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def study(stores: Stores) -> tuple[MlflowClient, str]:
    """An empty experiment."""
    client = runs.writer(stores.tracking_uri)
    return client, str(client.create_experiment("study"))


def test_a_study_begins_with_its_test_split_closed(study: tuple[MlflowClient, str]) -> None:
    """No opening, no entry."""
    assert openings(*study) == []


def test_the_opening_is_recorded_before_an_image_can_be_read(
    study: tuple[MlflowClient, str],
) -> None:
    """The images are given for an `Opening`, and that comes from the record alone."""
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    opening = open_test_split(*study, "sweep", {"trials": [1, 2]})
    assert openings(*study) == [{"when": opening.when, "by": "sweep", "trials": [1, 2]}]
    assert before <= dt.datetime.fromisoformat(opening.when) <= dt.datetime.now(dt.UTC)
    dataset = data.load("synthetic", seed=0)
    assert len(dataset.open_test(opening)) > 0
    assert not hasattr(dataset, "test")


def test_openings_stand_in_their_order(study: tuple[MlflowClient, str]) -> None:
    """More than ten of them too."""
    for number in range(12):
        open_test_split(*study, "export", {"number": number})
    assert [one["number"] for one in openings(*study)] == list(range(12))


def test_an_opening_that_goes_on_is_written_anew(study: tuple[MlflowClient, str]) -> None:
    """A finalize that was cut off opens nothing a second time, whatever opened in between."""
    begun = Opening("2026-01-01T10:00:00+00:00", "finalize", {"complete": False})
    record_opening(*study, begun)
    open_test_split(*study, "export", {"run_id": "a"})
    record_opening(*study, Opening(begun.when, begun.by, {"complete": True}))
    recorded = openings(*study)
    assert recorded[0] == {"when": begun.when, "by": "finalize", "complete": True}
    assert [one["by"] for one in recorded] == ["finalize", "export"]


def test_two_commands_that_open_at_once_are_both_recorded(
    study: tuple[MlflowClient, str],
) -> None:
    """An export may look while a sweep ends."""
    client, experiment = study
    together = threading.Barrier(4)

    def opened(by: str) -> None:
        together.wait()
        open_test_split(client, experiment, by, {})

    names = [f"command {number}" for number in range(4)]
    threads = [threading.Thread(target=opened, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one["by"] for one in openings(client, experiment)) == names
