"""A figure is one row of the table of metrics: whatever shows, limits or seeks it reads the row."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from onnx_graphs import Sketchpad
from report_studies import quantized, synthetic

from edgebench.errors import EdgebenchError
from edgebench.footprint import measure
from edgebench.metrics import (
    METRICS,
    Metric,
    charted,
    deciding,
    estimated,
    in_dtype,
    limited,
    limits,
    metric_of,
    searched,
)
from edgebench.profiling import profile
from edgebench.record import StudyRecord
from edgebench.report import document, metrics_shown, page
from edgebench.report import figures as pictures
from edgebench.space import Sweep, build
from edgebench.tracking import views
from edgebench.units import label, quantity, text

WEIGHTS = Metric(
    "footprint/weights_bytes", "weights", "bytes", "minimize", searched=True, footprint=True,
    shown=True, charted=True,
)  # fmt: skip
"""A figure that a footprint has and no study records yet."""
F1 = Metric(
    "val/f1", "macro F1", "share", "maximize", "validation", searched=True, shown=True
)  # fmt: skip


@pytest.fixture
def added() -> Iterator[None]:
    """Add two figures to the table, one row each, as a change of ``metrics.py`` would."""
    rows = [*WEIGHTS.in_both(), F1]
    for row in rows:
        METRICS.add(row.name, row)
    yield
    for row in rows:
        METRICS.remove(row.name)


def recorded() -> StudyRecord:
    """A study whose finished trials have the two figures."""
    record = synthetic(12)
    rows = [
        dataclasses.replace(
            row,
            metrics={
                **row.metrics,
                "footprint/weights_bytes": 12_300 + row.trial,
                **({"val/f1": 0.5 + row.trial / 100} if row.state == "finished" else {}),
            },
        )
        for row in record.rows
    ]
    return dataclasses.replace(record, rows=rows)


def sweep(**changed: Any) -> Sweep:
    """Build a small sweep that seeks F1, with some parts changed."""
    base: dict[str, Any] = {
        "name": "try",
        "run_cap": 4,
        "metrics": [{"name": "val/f1", "goal": "maximize"}],
        "parameters": {"model.family": "gap"},
    }
    return build(base | changed)


@pytest.mark.usefixtures("added")
def test_a_new_figure_is_a_column_of_the_table_with_its_title_and_unit() -> None:
    """In the table, in csv and json by its full name, in the title's place for its unit."""
    record = recorded()
    assert {"footprint/weights_bytes", "val/f1"} <= set(metrics_shown(record))
    head, *lines = [
        line for line in document(record, "markdown").splitlines() if line.startswith("| ")
    ][-14:]
    titles = [cell.strip() for cell in head.split("|")]
    cells = [cell.strip() for cell in lines[2].split("|")]
    row = record.rows[1]
    assert cells[titles.index("weights")] == "12.30 kB"
    assert cells[titles.index("macro F1")] == f"{51:.2f} %"
    flat = list(csv.DictReader(io.StringIO(document(record, "csv"))))
    assert flat[1]["footprint/weights_bytes"] == "12301"
    whole = json.loads(document(record, "json"))["rows"][1]["metrics"]
    assert whole["val/f1"] == row.metrics["val/f1"] == 0.51


@pytest.mark.usefixtures("added")
def test_a_new_figure_is_drawn_charted_and_a_slider() -> None:
    """A picture, a chart of MLflow's view and a slider of the page; no script names it."""
    record = recorded()
    assert "accuracy-weights" in [stem for stem, _ in pictures(record)]
    charts = views.view_state(record)["compareRunCharts"]
    assert "footprint/weights_bytes" in [chart["xaxis"]["key"] for chart in charts]
    embedded = page(record).partition('id="data">')[2].partition("</script>")[0]
    data = json.loads(embedded)
    assert data["figures"]["val/f1"]["title"] == "macro F1"
    assert data["figures"]["val/f1"]["unit"] == "share"
    [slider] = [one for one in data["limits"] if one["id"] == "weights_bytes"]
    assert slider["names"]["int8"] == "footprint/weights_bytes_int8"
    assert data["rows"][1]["texts"]["footprint/weights_bytes"] == "12.30 kB"


@pytest.mark.usefixtures("added")
def test_a_new_figure_is_sought_and_limited() -> None:
    """An objective where the row says so, a limit of a budget, and measured at the gate."""
    made = sweep(budget={"weights_bytes_int8": 5000})
    assert made.objectives[0].name == "val/f1"
    assert made.int8
    assert made.budget is not None
    assert made.budget.excess({"weights_bytes_int8": 5001}) == (
        "weights int8 5,001 B is over 5,000 B by 1 B"
    )
    pad = Sketchpad()
    figures = measure(profile(pad.model(pad.conv("input", 4, 3)))).metrics()
    assert figures["footprint/weights_bytes"] == 4 * (4 * 3 * 3 * 3 + 4)


def test_without_its_row_a_figure_is_unknown_to_all_of_them() -> None:
    """The fixture's figures are gone: neither sought, nor limited, nor shown."""
    with pytest.raises(EdgebenchError, match="unknown metric 'val/f1'"):
        sweep()
    with pytest.raises(EdgebenchError, match=r"budget.weights_bytes: unknown key"):
        sweep(metrics=[{"name": "time/train_s", "goal": "minimize"}], budget={"weights_bytes": 9})
    assert "val/f1" not in metrics_shown(recorded())
    assert (label("val/f1"), text(quantity("val/f1", 0.5))) == ("val/f1", "0.5")


def test_the_test_split_and_single_epochs_are_never_sought() -> None:
    """What a search may read is what is known without the test split, once a trial."""
    for name in searched():
        assert metric_of(name).split != "test"
        assert not metric_of(name).per_epoch
        assert metric_of(name).goal is not None


def test_every_limit_has_its_twin_and_the_key_is_its_name() -> None:
    """A budget may bound each footprint of either model; the key is the name after the slash."""
    known = limits()
    assert {"rom_bytes", "rom_bytes_int8", "macc", "activations_bytes_int8"} <= known.keys()
    for key, metric in known.items():
        assert metric.name == f"footprint/{key}"
        assert known[metric_of(metric.twin).key].dtype != metric.dtype
    assert limited({"ram_bytes": 5, "gone": 6}) == [(known["ram_bytes"], 5)]
    assert limited(None) == []


def test_twins_name_each_other_and_differ_in_the_data_type_alone() -> None:
    """There and back is the same figure, of the same unit, goal and split."""
    for name, metric in METRICS.items():
        if not metric.twin:
            continue
        twin = metric_of(metric.twin)
        assert twin.twin == name
        assert {metric.dtype, twin.dtype} == {"float32", "int8"}
        assert (twin.unit, twin.goal, twin.split) == (metric.unit, metric.goal, metric.split)
        assert twin.figure == metric.figure
        assert in_dtype(name, "int8") == in_dtype(metric.twin, "int8")


@pytest.mark.parametrize(
    ("name", "dtype", "other"),
    [
        ("footprint/rom_bytes", "int8", "footprint/rom_bytes_int8"),
        ("val/accuracy_int8", "float32", "val/accuracy_best"),
        ("val/accuracy_best", "float32", "val/accuracy_best"),
        ("time/train_s", "int8", "time/train_s"),
        ("not/known", "int8", "not/known"),
    ],
)
def test_a_figure_in_another_data_type(name: str, dtype: Any, other: str) -> None:
    """What has no twin is the same in both."""
    assert in_dtype(name, dtype) == other


def test_titles_tell_the_two_models_apart() -> None:
    """The data type stands before what is said behind a comma."""
    assert label("final/test_accuracy_mean_int8") == "test accuracy int8, mean over seeds"
    assert metric_of("final/test_accuracy_mean_int8").figure == "test accuracy, mean over seeds"
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)


def test_memories_are_charted_before_the_rest() -> None:
    """ROM and RAM, by which a board is chosen, then the work."""
    assert [metric.key for metric in charted("int8")] == [
        "rom_bytes_int8", "ram_bytes_int8", "macc_int8", "latency_ms_int8",
    ]  # fmt: skip
    assert [metric.memory for metric in charted("float32")] == ["flash", "ram", None, None]


def test_a_figure_and_its_upper_figure_name_each_other() -> None:
    """In either data type; every memory of a board has one that decides."""
    for metric in METRICS.values():
        assert estimated(deciding(metric)) == estimated(metric)
        if metric.memory or metric.upper:
            assert deciding(metric).dtype == metric.dtype
            assert deciding(metric) != metric
    rom = metric_of("footprint/rom_bytes_int8")
    assert deciding(rom).name == "footprint/rom_upper_bytes_int8"
    assert deciding(rom).title == "ROM int8, upper"
    assert deciding(metric_of("footprint/macc")).name == "footprint/macc"


def test_the_data_type_of_a_study_follows_from_its_rows_in_the_table() -> None:
    """An int8 objective or an int8 limit makes it int8; neither, float32; what is told wins."""
    record = quantized(4)
    assert record.dtype == "int8"
    single = synthetic(4)
    assert single.dtype == "float32"
    by_objective = dataclasses.replace(record, budget=None)
    by_budget = dataclasses.replace(record, objectives=single.objectives)
    assert (by_objective.dtype, by_budget.dtype) == ("int8", "int8")
    assert dataclasses.replace(by_budget, budget={"rom_bytes": 9}).dtype == "float32"
    assert dataclasses.replace(single, deployed="int8").dtype == "int8"
