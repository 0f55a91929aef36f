"""``edgebench options``: every axis that a sweep may have, read from the signatures."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Lt
from click.testing import CliRunner, Result

from edgebench.cli._listing import about, about_option, default_of, type_of, values_of
from edgebench.cli.options import command
from edgebench.errors import EdgebenchError
from edgebench.models import MODELS
from edgebench.registry import Registry, active_options, options
from edgebench.report import FIGURE_KINDS
from edgebench.search import EARLY_STOPPING
from edgebench.space import SECTIONS, build
from edgebench.space.schema import axis_names
from edgebench.training import OPTIMIZERS
from edgebench.yaml12 import parse


def run(*words: str) -> Result:
    """Run the command in this process; a user's mistake comes out as the exception."""
    return CliRunner().invoke(command, words, catch_exceptions=False)


def axes(*words: str) -> list[dict[str, Any]]:
    """Return the axes that the command lists."""
    found: list[dict[str, Any]] = json.loads(run(*words, "--format", "json").stdout)
    return found


def test_every_axis_is_listed_by_its_section() -> None:
    """What the sweep validator knows, no more and no less; a section alone where it is named."""
    listed = [row["axis"] for row in axes()]
    assert set(listed) == set(axis_names())
    for section in SECTIONS:
        alone = [row["axis"] for row in axes(section)]
        assert alone == [name for name in listed if name.startswith(f"{section}.")]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizers_options_are_listed_as_its_own(name: str) -> None:
    """Type, bounds and default are those of its signature, and the row says whose they are."""
    for option in options(OPTIMIZERS[name]).values():
        rows = [row for row in axes("train") if row["axis"] == f"train.{option.name}"]
        [mine] = [row for row in rows if name in row["of"].get("train.optimizer", ())]
        assert mine["default"] == option.default
        assert mine["bounds"] == option.bounds
        assert mine["type"] == type_of(option)


def test_an_option_of_many_is_one_row_and_of_two_minds_two() -> None:
    """Momentum begins at 0.9 with one optimizer and at 0 with another: a row each."""
    rows = [row for row in axes("train") if row["axis"] == "train.momentum"]
    owners = {row["default"]: row["of"]["train.optimizer"] for row in rows}
    expected: dict[float, list[str]] = {}
    for name, factory in OPTIMIZERS.items():
        if "momentum" in options(factory):
            expected.setdefault(options(factory)["momentum"].default, []).append(name)
    assert owners == expected
    assert len(owners) > 1


def test_a_new_optimizer_is_listed_without_another_line() -> None:
    """Registered here, in the list at once, with what its docstring says."""

    def lion(*, beta: Annotated[float, Ge(0.0), Lt(1.0)] = 0.95, sign: bool = True) -> None:
        """Lion (Chen et al., 2023). ``beta`` is the share of the mean that is kept; and more."""

    from edgebench.space.schema import places

    OPTIMIZERS.add("lion", lion)
    places.cache_clear()
    try:
        [row] = [row for row in axes("train") if row["axis"] == "train.beta"]
    finally:
        OPTIMIZERS.remove("lion")
        places.cache_clear()
    assert row == {
        "axis": "train.beta", "type": "float", "choices": [], "bounds": ">= 0.0, < 1.0",
        "default": 0.95, "of": {"train.optimizer": ["lion"]},
        "about": "beta is the share of the mean that is kept",
    }  # fmt: skip


def test_a_choice_lists_its_members_and_a_must_says_so() -> None:
    """The families; model.family has no default, in JSON null."""
    row = axes("model")[0]
    assert (row["axis"], row["type"], row["default"]) == ("model.family", "choice", "must be given")
    assert row["choices"] == list(MODELS)
    text = run("model").stdout.splitlines()[2]
    assert text.split()[:2] == ["model.family", "choice"]
    assert "must be given" in text
    assert text.endswith("the model family")


@pytest.mark.parametrize("family", MODELS)
def test_whatever_a_family_has_by_default_is_listed(family: str) -> None:
    """To any depth: the options of its default norm, activation and the like too."""
    listed = {row["axis"] for row in axes("model")}
    assert {f"model.{name}" for name in active_options(MODELS[family], {})} <= listed


def test_csv_and_markdown_have_the_same_rows() -> None:
    """One line an axis; choices and owners as text."""
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv").stdout)))
    assert [row["axis"] for row in rows] == [row["axis"] for row in axes()]
    assert "train.optimizer: " in {row["axis"]: row for row in rows}["train.momentum"]["of"]
    markdown = run("--format", "markdown").stdout.splitlines()
    assert markdown[0] == "| axis | type | values | default | of | about |"
    assert len(markdown) == len(rows) + 2


def test_an_unknown_section_names_the_nearest() -> None:
    """Exit 2, one line."""
    with pytest.raises(EdgebenchError, match=r"^unknown section 'trian'; did you mean 'train'\?$"):
        run("trian")


COLOURS: Registry[Callable[..., None]] = Registry("colour")


def painted(
    *,
    count: Annotated[int, Ge(1)] = 3,
    share: float | None = None,
    hue: Literal["red", "blue"] = "red",
    dark: bool = False,
    title: str = "x",
) -> None:
    """Paint.

    ``hue`` is its colour; ``count`` says how often. Another sentence.
    """


@pytest.mark.parametrize(
    ("name", "type_", "values", "default", "said"),
    [
        ("count", "int", ">= 1", 3, "count says how often"),
        ("share", "float or none", "", None, ""),
        ("hue", "choice", "red, blue", "red", "hue is its colour"),
        ("dark", "bool", "", False, ""),
        ("title", "text", "", "x", ""),
    ],
)
def test_an_option_as_cells(name: str, type_: str, values: str, default: object, said: str) -> None:
    """Its type and bounds in words, and the part of the docstring that is about it."""
    option = options(painted)[name]
    assert (type_of(option), values_of(option), default_of(option)) == (type_, values, default)
    assert about_option(painted, name) == said
    assert about(painted) == "Paint."


def test_an_attribute_list_is_read_before_the_prose() -> None:
    """A dataclass documents its options in a list, over several lines; a base class counts too."""

    class Base:
        """A base.

        Attributes:
            first: Says this over
                two lines. And more.
            second: One of `COLOURS`; any.
        """

    class Derived(Base):
        """``first`` is only named here."""

    assert about_option(Derived, "first") == "Says this over two lines"
    assert about_option(Derived, "second") == "One of COLOURS; any"


def test_lists_of_families_and_data_sets_share_the_cells() -> None:
    """``models`` writes an option as ``options`` does."""
    from edgebench.cli.models import command as models

    shown = json.loads(CliRunner().invoke(models, ["--format", "json"]).stdout)
    for row in shown:
        option = options(MODELS[row["family"]])[row["option"].removeprefix("model.")]
        assert row["type"] == type_of(option)
        assert row["values"] == values_of(option)
        assert not re.search("`", row["about"])


def test_what_a_kind_of_figure_may_be_told_is_listed_where_it_is_asked_for() -> None:
    """Every option of every kind, with what it names and what the docstring says of it."""
    rows = axes("figures")
    listed = {(row["axis"], *row["of"]["figures.kind"]) for row in rows}
    own = {
        (f"figures.{name}", kind) for kind in FIGURE_KINDS for name in options(FIGURE_KINDS[kind])
    }
    every = {(f"figures.{name}", *FIGURE_KINDS) for name in ("name", "kind", "title", "where")}
    assert listed == own | every
    [x] = [row for row in rows if row["axis"] == "figures.x" and "line" in str(row["of"])]
    assert (x["type"], x["default"]) == ("axis of the sweep", "must be given")
    for row in rows:
        assert row["about"] or row["axis"] in {"figures.log", "figures.epoch", "figures.by"}, row


def test_the_keys_of_a_sweep_file_are_all_listed_and_explained() -> None:
    """Those that the validator names when it meets another, no more and no less."""
    rows = axes("file")
    with pytest.raises(EdgebenchError) as refused:
        build({"name": "s", "metrics": [], "parameters": {}, "qqqqqq": 1})
    [unknown] = [line for line in refused.value.mistakes if line.startswith("qqqqqq")]
    known = unknown.partition("known: ")[2].split(", ")
    assert sorted(row["axis"] for row in rows) == sorted(known)
    assert all(row["about"] for row in rows)
    assert {row["axis"]: row["choices"] for row in rows}["early_stop"] == list(EARLY_STOPPING)


def test_the_metrics_that_are_listed_may_be_sought() -> None:
    """Each, in the direction that is listed for it; where a time needs a board, with one."""
    for row in axes("metrics"):
        content = {
            "name": "s",
            "run_cap": 1,
            "metrics": [{"name": row["axis"], "goal": row["default"]}],
            "budget": {"target": "stm32f746g-disco"},
            "parameters": {"model.family": "gap"},
        }
        if row["axis"] in ("footprint/latency_ms", "footprint/latency_upper_ms"):
            continue  # no float network has an estimate of its time
        assert build(content).objectives[0].name == row["axis"]


def test_the_help_shows_a_whole_file_that_is_valid() -> None:
    """Read out of the help as it is shown; every kind of thing in it is what the file means."""
    shown = run("--help").stdout
    lines = shown[shown.index("    name: seeds") : shown.index("Options:")]
    sweep = build(parse(textwrap.dedent(lines), "help"))
    assert [axis.when for axis in sweep.axes if axis.when] == [{"train.optimizer": ("sgd",)}]
    assert [figure.name for figure in sweep.figures] == ["epochs"]
    configurations = sweep.configurations()
    assert configurations is not None
    assert len(list(configurations)) == 12


def test_every_option_of_a_figure_is_explained() -> None:
    """No empty cell: what nobody explains is guessed."""
    assert [row["axis"] for row in axes("figures") if not row["about"]] == []
    assert [row["axis"] for row in axes("file") if not row["about"]] == []


def test_the_other_lists_are_named_below_the_axes() -> None:
    """Beside the table, where a pipe does not meet it."""
    said = "also: edgebench options file | metrics | figures | --help\n"
    assert run().stderr == said
    assert run("train").stderr == run("--format", "csv").stderr == ""


def test_an_optional_choice_is_a_choice() -> None:
    """As the method of a sweep file, which has a default of its own."""
    [method] = [row for row in axes("file") if row["axis"] == "method"]
    assert (method["type"], method["default"]) == ("choice", "")
    assert set(method["choices"]) == {"tpe", "gp", "nsga2", "random", "grid", "edgebench"}
