"""Memory planners: what they may never do, against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stopwatch import at_most

from edgebench.footprint.planning import (
    Buffer,
    Plan,
    Step,
    greedy_by_size,
    least_peak,
    overlapping,
    planners,
    unions,
)


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Buffer]:
    """Draw up to a dozen buffers over a few steps."""
    count = draw(st.integers(1, 12))
    buffers = []
    for index in range(count):
        first = draw(st.integers(-1, 6))
        last = draw(st.integers(first, 7))
        buffers.append(Buffer(f"b{index}", draw(st.integers(0, 100)), first, last))
    return buffers


def heaviest(buffers: Sequence[Buffer]) -> int:
    """Return the most bytes that live at one step: no plan without overlap needs less."""
    return max(sum(b.size for b in buffers if b.first <= s <= b.last) for s in range(-1, 8))


def collisions(plan: Plan) -> list[tuple[str, str]]:
    """Return the pairs that share memory although both live and no overlap allows it."""
    found = []
    for one, other in itertools.combinations(plan.buffers, 2):
        if not one.meets(other) or not one.size or not other.size:
            continue
        gap = plan.offsets[other.name] - plan.offsets[one.name]
        above = gap >= plan.overlaps.get((one.name, other.name), one.size)
        below = -gap >= plan.overlaps.get((other.name, one.name), other.size)
        if not above and not below:
            found.append((one.name, other.name))
    return found


@given(lifetimes())
@settings(deadline=None)
def test_no_plan_lets_live_buffers_collide(buffers: list[Buffer]) -> None:
    """Whatever the planner: apart while both live, inside the peak, not below the heaviest step."""
    for plan in (overlapping(buffers, {}), greedy_by_size(buffers), unions(buffers)):
        assert not collisions(plan)
        assert all(plan.offsets[b.name] >= 0 for b in plan.buffers)
        assert all(plan.offsets[b.name] + b.size <= plan.peak for b in plan.buffers)
        assert plan.peak >= heaviest(buffers)


@given(lifetimes(), st.data())
@settings(deadline=None, max_examples=50)
def test_an_overlap_is_used_only_where_it_is_allowed(
    buffers: list[Buffer], data: st.DataObject
) -> None:
    """An output may begin its distance below an input that ends where it begins, nothing else."""
    overlaps = {}
    for one, other in itertools.permutations(buffers, 2):
        if one.first == other.last and one.last > one.first and data.draw(st.booleans()):
            overlaps[one.name, other.name] = data.draw(st.integers(0, one.size))
    plan = overlapping(buffers, overlaps)
    assert not collisions(plan)
    assert plan.peak <= sum(-(-b.size // 4) * 4 for b in buffers)


@given(lifetimes())
@settings(deadline=None)
def test_a_plan_is_the_same_every_time(buffers: list[Buffer]) -> None:
    """The search is seeded: two runs give one plan."""
    assert overlapping(buffers, {}).offsets == overlapping(buffers, {}).offsets


@given(lifetimes(), st.data())
@settings(deadline=None)
def test_a_tree_over_the_steps_finds_the_same_places(
    buffers: list[Buffer], data: st.DataObject
) -> None:
    """Thousands that live at once are placed by another way to ask what is taken, not elsewhere."""
    pairs = [(a.name, b.name) for a, b in itertools.permutations(buffers, 2)]
    drawn = data.draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []
    overlaps = {pair: data.draw(st.integers(0, 120)) for pair in drawn}
    plans = []
    for most in (-1, len(buffers)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(planners, "MOST_MET", most)
            plans.append((overlapping(buffers, overlaps), greedy_by_size(buffers)))
    assert plans[0] == plans[1]


def test_greedy_by_size_aligns_to_sixteen() -> None:
    """TFLite Micro's head: two tensors of 20 B and 1 B that meet take 48 B."""
    plan = greedy_by_size([Buffer("a", 20, 0, 1), Buffer("b", 1, 1, 2)])
    assert plan.offsets == {"a": 0, "b": 32}
    assert plan.peak == 48


def test_unions_reuse_the_first_free_buffer_whatever_its_size() -> None:
    """onnx2c: the small union grows, although a larger one would have been free too."""
    plan = unions([Buffer("a", 10, 0, 1), Buffer("b", 90, 0, 1), Buffer("c", 80, 2, 3)])
    assert plan.peak == 80 + 90


def test_an_output_may_begin_inside_its_input() -> None:
    """A distance of 8 B: 100 B in and 60 B out need 108 B, not 160."""
    buffers = [Buffer("in", 100, 0, 1), Buffer("out", 60, 1, 2)]
    plan = overlapping(buffers, {("out", "in"): 8}, target=108)
    assert (plan.offsets, plan.peak) == ({"out": 0, "in": 8}, 108)


def test_what_a_plan_says_of_a_step() -> None:
    """Live buffers by offset, their top, and the bytes that are covered."""
    plan = Plan(
        [Buffer("a", 10, 0, 1), Buffer("b", 10, 1, 2)], {"a": 4, "b": 0}, 14, {("b", "a"): 4}
    )
    assert [b.name for b in plan.live(1)] == ["b", "a"]
    assert (plan.top(1), plan.occupied(1), plan.top(2), plan.occupied(2)) == (14, 14, 10, 10)
    assert plan.peak_step() == 0


# The least any schedule can use ---------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Step], dict[str, int], list[str]]:
    """Draw a small graph: each step reads some earlier tensors and writes one."""
    sizes = {"t0": draw(st.integers(1, 50))}
    steps = []
    for index in range(1, draw(st.integers(2, 7))):
        reads = draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=3, unique=True))
        steps.append(Step(tuple(reads), (f"t{index}",)))
        sizes[f"t{index}"] = draw(st.integers(1, 50))
    read = {name for step in steps for name in step.reads}
    return steps, sizes, [name for name in sizes if name not in read]


def brute_force(steps: Sequence[Step], sizes: dict[str, int], outputs: Sequence[str]) -> int:
    """Try every order; return the least of the highest sums of what exists between two steps."""
    best = None
    for order in itertools.permutations(range(len(steps))):
        made, peak, fits = {"t0"}, 0, True
        for position in range(len(order) + 1):
            left = {name for index in order[position:] for name in steps[index].reads}
            peak = max(peak, sum(sizes[n] for n in made if n in left or n in outputs))
            if position < len(order):
                step = steps[order[position]]
                fits = fits and made.issuperset(step.reads)
                made = made | set(step.writes)
        if fits:
            best = peak if best is None else min(best, peak)
    assert best is not None
    return best


@given(graphs())
@settings(deadline=None, max_examples=60)
def test_the_least_peak_is_what_brute_force_finds(
    graph: tuple[list[Step], dict[str, int], list[str]],
) -> None:
    """On small graphs the search is exact, over all orders."""
    steps, sizes, outputs = graph
    peak, exact = least_peak(steps, sizes, ["t0"], outputs)
    assert exact
    assert peak == brute_force(steps, sizes, outputs)


@given(graphs())
@settings(deadline=None, max_examples=60)
def test_the_fallback_is_a_lower_bound(
    graph: tuple[list[Step], dict[str, int], list[str]],
) -> None:
    """Where the search gives up, the answer is never above the optimum."""
    from edgebench.footprint.planning.least import _bound

    steps, sizes, outputs = graph
    assert _bound(steps, sizes, ["t0"], outputs) <= brute_force(steps, sizes, outputs)


def test_many_branches_end_in_a_bound_that_says_so() -> None:
    """Forty parallel branches have too many orders: a proven bound, quickly."""
    steps = [Step(("t0",), (f"a{i}",)) for i in range(40)]
    steps += [Step((f"a{i}",), (f"b{i}",)) for i in range(40)]
    steps.append(Step(tuple(f"b{i}" for i in range(40)), ("out",)))
    sizes = {name: 3 for step in steps for name in step.writes} | {"t0": 1}
    with at_most(10):
        peak, exact = least_peak(steps, sizes, ["t0"], ["out"])
    assert (peak, exact) == (120, False)


def test_thousands_of_branches_end_in_time() -> None:
    """2,000 chains of four steps: what may run next is much, so the search ends sooner."""
    steps = [Step(("t0",), (f"a{i}",)) for i in range(2_000)]
    for before, after in ("ab", "bc", "cd"):
        steps += [Step((f"{before}{i}",), (f"{after}{i}",)) for i in range(2_000)]
    steps.append(Step(tuple(f"d{i}" for i in range(2_000)), ("out",)))
    sizes = {name: 3 for step in steps for name in step.writes} | {"t0": 1}
    with at_most(3):
        assert least_peak(steps, sizes, ["t0"], ["out"]) == (6_000, False)


@pytest.mark.parametrize(("count", "seconds"), [(100, 1.0), (1000, 10.0)])
def test_planning_takes_seconds_at_most(count: int, seconds: float) -> None:
    """A residual network of many operators is planned in the time that is promised."""
    buffers = [
        Buffer(f"t{i}", 1000 + 37 * i % 911, i, i + 1 + 2 * (i % 3 == 0)) for i in range(count)
    ]
    overlaps = {(f"t{i + 1}", f"t{i}"): 40 for i in range(count - 1) if i % 3}
    with at_most(seconds):
        overlapping(buffers, overlaps)
