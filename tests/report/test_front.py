"""The front and its volume against brute force."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopwatch import at_most

from edgebench.record import Objective, Row, State
from edgebench.report.front import (
    best,
    covered,
    expected_gain,
    front,
    hypervolume,
    progress,
)

GOALS = (
    Objective("val/accuracy_best", "maximize"),
    Objective("footprint/rom_bytes", "minimize"),
    Objective("footprint/ram_bytes", "minimize"),
)
small = st.integers(0, 4)
vectors = st.lists(st.tuples(small, small, small), max_size=14)


def rows_of(points: list[tuple[int, ...]]) -> list[Row]:
    """Make one finished row a point, accuracy first."""
    names = [goal.name for goal in GOALS]
    return [
        Row(i, f"id{i}", f"trial-{i:04}", "finished", None, {}, dict(zip(names, p, strict=False)))
        for i, p in enumerate(points)
    ]


def dominates(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Tell by the textbook definition whether ``a`` dominates ``b``; accuracy is maximized."""
    no_worse = a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]
    return no_worse and a != b


@given(vectors)
def test_front_is_exactly_the_non_dominated(points: list[tuple[int, ...]]) -> None:
    """No listed member is dominated; every non-member is; equals share their fate."""
    members = {row.trial for row in front(rows_of(points), GOALS)}
    for i, point in enumerate(points):
        assert (i in members) == (not any(dominates(other, point) for other in points))


@pytest.mark.parametrize("state", ["refused", "failed", "pruned", "running", "duplicate"])
def test_only_finished_rows_are_on_the_front(state: str) -> None:
    """A row of any other state neither enters the front nor pushes another from it."""
    good, poor = rows_of([(4, 0, 0), (1, 3, 3)])
    other = Row(0, "", "", state, "why", {}, good.metrics)  # type: ignore[arg-type]  # parametrised
    assert front([other, poor], GOALS) == [poor]


def test_a_finished_row_that_does_not_fit_is_not_on_the_front() -> None:
    """A reason on a finished row says that it does not fit."""
    good, poor = rows_of([(4, 0, 0), (1, 3, 3)])
    misfit = Row(0, "", "", "finished", "ROM 2 B is over 1 B", {}, good.metrics)
    assert front([misfit, poor], GOALS) == [poor]


def test_rows_without_a_finite_objective_take_no_part() -> None:
    """A missing objective and a NaN are both left out."""
    full, lacking = rows_of([(1, 1, 1), (2, 0)])
    nan = Row(9, "", "", "finished", None, {}, {**full.metrics, GOALS[0].name: math.nan})
    assert front([full, lacking, nan], GOALS) == [full]


def test_best_is_the_first_objectives_best_and_then_the_next() -> None:
    """Equal accuracy is decided by the next objective."""
    rows = rows_of([(3, 4, 0), (3, 2, 4), (1, 0, 0)])
    chosen = best(rows, GOALS)
    assert chosen is not None
    assert chosen.trial == 1
    assert best([], GOALS) is None


@given(vectors)
def test_hypervolume_is_the_number_of_dominated_unit_cubes(points: list[tuple[int, ...]]) -> None:
    """Counting unit cubes of a small grid gives the same volume."""
    reference = (4, 4, 4)
    cubes = sum(
        any(all(x <= c for x, c in zip(p, cube, strict=True)) for p in points)
        for cube in itertools.product(range(4), repeat=3)
    )
    assert hypervolume(points, reference) == cubes


def test_hypervolume_of_one_axis_and_of_nothing() -> None:
    """One axis is a length; no point inside has none."""
    assert hypervolume([(2.0,), (0.5,)], (3.0,)) == 2.5
    assert hypervolume([(3.0, 0.0)], (3.0, 3.0)) == 0.0


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_hypervolume_is_that_of_inclusion_and_exclusion(axes: int) -> None:
    """Sum of boxes, less those of pairs, and so on: exact for few points, of any dimension."""
    draw = random.Random(axes)  # noqa: S311 - figures, not secrets
    points = [[draw.random() for _ in range(axes)] for _ in range(8)]
    edge = [1.1] * axes
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            corner = [max(values) for values in zip(*some, strict=True)]
            volume = math.prod(e - c for e, c in zip(edge, corner, strict=True))
            total += volume if size % 2 else -volume
    assert hypervolume(points, edge) == pytest.approx(total)


def test_a_large_study_of_four_objectives_takes_a_moment() -> None:
    """2,000 trials: the front, and how it grew."""
    goals = (*GOALS, Objective("footprint/macc", "minimize"))
    draw = random.Random(0)  # noqa: S311 - figures, not secrets
    rows = [
        Row(i, "", "", State.FINISHED, None, {}, {goal.name: draw.random() for goal in goals})
        for i in range(2000)
    ]
    with at_most(10):
        members = front(rows, goals)
        grown = progress(rows[:300], goals)
    assert len(members) > 100
    assert len(grown) == 300


@given(vectors)
def test_progress_never_falls_and_ends_at_the_whole_front(points: list[tuple[int, ...]]) -> None:
    """The last value is the volume of all points in the study's own box."""
    grown = progress(rows_of(points), GOALS)
    assert [trial for trial, _ in grown] == list(range(len(points)))
    values = [value for _, value in grown]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(values))
    assert all(0 <= value <= 1 for value in values)
    varying = [k for k in range(3) if len({p[k] for p in points}) > 1]
    if varying:
        unit = []
        for p in points:
            scaled = []
            for k in varying:
                column = [q[k] for q in points]
                part = (p[k] - min(column)) / (max(column) - min(column))
                scaled.append(1 - part if k == 0 else part)
            unit.append(scaled)
        assert values[-1] == pytest.approx(
            hypervolume(unit, [1.1] * len(varying)) / 1.1 ** len(varying)
        )


def test_what_the_front_covers_is_a_share_of_the_box_below_the_budget() -> None:
    """Two steps of a stair, by hand: accuracy up to 1, costs up to the limit."""
    goals = (
        Objective("val/accuracy_best", "maximize"),
        Objective("footprint/rom_bytes", "minimize"),
    )
    rows = [
        Row(
            n,
            "",
            "",
            State.FINISHED,
            None,
            {},
            dict(zip([g.name for g in goals], values, strict=True)),
        )
        for n, values in enumerate([(0.5, 20), (0.8, 60), (0.4, 50)])
    ]
    stair = 0.5 * 0.8 + 0.3 * 0.4
    assert covered(rows, goals, {"rom_bytes": 100}) == pytest.approx(stair)
    assert covered(rows, goals, {"rom_upper_bytes": 100}) == pytest.approx(stair)
    beyond = 0.5 * (1 - 20 / 66) + 0.3 * (1 - 60 / 66)
    assert covered(rows, goals, None) == pytest.approx(beyond)
    assert covered(rows[:1], goals, None, among=rows) == pytest.approx(0.5 * (1 - 20 / 66))
    assert covered(rows, goals[:1], None) == pytest.approx(0.8)
    assert covered([], goals, None) == 0.0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_further_trial_adds_what_the_last_one_did_in_the_mean_of_all_orders(axes: int) -> None:
    """By trying all orders of five trials; two are equal, one lies outside the limits."""
    goals = (
        Objective("val/accuracy_best", "maximize"),
        Objective("footprint/rom_bytes", "minimize"),
        Objective("footprint/ram_bytes", "minimize"),
    )[:axes]
    points = [(0.5, 20, 40), (0.8, 60, 30), (0.4, 50, 70), (0.8, 60, 30), (0.9, 120, 10)]
    rows = [
        Row(
            n, "", "", State.FINISHED, None, {}, {g.name: v for g, v in zip(goals, p, strict=False)}
        )
        for n, p in enumerate(points)
    ]
    limits = {"rom_bytes": 100, "ram_bytes": 100}
    added = [
        covered(order, goals, limits) - covered(order[:-1], goals, limits)
        for order in itertools.permutations(rows)
    ]
    mean = sum(added) / len(added)
    assert mean > 0
    one = expected_gain(rows, goals, limits, trained=5, more=1)
    assert one == pytest.approx(mean * 5 / 7)
    assert expected_gain(rows, goals, limits, trained=5, more=0) == 0.0
    assert expected_gain([], goals, limits, trained=0, more=9) == 0.0


@pytest.mark.parametrize(("trained", "more"), [(3, 1), (5, 5), (8, 40)])
def test_the_gain_of_evenly_distributed_draws_is_expected(trained: int, more: int) -> None:
    """The greatest of n numbers in 0..1 is n / (n + 1) on average: a known gain, and its mean."""
    draw = random.Random(0)  # noqa: S311 - figures, not secrets
    goals = (Objective("val/accuracy_best", "maximize"),)
    expected = []
    for _ in range(3_000):
        rows = [
            Row(n, "", "", State.FINISHED, None, {}, {goals[0].name: draw.random()})
            for n in range(trained)
        ]
        expected.append(expected_gain(rows, goals, None, trained=trained, more=more))
    known = (trained + more) / (trained + more + 1) - trained / (trained + 1)
    assert sum(expected) / len(expected) == pytest.approx(known, rel=0.1)
