"""``edgebench report`` on a record in a real MLflow store."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from mlflow_study import store, write_study
from onnx import helper, numpy_helper
from report_studies import crowded, quantized, synthetic

from edgebench.analysis import first_filters
from edgebench.cli.report import command
from edgebench.errors import EdgebenchError
from edgebench.footprint import TARGETS
from edgebench.record import FigureAsked, StudyRecord
from edgebench.report import Board, as_json, document, refit

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the store."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module", autouse=True)
def written(folder: Path) -> StudyRecord:
    """The record of 16 synthetic trials as written; MLflow adds each curve's last value."""
    _, _, record = write_study(folder, synthetic(16))
    rows = [
        dataclasses.replace(
            row, metrics={**row.metrics, **{name: curve[-1] for name, curve in row.curves.items()}}
        )
        for row in record.rows
    ]
    return dataclasses.replace(record, rows=rows)


def report(folder: Path, *words: str) -> Result:
    """Run the command in this process; a user's mistake comes out as the exception."""
    address = ("--tracking-uri", store(folder))
    return CliRunner().invoke(command, ["synthetic-16", *address, *words], catch_exceptions=False)


def test_json_read_back_from_mlflow_is_the_json_of_what_was_written(
    folder: Path, written: StudyRecord
) -> None:
    """The same numbers in MLflow and in JSON; stdout holds nothing else."""
    assert json.loads(report(folder, "--format", "json").stdout) == as_json(written)


def test_target_asks_again_for_another_board(folder: Path, written: StudyRecord) -> None:
    """The reasons and the front are those of the board's free memory."""
    board = TARGETS["nucleo-f446re"]
    free = Board(board.name, board.free_flash_bytes, board.free_ram_bytes)
    asked = json.loads(report(folder, "--format", "json", "--target", board.name).stdout)
    assert asked == as_json(refit(written, free))
    assert asked != as_json(written)


def test_the_other_data_type_is_asked_with_an_option(tmp_path: Path) -> None:
    """What the store holds of an int8 study, as float32; a study without it says so."""
    _, _, record = write_study(tmp_path, quantized(8))
    words = [record.study, "--tracking-uri", store(tmp_path), "--format", "json"]
    shown = CliRunner().invoke(command, [*words, "--dtype", "float32"], catch_exceptions=False)
    objectives = [goal["name"] for goal in json.loads(shown.stdout)["objectives"]]
    assert objectives == ["val/accuracy_best", "footprint/rom_bytes"]
    own = CliRunner().invoke(command, [*words, "--dtype", "int8"], catch_exceptions=False)
    assert own.stdout == CliRunner().invoke(command, words, catch_exceptions=False).stdout


def test_a_data_type_that_the_study_lacks_is_refused(folder: Path) -> None:
    """One line; nothing is shown."""
    with pytest.raises(EdgebenchError, match=r"^the study 'synthetic-16' has no int8 figures$"):
        report(folder, "--dtype", "int8")


def test_all_refused_trials_are_shown_on_demand(tmp_path: Path) -> None:
    """Counted in the table, whole with --all."""
    _, _, record = write_study(tmp_path, crowded(3, 40))
    words = [record.study, "--tracking-uri", store(tmp_path)]
    few = CliRunner().invoke(command, words, catch_exceptions=False).stdout
    assert "40 trials were refused before training: " in few
    every = CliRunner().invoke(command, [*words, "--all"], catch_exceptions=False).stdout
    assert every.count(" refused: R") == 40


def test_a_board_of_ones_own_is_asked_from_its_file(folder: Path, tmp_path: Path) -> None:
    """A YAML board joins the matrix and bounds the front."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("flash_bytes: 262144\nram_bytes: 65536\n", encoding="utf-8")
    shown = report(folder, "--target", str(mine), "--units", "binary").stdout
    assert "Budget of mine: ROM 245,760 B, RAM 57,344 B; judged by the upper figures." in shown
    assert "over 245,760 B of mine by" in shown
    assert "240.00 KiB" in shown


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("t.txt", "Trials of synthetic-16"),
        ("t.md", "**The front**"),
        ("t.csv", "trial,run_id,state,reason,on_front,model.family"),
        ("t.json", '{\n  "study": "synthetic-16"'),
        ("t.html", "<!doctype html>"),
    ],
)
def test_the_suffix_chooses_the_format(
    folder: Path, tmp_path: Path, name: str, begins: str
) -> None:
    """A file gets its content, stdout stays empty, stderr says what was written."""
    path = tmp_path / name
    ran = report(folder, "-o", str(path))
    assert path.read_text(encoding="utf-8").startswith(begins)
    assert ran.stdout == ""
    assert f"wrote {path}" in ran.stderr


def test_the_page_from_the_store_has_curves_and_layers(folder: Path, tmp_path: Path) -> None:
    """The details that the table leaves out are read for the page."""
    path = tmp_path / "study.html"
    report(folder, "-o", str(path))
    content = path.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    data = json.loads(content)
    assert len(data["layers"][0]) == 12
    assert any(row["curves"].get("val/accuracy") for row in data["rows"])


def test_a_directory_gets_everything(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Tables, page and pictures; members without a stored model go without those of its inside."""
    report(folder, "-o", str(tmp_path / "new"))
    made = {path.name for path in (tmp_path / "new").iterdir()}
    assert made == {
        "report.md", "trials.csv", "study.json", "study.html", "accuracy-rom.png",
        "accuracy-ram.png", "accuracy-macc.png", "learning-curves.png", "hypervolume.png",
    }  # fmt: skip
    assert "goes without a picture of its filters" in caplog.text
    written = (tmp_path / "new" / "report.md").read_text(encoding="utf-8")
    _, heading, pictures = written.partition("## Figures")
    assert heading
    shown = re.findall(r"!\[.*\]\((.*)\)", pictures)
    assert set(shown) == {name for name in made if name.endswith(".png")}


def test_a_directory_gets_the_figures_that_the_sweep_file_asks_for(tmp_path: Path) -> None:
    """Each as PNG, SVG and CSV, in the page too; what has no data yet is named."""
    asked = [
        FigureAsked("by-width", "scatter", options={"x": "footprint/macc", "y": "val/accuracy"}),
        FigureAsked("steps", "curves", options={"y": "step_losses.loss"}),
        FigureAsked("plane", "regions"),
    ]
    made = synthetic(3)
    rows = [
        dataclasses.replace(row, analyses={"step_losses": {"loss": [2.5, 1.5]}})
        for row in made.rows
    ]
    _, _, record = write_study(tmp_path, dataclasses.replace(made, rows=rows, figures=asked))
    assert list(record.figures) == asked
    folder = tmp_path / "new"
    words = [record.study, "--tracking-uri", store(tmp_path), "-o", str(folder)]
    ran = CliRunner().invoke(command, words, catch_exceptions=False)
    for name in ("by-width", "steps"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{name}.svg").read_text(encoding="utf-8")
    lines = (folder / "steps.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "series,step,mean,low,high,runs"
    assert [line.split(",")[1:3] for line in lines[1:]] == [["1.0", "2.5"], ["2.0", "1.5"]]
    assert "plane: nothing to draw yet" in ran.stderr
    page = (folder / "study.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/svg+xml;base64,') == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "x.pdf"), "x.pdf: '.pdf' chooses no format; use .txt, .md, .csv, .json, .html"),
        (("-o", ".", "--format", "csv"), ". is a directory, which takes every format"),
        (("--target", "nucleo-f446r"), "unknown target 'nucleo-f446r'; did you mean"),
        (("-o", "no/such/x.md"), "cannot write no/such/x.md: No such file or directory"),
    ],
)
def test_mistakes_are_named(folder: Path, words: tuple[str, ...], message: str) -> None:
    """The value, the rule and a way out; nothing is written."""
    with pytest.raises(EdgebenchError) as caught:
        report(folder, *words)
    assert message in str(caught.value)


def test_an_unknown_study_exits_2_with_the_nearest_name(folder: Path) -> None:
    """The whole process: one line on stderr, nothing on stdout, exit 2."""
    words = ["report", "synthetic-61", "--tracking-uri", store(folder)]
    ran = subprocess.run(
        [sys.executable, "-m", "edgebench.cli", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: unknown study 'synthetic-61'; did you mean 'synthetic-16'?\n"


def test_the_table_is_the_documents(folder: Path, written: StudyRecord) -> None:
    """The command adds nothing to the document but the listed boards."""
    boards = [Board(b.name, b.free_flash_bytes, b.free_ram_bytes) for b in TARGETS.values()]
    shown = report(folder).stdout
    expected = document(written, "table", boards=boards)
    assert shown.partition("- Footprints")[0] == expected.partition("- Footprints")[0]


def test_the_first_convolutions_weights_are_found() -> None:
    """A 2-D convolution's constant, or None where the graph has no such layer."""
    weights = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = helper.make_graph([conv], "g", [image], [out], [numpy_helper.from_array(weights, "w")])
    found = first_filters(helper.make_model(graph))
    assert found is not None
    assert np.array_equal(found, weights)
    empty = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [image], [out])
    assert first_filters(helper.make_model(empty)) is None
