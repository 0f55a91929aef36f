"""From a sweep that really trains to its report: two networks, synthetic images, one epoch."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from command import edgebench
from mlflow import MlflowClient
from PIL import Image

from edgebench.tracking import read_study, with_filters

SWEEP = """
name: tiny
dataset: synthetic
method: grid
metrics:
  - {name: val/accuracy_best, goal: maximize}
  - {name: footprint/rom_bytes, goal: minimize}
parameters:
  model.family: gap
  model.width: {values: [2, 4]}
  model.blocks: 1
  train.epochs: 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the sweep ran."""
    made = tmp_path_factory.mktemp("study")
    (made / "tiny.yaml").write_text(SWEEP, encoding="utf-8")
    ran = edgebench("sweep", "tiny.yaml", "--quiet", "--format", "json", folder=made)
    assert ran.returncode == 0, ran.stderr
    (made / "sweep.json").write_text(ran.stdout, encoding="utf-8")
    return made


def test_report_prints_what_the_sweep_ended_with(folder: Path) -> None:
    """The record read any time later is the record at the end."""
    ran = edgebench("report", "tiny", "--format", "json", folder=folder)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == json.loads((folder / "sweep.json").read_text("utf-8"))


def test_a_directory_holds_the_inside_of_the_fronts_members(folder: Path) -> None:
    """First-layer filters and the confusion matrix of every member, from the model that ships."""
    ran = edgebench("report", "tiny", "-o", "out", folder=folder)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((folder / "sweep.json").read_text("utf-8"))["rows"]
    members = [row for row in rows if row["on_front"]]
    assert members
    made = {path.stem for path in (folder / "out").glob("*.png")}
    for row in members:
        assert any(stem.startswith(f"confusion-trial-{row['trial']:04}-") for stem in made), sorted(
            made
        )
        assert any(stem.startswith(f"filters-trial-{row['trial']:04}-") for stem in made)


def test_the_confusion_adds_up_to_the_validation_split_and_its_accuracy(folder: Path) -> None:
    """Its diagonal is the accuracy that training recorded for the model that ships."""
    uri = f"sqlite:///{folder}/mlruns/mlflow.db"
    record = with_filters(read_study("tiny", tracking_uri=uri, details=True), tracking_uri=uri)
    rows = [row for row in record.rows if row.confusion]
    assert rows
    for row in rows:
        counts = row.confusion["float32"]
        images = sum(map(sum, counts))
        right = sum(line[i] for i, line in enumerate(counts))
        assert images == record.split_sizes["validation"]
        assert right / images == row.metrics["val/accuracy_best"]
        text = MlflowClient(uri).download_artifacts(row.run_id, "confusion-float32.csv")
        shown = list(csv.DictReader(io.StringIO(Path(text).read_text(encoding="utf-8"))))
        assert [[int(n) for n in list(line.values())[1:]] for line in shown] == counts
        assert [line["true class"] for line in shown] == list(record.classes)
        picture = MlflowClient(uri).download_artifacts(row.run_id, "filters.png")
        across = math.ceil(math.sqrt(row.params["model.width"] * 1.6))
        with Image.open(picture) as opened:  # 3x3 weights, 16 pixels each, 3 between two filters
            assert opened.width == across * (3 * 16 + 3) + 3
    members = [row for row in record.rows if row.filters]
    assert members
    for row in members:
        assert len(row.filters) == row.params["model.width"]
