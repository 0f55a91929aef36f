"""``method: edgebench``: the expected gain is exact, and what is proposed fits the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgebench import space
from edgebench.errors import EdgebenchError
from edgebench.record import Row, State
from edgebench.report import hypervolume
from edgebench.search.expected_gain import expected_gain
from edgebench.search.promise import FIRST, MEASURED, Promise
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate

CONTENT: dict[str, Any] = {
    "name": "try",
    "dataset": "synthetic",
    "method": "edgebench",
    "run_cap": 30,
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": "gap",
        "model.width": {"min": 1, "max": 40},
        "train.learning_rate": {"values": [1e-4, 1e-3, 1e-2]},
    },
}


def build(**changed: Any) -> Sweep:
    """Build the sweep of these tests with some keys changed."""
    return space.build({**CONTENT, **changed})


def measure(config: TrialConfig) -> Gate:
    """Measure a network: its size is its width, and 30 is the limit."""
    width = int(config.params["model.width"])
    metrics = {"footprint/rom_bytes": width, "footprint/macs": width**2}
    return Gate("too wide" if width > 30 else None, metrics)


def trained(number: int, config: TrialConfig) -> Row:
    """Train a candidate in no time: wider is better, and so is a rate of 1e-3."""
    width, rate = int(config.params["model.width"]), float(config.params["train.learning_rate"])
    accuracy = 0.9 - 0.5 / width - (0.0 if rate == 1e-3 else 0.1)
    metrics = {**measure(config).metrics, "val/accuracy_best": accuracy, "time/train_s": width}
    return Row(number, "", "", State.FINISHED, None, config.params, metrics)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["val/accuracy_best", "footprint/rom_bytes"], "edgebench"),
        (["val/accuracy_int8"], "edgebench"),
        (["footprint/rom_bytes"], "tpe"),
        (["val/accuracy_best", "time/train_s"], "tpe"),
    ],
)
def test_it_is_the_default_wherever_it_can_be(names: list[str], expected: str) -> None:
    """What it cannot seek is left to Optuna."""
    goals = [{"name": name, "goal": "minimize"} for name in names]
    assert (
        space.build({k: v for k, v in CONTENT.items() if k != "method"} | {"metrics": goals}).method
        == expected
    )


@pytest.mark.parametrize("dimensions", [0, 1, 2])
def test_the_expected_gain_is_that_of_many_draws(dimensions: int) -> None:
    """The closed form against 40,000 draws of the hypervolume itself."""
    chance = np.random.default_rng(1)
    accuracies = np.array([0.6, 0.7, 0.8])
    costs = np.array([[0.1, 0.8], [0.5, 0.3], [0.7, 0.7]])[:, :dimensions]
    asked = np.array([[0.3, 0.2], [0.6, 0.6]])[:, :dimensions]
    mean, deviation = np.log([0.35, 0.25]), np.array([0.2, 0.4])
    found = expected_gain(accuracies, costs, mean=mean, deviation=deviation, asked=asked, floor=0.5)
    edge = [0.5, *[1.0] * dimensions]
    before = [[1 - a, *cost] for a, cost in zip(accuracies, costs, strict=True)]
    for index, point in enumerate(asked):
        errors = np.exp(chance.normal(mean[index], deviation[index], 1500))
        gains = [hypervolume([*before, [error, *point]], edge) for error in errors]
        drawn = np.mean(gains) - hypervolume(before, edge)
        assert found[index] == pytest.approx(drawn, abs=4 * np.std(gains) / 1500**0.5)


def test_what_is_proposed_fits_and_soon_is_good() -> None:
    """No candidate over the budget; after a few, hardly any with a bad rate."""
    sweep, rows = build(), list[Row]()
    promise = Promise(sweep, measure, rows, 0.25)
    left = {config.key: config for config in sweep.configurations() or []}
    for number in range(18):
        chosen = promise.choose(list(left.values()))
        assert isinstance(chosen, TrialConfig)
        assert measure(chosen).refusal is None
        rows.append(trained(number, left.pop(chosen.key)))
    first = {row.params["model.width"] for row in rows[:FIRST]}
    assert max(first) - min(first) > 20  # they differ
    rates = [row.params["train.learning_rate"] for row in rows[12:]]
    assert rates.count(1e-3) >= 4


def test_some_networks_are_measured_for_a_choice_and_none_twice() -> None:
    """A wide space costs no more than that; what is known stays on offer."""
    sweep = build(parameters={**CONTENT["parameters"], "model.width": {"min": 1, "max": 500}})
    asked: list[int] = []

    def counted(config: TrialConfig) -> Gate:
        asked.append(int(config.params["model.width"]))
        return measure(config)

    promise = Promise(sweep, counted, [], 0.25)
    promise.choose(sweep.configurations() or [])
    assert len(asked) == MEASURED
    promise.choose(sweep.configurations() or [])
    assert len(asked) == len(set(asked)) == 2 * MEASURED


def test_where_nothing_fits_the_record_shall_say_why() -> None:
    """One that does not fit is proposed, and refused by the gate."""
    sweep = build()
    wide = [one for one in sweep.configurations() or [] if int(one.params["model.width"]) > 30]
    assert Promise(sweep, measure, [], 0.25).choose(wide) in wide


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["footprint/rom_bytes"], "there is no accuracy"),
        (["val/accuracy_best", "time/train_s"], "'time/train_s' is another figure of training"),
        (
            ["val/accuracy_best", "val/accuracy_int8"],
            "'val/accuracy_int8' is another figure of training",
        ),
    ],
)
def test_it_seeks_one_accuracy_and_footprints(names: list[str], why: str) -> None:
    """What else is sought is not known before training."""
    metrics = [{"name": name, "goal": "maximize"} for name in names]
    with pytest.raises(EdgebenchError) as refused:
        build(metrics=metrics)
    assert str(refused.value) == (
        f"method: 'edgebench' seeks one accuracy and any footprints, but {why}; use 'tpe'"
    )
