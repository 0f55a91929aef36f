"""Sweep files: what is accepted, and every mistake named at once, literally."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import hostile_sweeps
import pytest

from edgebench import yaml12
from edgebench.errors import EdgebenchError
from edgebench.space import Axis, Sweep
from edgebench.space import file as sweep

GOLDEN = Path(__file__).parents[1] / "golden" / "sweeps"
SHIPPED = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
BASE: dict[str, Any] = {
    "name": "try",
    "run_cap": 4,
    "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
    "parameters": {"model.family": "gap"},
}


def build(**changed: Any) -> Sweep:
    """Build the smallest sweep with some parts changed."""
    return sweep.build({**BASE, **changed})


def mistakes(**changed: Any) -> list[str]:
    """Return what is said of a sweep with some parts changed."""
    with pytest.raises(EdgebenchError) as caught:
        build(**changed)
    return list(caught.value.mistakes)


def axis(form: Any, name: str = "train.learning_rate") -> Axis:
    """Return one axis as read."""
    built = build(parameters={"model.family": "gap", name: form})
    return next(found for found in built.axes if found.name == name)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_are_valid_and_say_what_they_cost(path: Path) -> None:
    """Each opens with its purpose, cost and expected result, and runs from README's folder."""
    text = path.read_text()
    assert all(f"# {word}:" in text for word in ("Purpose", "Cost", "Expected", "Run"))
    assert sweep.load(path).name == path.stem


def test_table1_is_exactly_the_references_two_networks() -> None:
    """Both families at their defaults, the recipe at its defaults, nothing else."""
    configurations = sweep.load(SHIPPED[0].parent / "table1.yaml").configurations()
    assert configurations is not None
    assert [(c.family, c.model_options, c.recipe.epochs) for c in configurations] == [
        ("vgg", {}, 15),
        ("gap", {}, 15),
    ]


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("*.yaml")) or ["no golden files"], ids=lambda path: Path(path).stem
)
def test_every_mistake_of_a_file_is_named_at_once(path: Path) -> None:
    """The messages are those in the .txt file beside it."""
    with pytest.raises(EdgebenchError) as caught:
        sweep.load(path)
    expected = path.with_suffix(".txt").read_text().splitlines()
    assert list(caught.value.mistakes) == expected


def test_wandb_rules_decide_the_distribution() -> None:
    """Integer bounds make an integer axis, others a uniform one; a name may say otherwise."""
    assert axis({"min": 1, "max": 20}, "train.epochs").choices() == tuple(range(1, 21))
    assert axis({"min": 8, "max": 32, "q": 8}, "model.width").choices() == (8, 16, 24, 32)
    assert axis({"min": 0.1, "max": 1.0}).choices() is None
    logarithmic = axis({"min": 1e-4, "max": 1e-2, "distribution": "log_uniform_values"})
    assert (logarithmic.log, logarithmic.integer) == (True, False)
    assert axis({"min": 0.1, "max": 0.3, "q": 0.1}).choices() == pytest.approx((0.1, 0.2, 0.3))
    assert axis({"min": 1, "max": 2, "distribution": "uniform"}).integer is False


def test_a_scalar_is_a_constant() -> None:
    """``train.epochs: 15`` is one value."""
    assert axis(15, "train.epochs").choices() == (15,)


def test_a_budget_names_what_runs_the_model() -> None:
    """A convention, by which candidates are measured; studies without one are what they were."""
    plain, other = build(budget={"rom_bytes": 1000}), build(budget={"runtime": "edgebench"})
    assert (plain.convention, other.convention) == ("st", "edgebench")
    assert build().convention == "st"
    assert plain.fingerprint["budget"] == {"limits": {"rom_bytes": 1000}, "target": None}
    assert other.fingerprint["budget"] == {"limits": {}, "target": None, "runtime": "edgebench"}
    assert mistakes(budget={"runtime": "edgebnch"}) == [
        "budget.runtime: unknown convention 'edgebnch'; did you mean 'edgebench'?"
    ]
    board = {"target": "stm32f746g-disco", "dtype": "int8", "runtime": "edgebench"}
    assert mistakes(budget={**board, "latency_ms": 50}) == [
        (
            "budget.latency_ms_int8: no estimate: the convention 'edgebench' describes no tool "
            "whose speed was measured on whole networks"
        )
    ]


def test_a_budget_comes_from_the_board_or_from_limits() -> None:
    """A target's flash and RAM less the reserves bound the upper figures; other limits join.

    Only under the same name does a limit replace the board's: one on an estimate cannot undo the
    promise that what is trained fits.
    """
    by_board = build(budget={"target": "stm32f746g-disco"}).budget
    assert by_board is not None
    assert by_board.target == "stm32f746g-disco"
    assert by_board.limits == {
        "rom_upper_bytes": 1048576 - 16384, "ram_upper_bytes": 327680 - 8192
    }  # fmt: skip
    both = build(budget={"target": "stm32f746g-disco", "ram_bytes": 5000, "macc": 7}).budget
    assert both is not None
    assert both.limits == {**by_board.limits, "ram_bytes": 5000, "macc": 7}
    other = build(budget={"target": "stm32f746g-disco", "ram_upper_bytes": 5000}).budget
    assert other is not None
    assert other.limits == {**by_board.limits, "ram_upper_bytes": 5000}
    int8 = build(budget={"target": "stm32f746g-disco", "dtype": "int8"})
    assert int8.budget is not None
    assert set(int8.budget.limits) == {"rom_upper_bytes_int8", "ram_upper_bytes_int8"}
    assert int8.int8


def test_a_time_is_of_the_board_and_of_the_model_that_ships() -> None:
    """Sought or limited, it needs a target; ``dtype`` says of which model it is."""
    board = {"target": "stm32f746g-disco", "dtype": "int8"}
    made = build(budget={**board, "latency_ms": 50.5})
    assert made.budget is not None
    assert made.budget.limits["latency_ms_int8"] == 50.5
    assert made.budget.board is not None
    assert made.budget.board.name == "stm32f746g-disco"
    sought = [{"name": "footprint/latency_ms_int8", "goal": "minimize"}]
    assert build(budget=board, metrics=sought).objectives[0].name == sought[0]["name"]
    assert mistakes(budget={"rom_bytes": 5}, metrics=sought) == [
        "metrics[0].name: 'latency_ms_int8' is of a board; write budget: {target: BOARD}"
    ]
    assert mistakes(budget={**board, "latency_ms": -1}) == [
        "budget.latency_ms: -1 should be greater than 0"
    ]


def test_a_time_that_no_candidate_has_is_refused_before_the_search() -> None:
    """Float networks and cores that nobody measured have no estimate, whatever is drawn."""
    assert mistakes(budget={"target": "stm32f746g-disco", "latency_ms": 50}) == [
        (
            "budget.latency_ms: no estimate: too few float networks were measured; the int8 model "
            "has an estimate; the nearest valid value is 'latency_ms_int8'"
        )
    ]
    sought = [{"name": "footprint/latency_ms_int8", "goal": "minimize"}]
    assert mistakes(budget={"target": "raspberry-pi-pico"}, metrics=sought) == [
        (
            "metrics[0].name: no estimate: no network has been measured on 2x Cortex-M0+ (no FPU) "
            "with a tool that 'st' describes (measured cores: Cortex-M33, Cortex-M4, Cortex-M7)"
        )
    ]


def test_int8_follows_from_what_is_asked() -> None:
    """An int8 figure among objectives or limits turns the int8 export on."""
    assert not build().int8
    assert build(budget={"rom_bytes_int8": 1000}).int8
    assert build(export={"int8": True}).int8
    assert mistakes(budget={"rom_bytes_int8": 1000}, export={"int8": False}) == [
        "export.int8: is false, but 'rom_bytes_int8' needs the int8 model"
    ]


def test_the_test_split_is_sealed() -> None:
    """No search may optimise what it must not read."""
    assert mistakes(metrics=[{"name": "test/accuracy", "goal": "maximize"}]) == [
        (
            "metrics[0].name: 'test/accuracy' is sealed: a search never reads the test split; the "
            "nearest valid value is 'val/accuracy_best'"
        )
    ]


def test_an_option_that_one_family_lacks_needs_a_condition() -> None:
    """The message shows the line to add; with it the file is valid."""
    parameters: dict[str, Any] = {
        "model.family": {"values": ["vgg", "gap"]},
        "model.hidden": {"values": [16, 32]},
    }
    assert mistakes(parameters=parameters) == [
        "parameters.model.hidden: gap has no option 'hidden'; add when: {model.family: vgg}"
    ]
    parameters["model.hidden"]["when"] = {"model.family": "vgg"}
    configurations = build(parameters=parameters).configurations()
    assert configurations is not None
    assert [dict(c.params) for c in configurations] == [
        {"model.family": "vgg", "model.hidden": 16},
        {"model.family": "vgg", "model.hidden": 32},
        {"model.family": "gap"},
    ]


def test_conditions_that_depend_on_each_other_are_refused() -> None:
    """There is no order in which they could be drawn."""
    parameters = {
        "model.family": "gap",
        "model.width": {"values": [8, 16], "when": {"model.blocks": 2}},
        "model.blocks": {"values": [2, 3], "when": {"model.width": 8}},
    }
    assert mistakes(parameters=parameters) == [
        "parameters: model.width, model.blocks depend on each other by 'when'"
    ]


def test_an_endless_space_needs_a_cap_and_is_no_grid() -> None:
    """A continuous axis cannot be enumerated."""
    parameters = {"model.family": "gap", "train.learning_rate": {"min": 0.001, "max": 0.01}}
    assert mistakes(parameters=parameters, run_cap=None) == [
        "run_cap: is missing; with method 'edgebench' say how many runs"
    ]
    assert mistakes(parameters=parameters, method="grid") == [
        "method: a grid tries every configuration, but train.learning_rate is continuous; use 'tpe'"
    ]


def test_overrides_are_validated_like_the_file(tmp_path: Path) -> None:
    """``--set`` reaches parameters by name and anything else by key; its mistakes have paths."""
    path = tmp_path / "s.yaml"
    path.write_text((SHIPPED[0].parent / "quickstart.yaml").read_text())
    changed = {"model.width": 8, "train.epochs": [1, 2], "run_cap": 3, "budget.rom_bytes": 9}
    with pytest.raises(EdgebenchError) as caught:
        sweep.load(path, changed)
    assert (
        str(caught.value)
        == "parameters.train.epochs: [1, 2] should be a number, a text, true or false"
    )
    loaded = sweep.load(path, changed | {"train.epochs": {"values": [1, 2]}})
    assert loaded.run_cap == 3
    assert loaded.budget is not None
    assert loaded.budget.limits["rom_bytes"] == 9


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    """A list, or nothing at all."""
    path = tmp_path / "s.yaml"
    path.write_text("- 1\n")
    with pytest.raises(EdgebenchError, match="a sweep is a mapping"):
        sweep.load(path)


def test_the_golden_mistakes_cover_three_kinds() -> None:
    """The golden folder is read, and at least one of its files has many mistakes."""
    assert yaml12.read(GOLDEN / "many.yaml")
    assert len((GOLDEN / "many.txt").read_text().splitlines()) > 10


# From anybody ------------------------------------------------------------------------------------


def test_seeded_files() -> None:
    """A sweep or a few mistakes of one line each; the long run is in `benchmarks/attacks/`."""
    outcomes: Counter[str] = Counter()
    for seed in range(50):
        try:
            content = yaml12.parse(hostile_sweeps.hostile(seed).decode(), "sweep")
        except (EdgebenchError, UnicodeDecodeError):
            outcomes["no yaml"] += 1
            continue
        try:
            sweep.build(content if isinstance(content, dict) else {})
            outcomes["read"] += 1
        except EdgebenchError as error:
            outcomes["refused"] += 1
            found = error.mistakes
        else:
            found = ()
        assert sum(map(len, found)) < 10_000, seed
        assert all(len(one.splitlines()) == 1 for one in found), seed
    assert sorted(outcomes) == ["no yaml", "read", "refused"]
    assert min(outcomes.values()) > 2


WIDTH, MOST = "parameters.model.width", 2**62
ENDLESS: list[tuple[dict[str, Any], str]] = [
    ({"name": "x" * 101}, f"name: '{'x' * 59}… has 101 letters; 100 are the most"),
    (
        {"seed": 2**64},
        f"seed: {2**64} should be less than or equal to {MOST}; the nearest valid value is {MOST}",
    ),
    (
        {"budget": {"dtype": {"a": 1}}},
        "budget.dtype: unknown dtype '{'a': 1}'; known: float32, int8",
    ),
    ({"model.width": {"min": 1, "max": 2**63}}, f"{WIDTH}: min, max and q should be below 2^63"),
    ({"model.width": 2**63}, f"{WIDTH}: 9223372036854775808 has more than 64 bits"),
    (
        {"model.width": {"value": 1, "when": {"model.family": [{}]}}},
        f"{WIDTH}.when.model.family: should be a number, a text, true or false, or a list of them",
    ),
]


@pytest.mark.parametrize(("changed", "message"), ENDLESS)
def test_numbers_and_names_without_end(changed: dict[str, Any], message: str) -> None:
    """Each is refused by one line."""
    axes = {name: form for name, form in changed.items() if "." in name}
    rest = {name: value for name, value in changed.items() if "." not in name}
    assert mistakes(parameters={"model.family": "gap", **axes}, **rest) == [message]


def test_a_step_that_is_none_or_tiny_builds_nothing() -> None:
    """A range of 10^9 values is as good as continuous."""
    assert axis({"min": 0.1, "max": 1.0, "q": None}).choices() is None
    assert axis({"min": 0.1, "max": 1.0, "q": 1e-9}).choices() is None
    assert axis({"min": 1, "max": 10**9}, "model.width").choices() is None


def test_many_mistakes_of_a_kind_are_counted() -> None:
    """The first ten are named: 3,000 unknown axes are answered at once, in few lines."""
    axes = {f"model.x{number}": 1 for number in range(3_000)}
    found = mistakes(parameters={"model.family": "gap", **axes}, budget=axes, **axes)
    assert len(found) == 33
    assert found[10] == "and 2,990 more unknown keys"
    assert found[21] == "budget: and 2,990 more unknown keys"
    assert found[32] == "parameters: and 2,990 more unknown axes"


@pytest.mark.parametrize(
    ("said", "gain"),
    [("0.5 %", 0.005), ("2%", 0.02), (0.01, 0.01)],
)
def test_when_a_search_has_found_enough(said: Any, gain: float) -> None:
    """A percentage or a share, and over how many trials; another value changes no study."""
    found = build(stop_when={"hypervolume_gain": said, "trials": 10})
    assert found.stop_when is not None
    assert (found.stop_when.hypervolume_gain, found.stop_when.trials) == (gain, 10)
    assert found.fingerprint == build().fingerprint


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("soon", "stop_when: 'soon' should be as in {hypervolume_gain: 0.5 %, trials: 10}"),
        (
            {"trials": 3},
            "stop_when: {'trials': 3} should be as in {hypervolume_gain: 0.5 %, trials: 10}",
        ),
        (
            {"hypervolume_gain": "much", "trials": 0},
            "stop_when.hypervolume_gain: 'much' should be a valid number",
        ),
        (
            {"hypervolume_gain": "200 %", "trials": 1},
            "stop_when.hypervolume_gain: 2.0 should be less than 1",
        ),
        ({"hypervolume_gain": "0.1 %", "trials": 1, "runs": 2}, "stop_when.runs: "),
    ],
)
def test_a_mistake_in_when_it_is_enough(said: Any, complaint: str) -> None:
    """Each with its path, and how it is written."""
    assert mistakes(stop_when=said)[0].startswith(complaint)


def test_a_distribution_of_null_is_one_that_is_not_stated() -> None:
    """As every optional key of an axis: a range of whole numbers makes a whole number."""
    axis = {"min": 1, "max": 8, "distribution": None}
    content = {
        "name": "s",
        "run_cap": 1,
        "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
        "parameters": {"model.family": "gap", "model.width": axis},
    }
    [width] = [axis for axis in sweep.build(content).axes if axis.name == "model.width"]
    assert (width.low, width.high, width.log) == (1, 8, False)
