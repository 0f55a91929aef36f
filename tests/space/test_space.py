"""Candidates: their keys, names and enumeration; budgets."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebench.space import Axis, Budget, TrialConfig
from edgebench.space import file as sweep


def config(**params: Any) -> TrialConfig:
    """Return a configuration of the gap family."""
    named = {name.replace("__", "."): value for name, value in params.items()}
    return TrialConfig({"model.family": "gap", **named}, "digits")


def test_what_is_left_unsaid_is_its_default() -> None:
    """Two ways to write one candidate have one key."""
    assert config().key == config(model__width=64, train__epochs=15).key
    assert config().key == config(train__learning_rate=1e-3).key
    assert config().key != config(model__width=32).key


def test_data_seed_and_int8_make_another_result() -> None:
    """What is trained on and how it ships belong to the key."""
    params = {"model.family": "gap"}
    keys = {
        TrialConfig(params, "digits").key,
        TrialConfig(params, "synthetic").key,
        TrialConfig(params, "digits", base_seed=1).key,
        TrialConfig(params, "digits", split_seed=1).key,
        TrialConfig(params, "digits", int8=True).key,
    }
    assert len(keys) == 5


def test_a_name_tells_candidates_apart() -> None:
    """Varied axes are abbreviated by the fewest letters that do not collide."""
    named = config(
        model__width=32, model__blocks=3, train__batch_size=64, train__learning_rate=0.00312
    )
    assert named.label(["model.family", "model.width"]) == "gap-w32"
    assert named.label(["model.blocks", "train.batch_size"]) == "gap-bl3-ba64"
    assert named.label(["train.learning_rate"]) == "gap-l0.00312"
    assert named.label(["model.hidden"]) == "gap"


@settings(deadline=None, max_examples=30)
@given(
    widths=st.sets(st.integers(1, 64), min_size=1, max_size=4),
    hidden=st.sets(st.integers(1, 64), min_size=1, max_size=3),
    epochs=st.sets(st.integers(1, 9), min_size=1, max_size=3),
)
def test_a_grid_is_every_active_combination_once(
    widths: set[int], hidden: set[int], epochs: set[int]
) -> None:
    """Against brute force: gap has no hidden layer, so its combinations are counted once."""
    built = sweep.build(
        {
            "name": "grid",
            "method": "grid",
            "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
            "parameters": {
                "model.family": {"values": ["vgg", "gap"]},
                "model.width": {"values": sorted(widths)},
                "model.hidden": {"values": sorted(hidden), "when": {"model.family": "vgg"}},
                "train.epochs": {"values": sorted(epochs)},
            },
        }
    )
    configurations = built.configurations()
    assert configurations is not None
    found = [tuple(sorted(c.params.items(), key=str)) for c in configurations]
    brute = {
        tuple(
            sorted({"model.family": f, "model.width": w, "train.epochs": e, **h}.items(), key=str)
        )
        for f, w, e in product(["vgg", "gap"], widths, epochs)
        for h in ([{"model.hidden": n} for n in hidden] if f == "vgg" else [{}])
    }
    assert len(found) == len(set(found))
    assert set(found) == brute


@pytest.mark.parametrize(
    ("axis", "choices"),
    [
        (Axis("a", low=2, high=5, integer=True), (2, 3, 4, 5)),
        (Axis("a", low=1, high=4, integer=True, log=True), (1, 2, 3, 4)),
        (Axis("a", low=0.0, high=1.0, step=0.5), (0.0, 0.5, 1.0)),
        (Axis("a", low=0.0, high=1.0), None),
        (Axis("a", values=("x", True)), ("x", True)),
    ],
)
def test_choices_of_an_axis(axis: Axis, choices: object) -> None:
    """A finite axis lists its values, a continuous one none."""
    assert axis.choices() == choices


def test_a_budget_is_met_at_its_limit() -> None:
    """Exactly full still fits; the ratio is what the sampler learns from."""
    budget = Budget({"rom_bytes": 1000, "ram_bytes": 500}, "a-board")
    assert budget.excess({"rom_bytes": 1000, "ram_bytes": 500}) is None
    assert budget.usage({"rom_bytes": 1500, "ram_bytes": 250}) == {
        "rom_bytes": 0.5,
        "ram_bytes": -0.5,
    }
    assert budget.excess({"rom_bytes": 1001, "ram_bytes": 12345}) == (
        "ROM 1,001 B is over 1,000 B of a-board by 1 B; "
        "RAM 12,345 B is over 500 B of a-board by 11,845 B"
    )


def test_a_limit_of_an_upper_figure_has_three_answers() -> None:
    """Under it, perhaps over it, over it; where nothing is promised nothing surely fits."""
    budget = Budget({"rom_upper_bytes": 1000}, "a-board")
    assert budget.excess({"rom_bytes": 990, "rom_upper_bytes": 1000}) is None
    assert budget.excess({"rom_bytes": 990, "rom_upper_bytes": 1020}) == (
        "may fit: ROM 990 B is under 1,000 B of a-board, but may be up to 1,020 B, 20 B over"
    )
    assert budget.excess({"rom_bytes": 1001, "rom_upper_bytes": 1020}) == (
        "ROM 1,001 B is over 1,000 B of a-board by 1 B"
    )
    assert budget.excess({"rom_bytes": 990}) == (
        "may fit: ROM is at least 990 B, under 1,000 B of a-board"
    )
    assert budget.usage({"rom_bytes": 990, "rom_upper_bytes": 1250}) == {"rom_upper_bytes": 0.25}
    time = Budget({"latency_ms_int8": 12.5})
    assert time.excess({"latency_ms_int8": 12.5}) is None
    assert time.excess({"latency_ms_int8": 1234.5}) == (
        "latency int8 1,234.50 ms is over 12.50 ms by 1,222.00 ms"
    )


def test_the_fingerprint_ignores_what_may_change() -> None:
    """The cap and the method may change while a study goes on; the space may not."""
    content: dict[str, Any] = {
        "name": "f",
        "run_cap": 4,
        "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
        "parameters": {"model.family": "gap", "model.width": {"values": [8, 16]}},
    }
    first = sweep.build(content)
    assert (
        sweep.build(content | {"run_cap": 9, "method": "random"}).fingerprint == first.fingerprint
    )
    assert sweep.build(content | {"seed": 1}).fingerprint != first.fingerprint
    wider = content | {"parameters": {"model.family": "gap", "model.width": {"values": [8]}}}
    assert sweep.build(wider).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("axis", "held", "not_held"),
    [
        (Axis("a", low=2, high=8, integer=True, step=3), (2, 5, 8.0), (3, 11, -1, True, "x", None)),
        (Axis("a", low=1, high=9, integer=True, log=True), (1, 7), (0, 2.5)),
        (Axis("a", low=0.0, high=1.0, step=0.1), (0.3, 1.0), (0.35, 1.1)),
        (Axis("a", low=1e-4, high=1.0, log=True), (3e-3,), (0.0,)),
        (Axis("a", values=("x", True, 2)), ("x", True, 2), (1, "y", None)),
    ],
)
def test_what_an_axis_may_hold(
    axis: Axis, held: tuple[Any, ...], not_held: tuple[Any, ...]
) -> None:
    """What another study chose is adopted where this one could have chosen it."""
    assert [value for value in held if not axis.holds(value)] == []
    assert [value for value in not_held if axis.holds(value)] == []
