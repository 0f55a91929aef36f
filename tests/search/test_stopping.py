"""Early stopping by the front: what is stopped, what never is, and what is said of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from edgebench import space
from edgebench.record import Row, State
from edgebench.search import curves
from edgebench.search.curves import FEWEST, highest_end, likely_fall
from edgebench.search.stopping import EARLY_STOPPING, Stopping
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate

ACCURACY = {"name": "val/accuracy_best", "goal": "maximize"}
ROM = {"name": "footprint/rom_bytes", "goal": "minimize"}
CONTENT: dict[str, Any] = {
    "name": "try",
    "dataset": "synthetic",
    "run_cap": 9,
    "metrics": [ACCURACY, ROM],
    "parameters": {"model.family": "gap", "model.width": {"values": [4, 8]}, "train.epochs": 4},
}


def build(**changed: Any) -> Sweep:
    """Build the sweep of these tests with some keys changed."""
    return space.build({**CONTENT, **changed})


def finished(number: int, rom: int, *curve: float, **more: float) -> Row:
    """Return a trial that trained to its end."""
    metrics = {"val/accuracy_best": max(curve), "footprint/rom_bytes": rom, **more}
    return Row(
        number, "", "", State.FINISHED, None, {}, metrics, curves={"val/accuracy": list(curve)}
    )


KNOWN = [
    finished(1, 60_000, 0.50, 0.60, 0.75, 0.80),
    finished(2, 50_000, 0.60, 0.70, 0.80, 0.85),
    finished(3, 90_000, 0.70, 0.80, 0.85, 0.90),
    finished(4, 70_000, 0.20, 0.36, 0.60, 0.68),
    finished(5, 95_000, 0.30, 0.44, 0.60, 0.72),
    finished(6, 98_000, 0.40, 0.50, 0.70, 0.75),
]
"""From half-way each halved its error."""


def rule(rows: Sequence[Row], **changed: Any) -> Stopping:
    """Return the rule of a sweep, with what finished."""
    found = EARLY_STOPPING["front"](build(**changed), rows)
    assert found is not None
    return found


def judge(
    stopping: Stopping, rom: int, *curve: float, epochs: int = 4, **more: float
) -> str | None:
    """Return what the rule says of a candidate of a size after some epochs."""
    config = TrialConfig({"model.family": "gap", "train.epochs": epochs}, "synthetic")
    gate = Gate(None, {"footprint/rom_bytes": rom, **more})
    return stopping.judge(config, gate, [{"val/accuracy": accuracy} for accuracy in curve])


def test_what_would_be_dominated_at_best_is_stopped_and_why_is_said() -> None:
    """An error of 0.64 halved, twice as often while six are known: 0.64 / 2^2."""
    assert highest_end([0.2, 0.36], 4, KNOWN, "val/accuracy_best") == pytest.approx(0.84)
    assert judge(rule(KNOWN), 60_000, 0.2, 0.36) == (
        "at epoch 2 of 4 at most 84.00 % could come; trial 2 has 85.00 % with 10.00 kB less ROM"
    )


def test_what_is_smaller_than_all_that_is_better_goes_on() -> None:
    """However bad it is: nothing that is as small has more."""
    assert judge(rule(KNOWN), 49_999, 0.1, 0.1) is None


def test_what_may_still_end_above_goes_on() -> None:
    """At 0.50 after half of it more than 0.85 can come, which trial 2 has; at 0.30 it cannot."""
    assert judge(rule(KNOWN), 50_001, 0.2, 0.50) is None
    assert judge(rule(KNOWN), 50_001, 0.2, 0.30) is not None


def test_of_equal_candidates_neither_is_stopped_by_the_other() -> None:
    """Rows with equal objectives are both on the front; less accuracy at the same cost is not."""
    twin = finished(9, 50_000, 0.2, 0.36, 0.5, highest_end([0.36], 2, KNOWN, "val/accuracy_best"))
    assert judge(rule([*KNOWN[2:], KNOWN[0], twin]), 50_000, 0.2, 0.36) is None
    assert judge(rule(KNOWN), 50_000, 0.2, 0.36) == (
        "at epoch 2 of 4 at most 84.00 % could come; trial 2 has 85.00 % at the same cost"
    )


def test_little_is_known_of_the_first_curves() -> None:
    """Nothing is stopped before three finished; three still say less than six."""
    assert FEWEST == 3
    assert judge(rule(KNOWN[:2]), 99_000, 0.1, 0.1) is None
    assert judge(rule(KNOWN[:3]), 99_000, 0.1, 0.1) is not None


def test_more_curves_make_it_surer() -> None:
    """What may come falls towards what the greatest fall of the error would bring."""
    ends = [
        highest_end([0.2, 0.36], 4, KNOWN * times, "val/accuracy_best") for times in (1, 2, 10, 100)
    ]
    assert ends == sorted(ends, reverse=True)
    assert ends[-1] == pytest.approx(0.68, abs=0.01)


def test_the_newest_curves_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an epoch costs has a bound: older curves count no more, whatever they did."""
    monkeypatch.setattr(curves, "NEWEST", len(KNOWN))
    leap = [finished(9, 99_000, 0.9, 0.9, 0.9, 0.999)]
    asked = ([0.2, 0.36], 4)
    alone = highest_end(*asked, KNOWN, "val/accuracy_best")
    assert highest_end(*asked, leap + KNOWN, "val/accuracy_best") == alone
    assert highest_end(*asked, KNOWN + leap, "val/accuracy_best") > alone


def test_curves_that_stood_lower_say_nothing() -> None:
    """They had more left to learn: a slow starter's leap is no promise for one near its end."""
    slow = [finished(9, 99_000, 0.1, 0.2, 0.5, 0.9)]
    high = highest_end([0.2, 0.36], 4, KNOWN + slow, "val/accuracy_best")
    low = highest_end([0.1, 0.2], 4, KNOWN + slow, "val/accuracy_best")
    assert high == pytest.approx(0.84)
    assert low == pytest.approx(1 - 0.8 * (1 / 8) ** (1 + 6 / 7))


def test_the_three_that_stood_highest_always_count() -> None:
    """A candidate that stands above all is compared with them, and given a good deal more."""
    assert highest_end([0.2, 0.9], 4, KNOWN, "val/accuracy_best") == pytest.approx(
        1 - 0.1 * (1 / 2) ** (1 + 6 / 3)
    )


def test_trials_of_other_lengths_are_compared_by_the_share_that_is_trained() -> None:
    """Epoch 4 of 8 is half-way, as epoch 2 of 4 is."""
    assert highest_end([0.1, 0.2, 0.3, 0.36], 8, KNOWN, "val/accuracy_best") == pytest.approx(0.84)


def test_the_likely_fall_is_a_power_until_the_study_says_otherwise() -> None:
    """Half-way: a fifth of a halving is supposed, with the weight of three curves."""
    halving = math.log(1 / 2)
    mean, deviation = likely_fall(0.5, [], "val/accuracy_best")
    assert (mean, deviation) == pytest.approx((0.2 * halving, -0.1 * halving))
    mean, deviation = likely_fall(0.5, KNOWN, "val/accuracy_best")
    assert mean == pytest.approx((3 * 0.2 + 6) / 9 * halving)
    spread = 6 * (halving - mean) ** 2 + 3 * (0.1 * halving) ** 2
    assert deviation == pytest.approx((spread / 9) ** 0.5)


def test_the_last_epoch_is_never_stopped() -> None:
    """The training is paid by then, and what it brought is to be recorded."""
    assert judge(rule(KNOWN), 99_000, 0.1, 0.1, 0.1, 0.1) is None


def test_one_objective() -> None:
    """Then only the best counts, and costs are no excuse."""
    alone = rule(KNOWN, metrics=[ACCURACY])
    assert judge(alone, 1, 0.2, 0.36) == (
        "at epoch 2 of 4 at most 84.00 % could come; trial 3 has 90.00 %"
    )


def test_three_objectives() -> None:
    """A rival must be nowhere costlier."""
    ram = {"name": "footprint/ram_bytes", "goal": "minimize"}
    rows = [
        dataclasses.replace(row, metrics={**row.metrics, "footprint/ram_bytes": 4_000})
        for row in KNOWN
    ]
    stopping = rule(rows, metrics=[ACCURACY, ROM, ram])
    assert judge(stopping, 60_000, 0.2, 0.36, **{"footprint/ram_bytes": 3_999}) is None
    assert judge(stopping, 60_000, 0.2, 0.36, **{"footprint/ram_bytes": 4_500}) == (
        "at epoch 2 of 4 at most 84.00 % could come; trial 2 has 85.00 % with 10.00 kB less ROM, "
        "500 B less RAM"
    )


def test_the_int8_accuracy_is_bounded_by_the_curve_that_is_seen() -> None:
    """From the float32 model's curve to the int8 model's end, whose error is twice as large."""
    rows = [
        dataclasses.replace(
            row,
            metrics={**row.metrics, "val/accuracy_int8": 2 * row.metrics["val/accuracy_best"] - 1},
        )
        for row in KNOWN
    ]
    assert highest_end([0.2, 0.36], 4, rows, "val/accuracy_int8") == pytest.approx(0.36)


def test_what_does_not_fit_stops_nothing() -> None:
    """A finished row that carries a reason is no rival."""
    broken = [dataclasses.replace(row, reason="over the budget") for row in KNOWN]
    assert judge(rule(broken), 99_000, 0.1, 0.1) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "front"),
        ({"early_stop": "none"}, "none"),
        ({"metrics": [ROM]}, "none"),
        ({"method": "grid"}, "none"),
        ({"method": "grid", "early_stop": "front"}, "front"),
        ({"test": "all"}, "none"),
    ],
)
def test_a_search_for_accuracy_stops_unless_it_is_told_not_to(
    changed: dict[str, Any], expected: str
) -> None:
    """A grid, or a study that tests all of its trials, is a comparison: it trains to the end."""
    assert build(**changed).early_stop == expected


def test_without_an_accuracy_nothing_is_stopped() -> None:
    """There is no curve to follow."""
    assert EARLY_STOPPING["front"](build(metrics=[ROM]), KNOWN) is None


def test_a_training_time_that_is_sought_is_known_at_the_end_alone() -> None:
    """So nothing is stopped: it might be the fastest."""
    time = {"name": "time/train_s", "goal": "minimize"}
    rows = [dataclasses.replace(row, metrics={**row.metrics, "time/train_s": 1.0}) for row in KNOWN]
    assert judge(rule(rows, metrics=[ACCURACY, time]), 99_000, 0.1, 0.1) is None
