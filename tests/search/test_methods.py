"""Methods and rules in a study: what is proposed, what is stopped, what a next start knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores
from small_study import CONTENT, FAST, build, go, statuses

from edgebench.record import Row
from edgebench.search import EARLY_STOPPING
from edgebench.space import Sweep, TrialConfig


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
