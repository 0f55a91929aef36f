"""Methods and rules in a study: what is proposed, what is stopped, what a next start knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores
from small_study import CONTENT, FAST, build, go, statuses

from edgebench.errors import EdgebenchError
from edgebench.record import Row
from edgebench.report import covered, notes
from edgebench.search import EARLY_STOPPING
from edgebench.space import Sweep, TrialConfig
from edgebench.tracking.runs import reader


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


def test_a_search_ends_where_its_last_trials_gained_little(stores: Stores) -> None:
    """All alike but for a useless axis: the third trial brings nothing, so no fourth begins."""
    parameters = {"model.family": "gap", "model.width": 4}
    asked: dict[str, Any] = {"method": "grid", "run_cap": 4, "parameters": parameters | FAST}
    asked["parameters"]["train.learning_rate"] = {"values": [1e-3, 1e-9, 1e-8, 1e-7]}
    enough = {"hypervolume_gain": "1 %", "trials": 2}
    record, events = go(build(**asked, stop_when=enough), stores)
    assert [row.state for row in record.rows] == ["finished"] * 3
    shares = [event.covered for event in events if event.kind == "ended"]
    limits = record.budget
    assert shares[-1] == pytest.approx(covered(record.rows, record.objectives, limits))
    said = f"Hypervolume: the front covers {100 * shares[-1]:.2f} % of what could be sought; as "
    assert any(note.startswith(said + "many trials again may add ") for note in notes(record))
    gains = [event.gain for event in events if event.kind == "ended"]
    assert gains[:2] == [None, None]  # too few to tell
    assert gains[2] is not None
    client = reader(stores.tracking_uri)
    [experiment] = [one for one in client.search_experiments() if one.name == "try"]
    [run] = client.search_runs([experiment.experiment_id], "tags.kind = 'sweep'")
    assert run.data.metrics["study/hypervolume"] == pytest.approx(shares[-1])
    assert len(go(build(**asked), stores)[0].rows) == 4  # without it the study goes on


def test_a_warm_start_begins_with_the_fronts_of_other_studies(stores: Stores) -> None:
    """In turn, as far as they are in this space; none of their results is one of this study."""
    widths = {"model.family": "gap", **FAST}
    for name, values in (("one", [4]), ("two", [11, 30])):
        parameters = {**widths, "model.width": {"values": values}}
        go(build(name=name, method="grid", parameters=parameters), stores)
    parameters = {**widths, "model.width": {"min": 1, "max": 20}, "train.batch_size": 32}
    asked: dict[str, Any] = {"method": "tpe", "parameters": parameters, "run_cap": 2}
    record, _ = go(build(**asked, warm_start=["one", "two"]), stores)
    tried = [row.params["model.width"] for row in record.rows]
    assert set(tried) <= {4, 11}
    assert 11 in tried  # 30 is none of this space
    with pytest.raises(EdgebenchError, match="unknown study 'three'"):
        go(build(**asked, name="other", warm_start=["three"]), stores)
