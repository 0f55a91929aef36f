"""What a search has found, followed trial by trial, against the same from all rows at once."""

from __future__ import annotations

import random

import pytest
from small_study import build

from edgebench.record import Row, State
from edgebench.report import covered, expected_gain
from edgebench.search.found import Found

BUDGET = {"rom_bytes": 100}
GOALS = [
    {"name": "val/accuracy_best", "goal": "maximize"},
    {"name": "footprint/rom_bytes", "goal": "minimize"},
]


@pytest.mark.parametrize("budget", [BUDGET, None])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_followed_is_what_all_rows_give(seed: int, budget: dict[str, int] | None) -> None:
    """After each of 40 trials, some stopped, some failed, some beyond the budget."""
    draw = random.Random(seed)  # noqa: S311 - figures, not secrets
    sweep = build(metrics=GOALS, **({"budget": budget} if budget else {}))
    states = [State.FINISHED] * 4 + [State.PRUNED, State.FAILED]
    found, rows = Found(sweep, [], []), []
    for number in range(40):
        metrics = {"val/accuracy_best": draw.random(), "footprint/rom_bytes": draw.randint(1, 120)}
        rows.append(Row(number, "", "", draw.choice(states), None, {}, metrics))
        found.add(rows[-1], rows)
        trained = sum(row.state in (State.FINISHED, State.PRUNED) for row in rows)
        limits = sweep.budget.limits if sweep.budget else None
        assert found.covered == pytest.approx(covered(rows, sweep.objectives, limits))
        gain = expected_gain(rows, sweep.objectives, limits, trained=trained, more=7)
        assert found.gain(7) == (None if trained < 3 else pytest.approx(gain))
    again = Found(sweep, rows, rows)
    assert (again.covered, again.gain(7)) == pytest.approx((found.covered, found.gain(7)))
    assert again.gain(7)
