"""``repeats``: the front's accuracies are means over seeds, each trained once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores
from scipy import stats
from small_study import FAST, build, go, where

from edgebench.errors import EdgebenchError
from edgebench.record import Row
from edgebench.report import notes
from edgebench.search import Event, search
from edgebench.tracking.runs import reader

ACCURACY = "val/accuracy_best"
ASKED: dict[str, Any] = {
    "method": "grid",
    "parameters": {**FAST, "model.family": "gap", "model.width": {"values": [4, 8]}},
}


def accuracies(stores: Stores, row: Row) -> dict[int, float]:
    """Return the accuracy of each seed, as MLflow has it; each once."""
    found = reader(stores.tracking_uri).get_metric_history(row.run_id, "repeats/accuracy")
    assert len({metric.step for metric in found}) == len(found)
    return {metric.step: metric.value for metric in found}


def test_the_front_is_of_means(stores: Stores) -> None:
    """Student's interval by SciPy; a member that another mean dominates is no member any more."""
    record, events = go(build(**ASKED, repeats=3), stores, workers=2)
    assert len(record.rows) == 2
    for row in record.front():
        values = accuracies(stores, row)
        assert sorted(values) == [0, 1, 2]
        assert row.metrics["repeats/count"] == 3
        assert row.metrics[ACCURACY] == pytest.approx(np.mean(list(values.values())))
        low, high = stats.t.interval(
            0.95, 2, np.mean(list(values.values())), stats.sem(list(values.values()))
        )
        found = [row.metrics["repeats/low"], row.metrics["repeats/high"]]
        assert found == pytest.approx([max(0, low), min(1, high)], abs=2e-3)
    assert [line for line in notes(record) if line.startswith("Repeats: the accuracies of ")]
    names = [event.name for event in events if event.kind == "ended" and "-seed" in event.name]
    assert len(names) == len(set(names)) >= 2
    assert go(build(**ASKED, repeats=3), stores)[1] == []  # nothing is left to do
    row = record.front()[0]
    parameters = {**row.params, "train.seed": 1}
    [single] = go(build(**{**ASKED, "parameters": parameters}, name="single"), stores)[0].rows
    assert accuracies(stores, row)[1] == single.metrics[ACCURACY]


class Cut(Exception):
    """The command is cut off."""


def test_what_was_repeated_before_a_cut_is_not_repeated_after(stores: Stores) -> None:
    """One accuracy was written; the next start trains the others."""
    asked = build(**{**ASKED, "run_cap": 1}, repeats=4)

    def cut(event: Event) -> None:
        if event.kind == "ended" and "-seed1" in event.name:
            raise Cut

    with pytest.raises(Cut):
        search(asked, where(stores), cut)
    record, events = go(asked, stores)
    again = [event.name for event in events if event.kind == "ended"]
    assert [name.rpartition("-")[2] for name in again] == ["seed2", "seed3"]
    assert sorted(accuracies(stores, record.rows[0])) == [0, 1, 2, 3]


def test_repeats_are_of_an_accuracy() -> None:
    """A study without one has nothing to be surer of."""
    metrics = [{"name": "footprint/rom_bytes", "goal": "minimize"}]
    with pytest.raises(EdgebenchError, match=r"^repeats: there is no accuracy to be surer of$"):
        build(**ASKED, repeats=2, metrics=metrics)
