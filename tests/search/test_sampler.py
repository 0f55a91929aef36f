"""What comes next: drawn by Optuna, never twice, told how it ended, at a cost that stays flat."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import optuna
import pytest
from conftest import Stores
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from edgebench import space
from edgebench.errors import EdgebenchError
from edgebench.record import Row, State
from edgebench.search import sampler as sampler_module
from edgebench.search.sampler import Proposal, Sampler
from edgebench.space import Sweep

CONTENT: dict[str, Any] = {
    "name": "try",
    "dataset": "synthetic",
    "method": "tpe",
    "run_cap": 1000,
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"min": 4, "max": 256},
        "model.hidden": {"values": [8, 64, 4000], "when": {"model.family": "vgg"}},
        "train.learning_rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
    },
}
FINITE = {"model.family": "gap", "model.width": {"values": [4, 6, 8]}}


def build(**changed: Any) -> Sweep:
    """Build the sweep of these tests with some keys changed."""
    return space.build({**CONTENT, **changed})


def draw(sampler: Sampler, *under_way: str) -> Proposal:
    """Return a candidate; there must be one."""
    proposal = sampler.next(under_way)
    assert proposal is not None
    return proposal


def finish(sampler: Sampler, proposal: Proposal) -> int:
    """Train a candidate in no time: wider is better and larger."""
    width = int(proposal.config.params["model.width"])
    number = sampler.begin(proposal, {"rom_bytes": width / 1000 - 1})
    metrics = {"val/accuracy_best": math.tanh(width / 100), "footprint/rom_bytes": 100 * width}
    sampler.tell(number, State.FINISHED, metrics)
    return number


def refuse(sampler: Sampler, proposal: Proposal) -> int:
    """Refuse a candidate."""
    reason, metrics = "ROM is over", {"footprint/rom_bytes": 5}
    params = proposal.config.params
    row = Row(-1, "", "gap-w4", State.REFUSED, reason, params, metrics)
    return sampler.refuse(proposal, {"rom_bytes": 0.5}, row)


def stored(stores: Stores) -> list[optuna.trial.FrozenTrial]:
    """Return the trials as Optuna itself reads them."""
    return optuna.load_study(study_name="try", storage=stores.storage).trials


def test_optuna_holds_each_candidate_with_its_state(stores: Stores) -> None:
    """Whoever opens the store with Optuna's own tools sees params, values, constraints, states."""
    sampler = Sampler(build(), stores.storage)
    assert finish(sampler, draw(sampler)) == 0
    assert refuse(sampler, draw(sampler)) == 1
    for number, state in ((2, State.PRUNED), (3, State.FAILED), (4, State.INTERRUPTED)):
        assert sampler.begin(draw(sampler), {}) == number
        sampler.tell(number, state, {})
    sampler.begin(draw(sampler), {})
    states = [trial.state for trial in stored(stores)]
    assert states == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]
    first, refused = stored(stores)[:2]
    assert first.values == [math.tanh(first.params["model.width"] / 100),
                            100 * first.params["model.width"]]  # fmt: skip
    assert refused.constraints == {"rom_bytes": 0.5}
    assert refused.user_attrs["candidate"]["reason"] == "ROM is over"


def test_a_new_process_knows_all_of_it(stores: Stores) -> None:
    """Counts, what must not be repeated, what is left running, what was refused."""
    sampler = Sampler(build(), stores.storage)
    proposals = [draw(sampler) for _ in range(4)]
    finish(sampler, proposals[0])
    refuse(sampler, proposals[1])
    sampler.begin(proposals[2], {})
    again = Sampler(build(), stores.storage)
    assert again.count(State.FINISHED) == again.count(State.REFUSED) == 1
    assert again.left_running().keys() == {2}
    [row] = again.refused()
    assert (row.trial, row.reason, row.name) == (1, "ROM is over", "gap-w4")
    assert row.params == proposals[1].config.params
    again.tell(2, State.FINISHED, {"val/accuracy_best": 0.5, "footprint/rom_bytes": 7})
    assert stored(stores)[2].values == [0.5, 7]
    assert Sampler(build(), stores.storage).count(State.FINISHED) == 2


def test_what_was_cut_off_comes_first_and_once(stores: Stores) -> None:
    """In this process and in the next; the same candidate, as a new trial."""
    sampler = Sampler(build(), stores.storage)
    cut = draw(sampler)
    number = sampler.begin(cut, {})
    sampler.tell(number, State.INTERRUPTED, {})
    for each in (sampler, Sampler(build(), stores.storage)):
        assert draw(each).config.key == cut.config.key
    again = Sampler(build(), stores.storage)
    assert finish(again, draw(again)) == number + 1
    assert draw(Sampler(build(), stores.storage)).config.key != cut.config.key


def test_no_candidate_comes_twice_and_a_finite_space_ends(stores: Stores) -> None:
    """Whatever the sampler repeats; repetitions are kept nowhere."""
    sampler = Sampler(build(parameters=FINITE), stores.storage)
    assert sampler.total == 3
    widths = []
    while (proposal := sampler.next(())) is not None:
        widths.append(proposal.config.params["model.width"])
        finish(sampler, proposal)
    assert sorted(widths) == [4, 6, 8]
    assert len(stored(stores)) == 3


def test_what_is_under_way_is_not_drawn(stores: Stores) -> None:
    """Two workers never train the same."""
    sampler = Sampler(build(parameters=FINITE), stores.storage)
    keys: list[str] = []
    for _ in range(3):
        proposal = draw(sampler, *keys)
        sampler.begin(proposal, {})
        keys.append(proposal.config.key)
    assert len(set(keys)) == 3
    assert sampler.next(keys) is None


def test_a_grid_goes_in_the_order_of_the_file(stores: Stores) -> None:
    """Family before width, as written."""
    parameters = {"model.family": {"values": ["vgg", "gap"]}, "model.width": {"values": [8, 4]}}
    sampler = Sampler(build(method="grid", parameters=parameters), stores.storage)
    found = []
    while (proposal := sampler.next(())) is not None:
        found.append(tuple(proposal.config.params.values()))
        finish(sampler, proposal)
    assert found == [("vgg", 8), ("vgg", 4), ("gap", 8), ("gap", 4)]


@pytest.mark.parametrize("method", ["tpe", "gp", "nsga2", "random"])
def test_a_seed_decides_what_is_drawn(stores: Stores, method: str) -> None:
    """The same study, begun anew, draws the same; another seed draws other candidates."""
    drawn = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        sampler = Sampler(build(name=name, seed=seed, method=method), stores.storage)
        configs = []
        for _ in range(6):
            proposal = draw(sampler)
            configs.append(dict(proposal.config.params))
            finish(sampler, proposal)
        drawn.append(configs)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_sampler_learns_from_what_it_is_told(stores: Stores) -> None:
    """One objective, wider is better: TPE's later draws are wider than chance."""
    metrics = [{"name": "val/accuracy_best", "goal": "maximize"}]
    parameters = {"model.family": "gap", "model.width": {"min": 1, "max": 1000}}
    sampler = Sampler(build(metrics=metrics, parameters=parameters), stores.storage)
    widths = []
    for _ in range(60):
        proposal = draw(sampler)
        widths.append(int(proposal.config.params["model.width"]))
        finish(sampler, proposal)
    assert sum(widths[30:]) / 30 > 700


def test_the_sampler_learns_from_what_was_stopped(stores: Stores) -> None:
    """What it had reached, in this process and in the next; Optuna's store says it was pruned."""
    sampler = Sampler(build(), stores.storage)
    number = sampler.begin(draw(sampler), {})
    sampler.tell(number, State.PRUNED, {"val/accuracy_best": 0.4, "footprint/rom_bytes": 9})
    for each in (sampler, Sampler(build(), stores.storage)):
        [learned] = each._memory.get_trials()
        assert (learned.state, learned.values) == (TrialState.COMPLETE, [0.4, 9])
        assert each.count(State.PRUNED) == 1
    [kept] = stored(stores)
    assert (kept.state, kept.values) == (TrialState.PRUNED, [0.4, 9])


def test_the_sampler_learns_from_refusals(stores: Stores) -> None:
    """Wide networks are over the budget: after a while they are hardly drawn any more."""
    parameters = {"model.family": "gap", "model.width": {"min": 1, "max": 1000}}
    sampler = Sampler(build(parameters=parameters), stores.storage)
    over = []
    for _ in range(120):
        proposal = draw(sampler)
        width = int(proposal.config.params["model.width"])
        over.append(width > 100)
        usage = {"rom_bytes": width / 100 - 1}
        if width > 100:
            row = Row(-1, "", "x", State.REFUSED, "over", proposal.config.params, {})
            sampler.refuse(proposal, usage, row)
        else:
            finish(sampler, proposal)
    assert sum(over[80:]) < sum(over[:40])
    assert sum(over[80:]) < 20


def test_the_history_in_memory_is_bounded(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is recorded, the sampler draws from the latest and from the front."""
    monkeypatch.setattr(sampler_module, "REFUSED_KEPT", 5)
    monkeypatch.setattr(sampler_module, "TRAINED_KEPT", 8)
    sampler = Sampler(build(method="random"), stores.storage)
    widest = -1
    for index in range(60):
        proposal = draw(sampler)
        if index % 2:
            refuse(sampler, proposal)
        else:
            widest = max(widest, int(proposal.config.params["model.width"]))
            finish(sampler, proposal)
        assert len(sampler._memory.trials) < 40  # of 60 at the end, and of any number later
    kept = [trial.params["model.width"] for trial in sampler._trained]
    assert widest in kept  # on the front, however old


def test_a_trial_costs_as_many_statements_late_as_early(stores: Stores) -> None:
    """Optuna's store is asked nothing about what it holds already."""
    parameters = {"model.family": "gap", "model.width": {"min": 1, "max": 10_000}}
    sampler = Sampler(build(method="random", parameters=parameters), stores.storage)
    statements: list[str] = []
    engine = sampler._store._storage.engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    counts: list[int] = []
    for index in range(60):
        before = len(statements)
        (refuse if index % 2 else finish)(sampler, draw(sampler))
        counts.append(len(statements) - before)
    assert Counter(counts[:10]) == Counter(counts[-10:])


def test_a_start_reads_the_trials_once(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand trials take seconds to read: whether there are any is asked of what was read."""
    finish(first := Sampler(build(), stores.storage), draw(first))
    read = RDBStorage._get_trials
    reads: list[int] = []

    def counted(*given: Any, **named: Any) -> list[FrozenTrial]:
        found = read(*given, **named)
        reads.append(len(found))
        return found

    monkeypatch.setattr(RDBStorage, "_get_trials", counted)
    assert Sampler(build(), stores.storage).count(State.FINISHED) == 1
    assert reads == [1]


def test_another_search_of_the_same_name_is_refused(stores: Stores) -> None:
    """What changed is named; a higher cap or another method is no other search."""
    Sampler(build(), stores.storage)
    Sampler(build(run_cap=7, method="random"), stores.storage)
    with pytest.raises(EdgebenchError) as caught:
        Sampler(build(dataset="digits", parameters=FINITE), stores.storage)
    assert str(caught.value) == (
        "the study 'try' holds another search: dataset, model.family, model.width, model.hidden, "
        "train.learning_rate changed; go on with the old file, or give this one its own name with "
        "--set name=try-2"
    )


def test_a_store_of_another_format_is_one_message(stores: Stores) -> None:
    """Written before candidates had a versioned identity."""
    study = optuna.create_study(
        study_name="try", storage=stores.storage, directions=["maximize", "minimize"]
    )
    study.set_user_attr("sweep", build().fingerprint)
    with pytest.raises(EdgebenchError) as caught:
        Sampler(build(), stores.storage)
    assert str(caught.value) == (
        "the study 'try' was recorded in format 1 and this edgebench reads format 2: move mlruns/ "
        "away, or give the sweep another name with --set name=try-2"
    )
