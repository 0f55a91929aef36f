"""Contracts that every registered schedule keeps, and each one's closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from edgebench.registry import bind
from edgebench.training import SCHEDULES, Recipe
from edgebench.training.under_way import optimization


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_share_of_the_highest_rate(name: str, steps: int) -> None:
    """Above 0 and at most 1 at every step of a training of any length."""
    shares = [SCHEDULES[name](step, steps) for step in range(steps)]
    assert all(0 < share <= 1 for share in shares)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("cosine", {}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("constant", {}, [1, 1, 1, 1]),
        ("step_decay", {}, [1, 1, 0.1, 0.01]),  # thirds: steps 0-1.33, -2.67, -4
        ("step_decay", {"drops": 1, "drop_factor": 0.5}, [1, 1, 0.5, 0.5]),
        ("step_decay", {"drops": 3, "drop_factor": 0.5}, [1, 0.5, 0.25, 0.125]),
        ("cyclical", {"cycles": 1, "lowest_share": 0.2}, [0.2, 0.6, 1.0, 0.6]),
        ("cyclical", {"cycles": 2, "lowest_share": 0.2}, [0.2, 1.0, 0.2, 1.0]),
        ("cyclical", {"half_cycle": 4, "lowest_share": 0.2}, [0.2, 0.4, 0.6, 0.8]),
        ("exponential", {"final_share": 1 / 16}, [1, 0.5, 0.25, 0.125]),
    ],
)
def test_closed_forms(name: str, options: dict[str, float], expected: list[float]) -> None:
    """Four steps, worked out by hand."""
    assert [SCHEDULES[name](step, 4, **options) for step in range(4)] == pytest.approx(expected)


def test_one_cycle_rises_for_a_fifth() -> None:
    """Of 100 steps, 20 rise linearly to the top and the others fall linearly to zero."""
    shares = [SCHEDULES["one_cycle"](step, 100) for step in range(100)]
    assert shares[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert shares[20:] == pytest.approx([(100 - step) / 80 for step in range(20, 100)])


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_optimizer_steps_by_the_schedule(name: str) -> None:
    """Each step's rate is the highest rate times the share; a step after the last is allowed."""
    recipe = Recipe(**bind(Recipe, {"learning_rate": 0.1, "schedule": name}))
    layer = nn.Linear(3, 1)
    optimizer, scheduler = optimization(layer, list(layer.parameters()), recipe, 5)
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.1 * SCHEDULES[name](step, 5) for step in range(5)])
    assert math.isfinite(float(torch.tensor(optimizer.param_groups[0]["lr"])))


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_highest_rate_is_reached(name: str) -> None:
    """Some step of a long training is taken with the highest rate."""
    assert max(SCHEDULES[name](step, 100) for step in range(100)) == pytest.approx(1)


def test_a_cycle_may_be_given_in_steps() -> None:
    """Half-cycles of 5 steps: up, down, up, whatever the training's length."""
    for steps in (15, 40):
        shares = [SCHEDULES["cyclical"](step, steps, half_cycle=5) for step in range(15)]
        rise = [1e-4 + (1 - 1e-4) * place / 5 for place in range(5)]
        assert shares == pytest.approx([*rise, 1.0, *rise[:0:-1], *rise])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_rises_linearly_under_any_schedule(name: str) -> None:
    """The first fifth of 10 steps: half of the schedule's rate, then all of it."""
    recipe = Recipe(**bind(Recipe, {"learning_rate": 0.1, "schedule": name, "warmup": 0.2}))
    layer = nn.Linear(3, 1)
    optimizer, scheduler = optimization(layer, list(layer.parameters()), recipe, 10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    shares = [0.5, *[1.0] * 9]
    expected = [0.1 * one * SCHEDULES[name](step, 10) for step, one in enumerate(shares)]
    assert rates == pytest.approx(expected)
