"""The pictures hold the record's numbers; how they look was looked at."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_studies import pruned, quantized, reference, synthetic

from edgebench.record import Objective, StudyRecord
from edgebench.report import Board, filters_png
from edgebench.report.canvas import COLOURS, MARKS, canvas, logarithmic, style
from edgebench.report.front import front, progress
from edgebench.report.plots import (
    confusion_matrix,
    figures,
    first_filters,
    hypervolume_curve,
    learning_curves,
    trade_off,
)

BOARDS = (Board("stm32f746g-disco", 1_032_192, 319_488), Board("small-board", 65_536, 8_192))


def test_everything_the_record_has_data_for_is_drawn() -> None:
    """Trade-offs, curves, hypervolume, and two pictures a member of the front."""
    record = synthetic(15)
    members = front(record.rows, record.objectives)
    names = [stem for stem, _ in figures(record, BOARDS)]
    assert names[:5] == [
        "accuracy-rom", "accuracy-ram", "accuracy-macc", "learning-curves", "hypervolume",
    ]  # fmt: skip
    assert set(names[5:]) == {
        f"{kind}-{row.name}" for row in members for kind in ("confusion", "filters")
    }


def test_a_bare_record_draws_what_it_can() -> None:
    """Without curves or details the trade-offs remain; without trials, nothing."""
    assert [stem for stem, _ in figures(reference())] == [
        "accuracy-rom", "accuracy-ram", "accuracy-macc", "hypervolume",
    ]  # fmt: skip
    assert list(figures(StudyRecord("none", reference().objectives, []))) == []


def test_the_trade_off_shows_every_feasible_trial_once_and_rings_the_front() -> None:
    """Points, rings and the staircase of the two axes against brute force."""
    record = synthetic(60)
    axes = trade_off(record, "footprint/ram_bytes", BOARDS).axes[0]
    drawn = {one.get_label(): np.asarray(one.get_offsets()) for one in axes.collections}
    done = [row for row in record.rows if row.feasible]
    points = {tuple(p) for family in ("gap", "vgg") for p in drawn[family]}
    ram, accuracy = "footprint/ram_bytes", "val/accuracy_best"
    assert points == {(row.metrics[ram], row.metrics[accuracy]) for row in done}
    members = front(record.rows, record.objectives)
    rings = {tuple(point) for point in drawn["study's front"]}
    assert rings == {(row.metrics[ram], row.metrics[accuracy]) for row in members}
    [stairs] = [line for line in axes.lines if line.get_label() == "front of the two"]
    both = (Objective(ram, "minimize"), Objective(accuracy, "maximize"))
    assert len(stairs.get_xdata()) == len(front(done, both))
    assert list(stairs.get_ydata()) == sorted(stairs.get_ydata())


def test_limits_of_boards_are_lines_with_names() -> None:
    """A board's flash bounds ROM, and near lines share one label."""
    record = synthetic(60)
    axes = trade_off(record, "footprint/rom_bytes", BOARDS).axes[0]
    edges = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert edges == {1_032_192, 65_536, 1_000_000}
    labels = {text.get_text() for text in axes.texts}
    assert labels == {"small-board", "stm32f746g-disco +1"}


def test_families_keep_colour_and_mark_and_the_median_is_the_median() -> None:
    """The thick line of a family is the median of its trials, epoch by epoch."""
    record = synthetic(40)
    axes = learning_curves(record).axes[0]
    for family, colour in (("gap", COLOURS[0]), ("vgg", COLOURS[1])):
        curves = [
            row.curves["val/accuracy"]
            for row in record.rows
            if row.curves and row.params["model.family"] == family
        ]
        [line] = [one for one in axes.lines if str(one.get_label()).startswith(f"{family}, median")]
        assert line.get_color() == colour
        assert list(line.get_ydata()) == pytest.approx(np.median(curves, axis=0))


def test_curves_of_unequal_length_are_drawn() -> None:
    """A trial that stopped early counts for the epochs it has."""
    record = synthetic(12)
    rows = [
        dataclasses.replace(row, curves={name: c[: 2 + i % 3] for name, c in row.curves.items()})
        for i, row in enumerate(record.rows)
    ]
    assert _drawn(learning_curves(dataclasses.replace(record, rows=rows)))


def test_an_int8_study_is_drawn_in_int8() -> None:
    """Axes, points and limits of the model that ships; the files keep their names."""
    record = quantized(60)
    names = [stem for stem, _ in figures(record, BOARDS)]
    assert names[:3] == ["accuracy-rom", "accuracy-ram", "accuracy-macc"]
    axes = trade_off(record, "footprint/rom_bytes_int8", BOARDS).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ROM int8", "accuracy int8")
    drawn = {one.get_label(): np.asarray(one.get_offsets()) for one in axes.collections}
    points = {tuple(p) for family in ("gap", "vgg") for p in drawn[family]}
    assert points == {
        (row.metrics["footprint/rom_bytes_int8"], row.metrics["val/accuracy_int8"])
        for row in record.rows
        if row.feasible
    }
    edges = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert 300_000 in edges  # the study's own limit
    assert 65_536 in edges  # the small board's flash


def test_a_pruned_curve_is_drawn_and_in_no_median() -> None:
    """Dotted, with a cross at its end; the median is that of the trials that went on."""
    record = synthetic(40)
    trained = [row for row in record.rows if row.curves and row.params["model.family"] == "gap"]
    first = trained[0]
    rows = [pruned(row) if row is first else row for row in record.rows]
    axes = learning_curves(dataclasses.replace(record, rows=rows)).axes[0]
    [line] = [one for one in axes.lines if str(one.get_label()).startswith("gap, median")]
    others = [row.curves["val/accuracy"] for row in trained[1:]]
    assert list(line.get_ydata()) == pytest.approx(np.median(others, axis=0))
    assert line.get_label() == f"gap, median of {len(others)}"
    [dotted] = [one for one in axes.lines if one.get_linestyle() == ":"]
    assert list(dotted.get_ydata()) == list(first.curves["val/accuracy"][:2])
    assert axes.get_ylabel() == "validation accuracy"


def test_the_hypervolume_drawn_is_the_progress() -> None:
    """One step a feasible trial."""
    record = synthetic(40)
    [line] = hypervolume_curve(record).axes[0].lines
    grown = progress(record.rows, record.objectives)
    assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == grown


def test_confusion_and_filters_draw_with_any_shape() -> None:
    """Many classes are drawn without numbers; grey, colour and one-input filters all draw."""
    row = synthetic(10).rows[1]
    many = dataclasses.replace(row, confusion={"float32": np.eye(40, dtype=int).tolist()})
    assert len(confusion_matrix(row, tuple("abcdefghij")).axes[0].texts) == 100
    assert len(confusion_matrix(many).axes[0].texts) == 0
    for shape in ((5, 1, 3, 3), (8, 3, 5, 5), (1, 2, 1, 1), (64, 16, 3, 3)):
        drawn = dataclasses.replace(row, filters=np.zeros(shape).tolist())
        assert _drawn(first_filters(drawn))


def _drawn(figure: Figure) -> bool:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=40)
    return out.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [2, 8, 64])
def test_the_title_of_filters_is_whole(count: int) -> None:
    """However narrow the picture of few filters is, its title stands inside it."""
    row = dataclasses.replace(
        reference().rows[0],
        name="trial-0006-vgg-w8-h32-l0.00186",
        filters=np.ones((count, 1, 3, 3)),
    )
    figure = first_filters(row)
    figure.canvas.draw()
    title = figure.texts[0].get_window_extent()
    assert 0 <= title.x0 < title.x1 <= figure.bbox.width
    assert (
        " ".join(figure.texts[0].get_text().split()) == f"{row.name}: first layer, {count} filters"
    )


@pytest.mark.parametrize(
    ("ends", "marks"),
    [
        ((50, 500), ["50", "100", "200", "500"]),
        ((2, 9), ["2", "2.5", "3", "4", "5", "6", "8"]),
        ((1e-4, 1), [f"$10^{{{power}}}$" for power in range(-4, 1)]),
    ],
)
def test_a_logarithmic_axis_is_marked_as_its_span_asks_for(
    ends: tuple[float, float], marks: list[str]
) -> None:
    """No two labels in the room of one: powers of ten over decades, plain numbers within two."""
    figure, axes = canvas()
    axes.plot(ends, [1, 2])
    logarithmic(axes, "x")
    axes.set_xlim(*ends)
    figure.canvas.draw()
    low, high = ends
    shown = [
        label.get_text()
        for label, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
        if low <= place <= high
    ]
    assert shown == marks
    assert axes.get_yscale() == "linear"


def pixels(weights: np.ndarray) -> np.ndarray:
    """Return the picture of filters as [height, width, 3] of 0 to 255."""
    with Image.open(io.BytesIO(filters_png(weights))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_filters_stand_side_by_side_each_stretched_to_its_own_range() -> None:
    """Black is a filter's least weight and white its greatest, in colour where there are three."""
    rising = np.arange(9.0).reshape(1, 1, 3, 3)
    sheet = pixels(np.concatenate([rising, -5 * rising]))
    assert sheet.shape == (3 + 48 + 3, 2 * 51 + 3, 3)
    first, second = sheet[3:51, 3:51], sheet[3:51, 54:102]
    assert (first[0, 0].tolist(), first[-1, -1].tolist()) == ([0] * 3, [255] * 3)
    assert (second[0, 0].tolist(), second[-1, -1].tolist()) == ([255] * 3, [0] * 3)
    colour = np.zeros((1, 3, 2, 2))
    colour[0, 2, 0, 1] = 1.0  # blue, above right
    shown = pixels(colour)
    assert shown[5, 45].tolist() == [0, 0, 255]
    assert shown[5, 5].tolist() == [0, 0, 0]


def test_no_two_groups_of_a_picture_look_alike() -> None:
    """Colour and mark together, as a scatter has no dashes; as many as there are pairs."""
    count = len(COLOURS) * len(MARKS)
    assert len({style(index)[:2] for index in range(count)}) == count
    assert len({colour for colour, _, _ in map(style, range(len(COLOURS)))}) == len(COLOURS)
