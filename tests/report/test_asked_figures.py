"""The figures that a sweep file asks for: every kind draws, and its numbers are known by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from edgebench.record import FigureAsked, Objective, Row, State, StudyRecord
from edgebench.registry import options
from edgebench.report import FIGURE_KINDS, Names, Picture, asked_figures

SAMPLES = {
    Names.AXIS: "model.norm",
    Names.METRIC: "val/accuracy_best",
    Names.SERIES: "step_losses.loss",
}
"""What a required option of a kind is given, by what it names."""


def run(number: int, norm: str, scale: float, seed: int) -> Row:
    """Return one finished run, its figures from its axes by arithmetic."""
    best = {"none": 0.2, "batch": 0.4}[norm] + scale + 0.02 * seed
    wide = 2.0 if norm == "none" else 1.0
    return Row(
        number,
        "",
        f"mlp-{number}",
        State.FINISHED,
        None,
        {"model.norm": norm, "model.init_scale": scale, "train.seed": seed},
        {"val/accuracy_best": best, "val/accuracy": best / 2, "footprint/macc": 1000 + number},
        curves={"val/accuracy": [best, best / 2], "train/loss": [2.0, 1.0 + seed]},
        analyses={
            "step_losses": {"loss": [3.0, 2.0 + wide * seed, 1.0]},
            "landscape": {"step": [1, 11], "loss_min": [1.0, 1.0], "loss_max": [2.0, 1.0 + wide]},
            "filters": {"filters": np.arange(2 * 3 * 4).reshape(2, 3, 2, 2).tolist()},
            "regions": {"classes": [[0, 1], [1, 1]]},
        },
    )


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    """Return two norms, two scales and two seeds, and one trial that failed."""
    axes = itertools.product(["none", "batch"], [0.1, 0.01], [0, 1])
    rows = [run(number, *values) for number, values in enumerate(axes)]
    failed = dataclasses.replace(rows[0], trial=8, state=State.FAILED, reason="exploded")
    objectives = (Objective("val/accuracy_best", "maximize"),)
    return StudyRecord("scales", objectives, [*rows, failed], classes=("outer", "inner"))


def drawn(record: StudyRecord, kind: str, **given: Any) -> Picture:
    """Return the picture of one figure that is asked for."""
    where = {axis: (value,) for axis, value in given.pop("where", {}).items()}
    asked = FigureAsked("picture", kind, given.pop("title", ""), where, given)
    [(name, picture)] = asked_figures(dataclasses.replace(record, figures=(asked,)))
    assert name == "picture"
    return picture


def needed(kind: str) -> dict[str, Any]:
    """Return the options that a kind must be given, and a grouping where it has one."""
    found: dict[str, Any] = {}
    for name, option in options(FIGURE_KINDS[kind]).items():
        [names] = [one for one in option.type_metadata if isinstance(one, Names)] or [None]
        if names is not None and (option.default != "" or name == "by"):
            found[name] = SAMPLES[names]
    return found


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_every_kind_draws_with_a_title_and_a_legend_that_covers_no_data(
    kind: str, record: StudyRecord
) -> None:
    """The legend lies below all panels; there are numbers behind the picture."""
    picture = drawn(record, kind, title="What it shows", **needed(kind))
    assert isinstance(picture.figure, Figure)
    assert picture.figure.get_suptitle() == "What it shows"
    assert picture.rows
    picture.figure.draw_without_rendering()
    for legend, axes in itertools.product(picture.figure.legends, picture.figure.axes):
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_nothing_is_drawn_of_a_study_without_data(kind: str, record: StudyRecord) -> None:
    """No picture, rather than an empty one."""
    asked = FigureAsked("picture", kind, options=needed(kind))
    assert not list(asked_figures(dataclasses.replace(record, rows=(), figures=(asked,))))


def test_a_line_averages_the_seeds_with_students_interval(record: StudyRecord) -> None:
    """Two values 0.3 and 0.32: mean 0.31, s = 0.02 / sqrt 2, t(1) = 12.706."""
    options = {"x": "model.init_scale", "y": "val/accuracy_best", "by": "model.norm", "log": "x"}
    picture = drawn(record, "line", **options)
    half = 12.706 * (0.02 / math.sqrt(2)) / math.sqrt(2)
    point = next(
        row for row in picture.rows if (row["model.norm"], row["model.init_scale"]) == ("none", 0.1)
    )
    assert point["mean"] == pytest.approx(0.31)
    assert (point["low"], point["high"]) == pytest.approx((0.31 - half, 0.31 + half))
    assert point["runs"] == 2
    [axes] = picture.figure.axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "init scale")
    assert [row["model.init_scale"] for row in picture.rows[:2]] == [0.01, 0.1]  # in order
    said = picture.figure.legends[0].get_title().get_text()
    assert said == "norm; means of up to 2 runs, over train.seed; bars: Student's 95 % interval"


def test_a_line_over_texts_and_the_best_epoch(record: StudyRecord) -> None:
    """Texts stand in the order tried; ``epoch: best`` takes the highest of a curve."""
    chosen = {"model.init_scale": 0.01, "train.seed": 0}
    picture = drawn(record, "line", x="model.norm", y="val/accuracy", epoch="best", where=chosen)
    assert [(row["model.norm"], row["mean"]) for row in picture.rows] == [
        ("none", pytest.approx(0.21)),
        ("batch", pytest.approx(0.41)),
    ]
    assert [text.get_text() for text in picture.figure.axes[0].get_xticklabels()] == [
        "none",
        "batch",
    ]


def test_groups_differ_in_colour_mark_and_dash(record: StudyRecord) -> None:
    """So that grey print and any colour vision tell them apart."""
    [axes] = drawn(record, "curves", y="val/accuracy", by="model.norm").figure.axes
    looks = [(one.get_color(), one.get_marker(), one.get_linestyle()) for one in axes.get_lines()]
    assert all(mine != theirs for mine, theirs in zip(*looks[:2], strict=True))


def test_curves_go_by_epoch_and_by_step(record: StudyRecord) -> None:
    """A metric has a value an epoch, a series of an analysis one a step; panels side by side."""
    picture = drawn(record, "curves", y=["train/loss", "step_losses.loss"], smooth=2)
    losses = [row["mean"] for row in picture.rows if row["series"] == "train/loss"]
    assert losses == pytest.approx([2.0, (2.0 + 1.5) / 2])  # last values 1 and 2, mean of two
    steps = [row for row in picture.rows if row["series"] == "step_losses.loss"]
    # Seeds 0 and 1 of the four runs without a norm: 3, 2 + 2 s, 1; with: 3, 2 + s, 1.
    assert [row["step"] for row in steps] == [1, 2, 3]
    middle = (2 + 4 + 2 + 3) / 4
    assert [row["mean"] for row in steps] == pytest.approx([3, (3 + middle) / 2, (middle + 1) / 2])
    assert [axes.get_xlabel() for axes in picture.figure.axes] == ["epoch", "step"]


def test_a_band_is_least_and_greatest_over_the_runs(record: StudyRecord) -> None:
    """Without a norm the second step spans 2 to 4, with batch norm 2 to 3: narrower there."""
    picture = drawn(record, "band", y="step_losses.loss", by="model.norm")
    spans = [(row["model.norm"], row["step"], row["low"], row["high"]) for row in picture.rows]
    assert ("none", 2, 2.0, 4.0) in spans
    assert ("batch", 2, 2.0, 3.0) in spans
    said = picture.figure.legends[0].get_title().get_text()
    assert said == "norm; batch narrower than none at 33 % of 3 steps"


def test_a_band_between_two_series_of_a_run(record: StudyRecord) -> None:
    """The steps are the analysis's own."""
    picture = drawn(
        record, "band", y="landscape.loss_min", y_high="landscape.loss_max", by="model.norm"
    )
    assert [row for row in picture.rows if row["model.norm"] == "none"] == [
        {"model.norm": "none", "step": 1, "low": 1.0, "high": 2.0},
        {"model.norm": "none", "step": 11, "low": 1.0, "high": 3.0},
    ]


def test_a_table_has_a_row_a_group(record: StudyRecord) -> None:
    """The mean over scales and seeds, exact in the CSV."""
    picture = drawn(record, "table", by="model.norm", y=["val/accuracy_best", "footprint/macc"])
    assert [row["model.norm"] for row in picture.rows] == ["none", "batch"]
    assert picture.rows[0]["val/accuracy_best"] == pytest.approx(0.2 + 0.055 + 0.01)
    assert picture.rows[1]["footprint/macc"] == pytest.approx(1000 + (4 + 5 + 6 + 7) / 4)


def test_filters_and_regions_are_those_of_the_best_run(record: StudyRecord) -> None:
    """Every weight and every point of the plane is in the CSV."""
    picture = drawn(record, "filters", most=1)
    assert len(picture.rows) == 3 * 2 * 2  # the first filter alone
    assert {row["trial"] for row in picture.rows} == {5}  # batch, 0.1, seed 1
    plane = drawn(record, "regions", by="model.norm")
    assert {row["trial"] for row in plane.rows} == {1, 5}
    corners = [(row["first"], row["second"], row["class"]) for row in plane.rows[:4]]
    assert corners == [
        (0, 0, "outer"), (255, 0, "inner"), (0, 255, "inner"), (255, 255, "inner"),
    ]  # fmt: skip
