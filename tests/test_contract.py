"""A package of one's own adds a member of every kind, and nothing else is edited.

The package is the examples of CONTRIBUTING.md, word for word, so that page cannot go stale.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SWEEP = """
name: extra
dataset: brightness
method: grid
early_stop: coin
analysis: [rates]
metrics:
  - {name: val/accuracy_best, goal: maximize}
  - {name: footprint/rom_bytes, goal: minimize}
budget: {target: tiny-board}
parameters:
  model.family: attentive
  model.norm: {values: [affine, batch]}
  model.width: 4
  data.train_images: 300
  train.optimizer: nadam
  train.momentum_decay: 0.01
  train.schedule: linear
  train.loss: poly
  train.poly_weight: 1.5
  train.augmentation: upside_down
  train.learning_rate: {values: [1e-9, 3e-2]}
  train.epochs: 2
figures:
  - {name: spread, kind: histogram, x: val/accuracy_best, bins: 4}
  - {name: rates, kind: curves, y: rates.learning_rate, by: train.learning_rate}
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_stores: Path) -> Path:
    """Make a folder to work in, with the package installed beside edgebench and empty stores."""
    folder = tmp_path_factory.mktemp("contract")
    site = folder / "site"
    described = site / "extra-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "extra.py").write_text("\n\n".join(EXAMPLES), encoding="utf-8")
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[edgebench]\nextra = extra\n")
    (folder / "extra.yaml").write_text(SWEEP)
    shutil.copytree(empty_stores, folder / "mlruns")
    return folder


@pytest.fixture(scope="module")
def python(folder: Path) -> Run:
    """Return what starts Python where the package is installed."""

    def started(*words: str, site: Path = folder / "site") -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return started


@pytest.fixture(scope="module")
def run(python: Run) -> Run:
    """Return what runs the command line where the package is installed."""
    return functools.partial(python, "-m", "edgebench.cli")


@pytest.fixture(scope="module")
def swept(run: Run) -> dict[str, Any]:
    """Run the sweep that uses every example, once for all tests."""
    done = run("sweep", "extra.yaml", "--pool", "thread", "--format", "json", "--quiet")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows_of(swept: dict[str, Any], rate: float) -> list[dict[str, Any]]:
    """Return the trials at a learning rate."""
    return [row for row in swept["rows"] if row["params"]["train.learning_rate"] == rate]


def test_a_sweep_of_added_members_goes_the_whole_way(swept: dict[str, Any], run: Run) -> None:
    """To the table and the front: trained, exported, proven, judged on the test split."""
    learned = rows_of(swept, 3e-2)
    assert [row["state"] for row in learned] == ["finished", "finished"]
    assert any(row["on_front"] for row in learned)
    for row in learned:
        assert row["metrics"]["val/accuracy_best"] > 0.9
        assert row["metrics"]["footprint/rom_bytes"] > 0
        assert ("test/accuracy" in row["metrics"]) == row["on_front"]
    table = run("report", "extra", "--format", "markdown")
    assert table.returncode == 0, table.stderr
    assert "affine" in table.stdout
    assert "tiny-board" in table.stdout


def test_an_added_rule_stops_a_trial_after_its_first_epoch(
    swept: dict[str, Any], folder: Path
) -> None:
    """Pruned, with its reason, in the report, in Optuna and in MLflow alike."""
    stopped = sorted(rows_of(swept, 1e-9), key=lambda row: row["run_id"])
    assert [row["state"] for row in stopped] == ["pruned", "pruned"]
    for row in stopped:
        assert re.fullmatch(r"no better than a coin: \d\d%", row["reason"])
        assert not row["on_front"]
    optuna = query(folder, "optuna", "select number from trials where state = 'PRUNED'")
    assert {number for (number,) in optuna} == {row["trial"] for row in stopped}
    runs = query(
        folder,
        "mlflow",
        """
        select runs.run_uuid, status, tags.value, count(metrics.value)
        from runs join tags using (run_uuid) join metrics using (run_uuid)
        where tags.key = 'edgebench.reason' and metrics.key = 'val/accuracy'
        group by runs.run_uuid, status, tags.value order by runs.run_uuid
        """,
    )
    assert runs == [(row["run_id"], "KILLED", row["reason"], 1) for row in stopped]


def query(folder: Path, store: str, statement: str, *values: str) -> list[tuple[Any, ...]]:
    """Ask a store itself."""
    connection = sqlite3.connect(folder / "mlruns" / f"{store}.db")
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


LISTS = [
    ("models", "family", "attentive"),
    ("datasets", "data set", "brightness"),
    ("targets", "name", "tiny-board"),
    ("options", "axis", "train.momentum_decay"),
]
ONE_AFTER_ANOTHER = """
import contextlib, io, json, sys
from edgebench.cli import cli
printed = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        cli.main(words, standalone_mode=False)
    printed.append(json.loads(out.getvalue()))
print(json.dumps(printed))
"""


def test_added_members_are_listed_and_profiled(python: Run) -> None:
    """Beside the package's own; a figure of an added convention on an added board is its own.

    One process, since each start imports PyTorch.
    """
    words = [[command, "--format", "json"] for command, *_ in LISTS]
    words.append(
        ["profile", "attentive", "--convention", "st-padded", "--target", "tiny-board",
         "--input", "1x8x8", "--format", "json"]
    )  # fmt: skip
    done = python("-c", ONE_AFTER_ANOTHER, json.dumps(words))
    assert done.returncode == 0, done.stderr
    *listed, profiled = json.loads(done.stdout)
    for (command, column, name), rows in zip(LISTS, listed, strict=True):
        names = {row[column] for row in rows}
        assert name in names, command
        assert len(names) > 1, command
    assert profiled["convention"] == "st-padded"
    assert "a table of offsets" in profiled["provenance"]
    assert (profiled["target"]["name"], profiled["target"]["fits"]) == ("tiny-board", True)


def test_an_added_analysis_is_an_artifact_of_the_runs(swept: dict[str, Any], folder: Path) -> None:
    """It saw each step of the two epochs, at the rates of the added schedule."""
    for row in rows_of(swept, 3e-2):
        [path] = folder.glob(f"mlruns/**/{row['run_id']}/artifacts/analysis/rates.json")
        rates = json.loads(path.read_text())["learning_rate"]
        steps = len(rates)
        assert steps >= 2 * 300 // 32
        assert rates == pytest.approx([3e-2 * (1 - step / steps) for step in range(steps)])


def test_an_added_figure_is_an_artifact_of_the_sweeps_run(
    swept: dict[str, Any], folder: Path
) -> None:
    """Its picture and its numbers, beside a figure that draws the added analysis."""
    names = {path.name for path in folder.glob("mlruns/**/artifacts/figures/*")}
    assert names == {"spread.png", "spread.csv", "rates.png", "rates.csv"}
    [table] = folder.glob("mlruns/**/artifacts/figures/spread.csv")
    numbers = sorted(float(line) for line in table.read_text().splitlines()[1:])
    found = sorted(row["metrics"]["val/accuracy_best"] for row in swept["rows"])
    assert numbers == pytest.approx([value for value in found if value is not None])


def test_an_added_name_is_the_nearest_one(run: Run) -> None:
    """A mistake is answered with the added members in mind."""
    done = run("sweep", "extra.yaml", "--set", "train.optimizer=nadm", "--set", "train.loss=polly")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: parameters.train.optimizer: unknown optimizer 'nadm'; did you mean 'nadam'?",
        "error: parameters.train.loss: unknown loss 'polly'; did you mean 'poly'?",
    ]


def test_a_package_that_cannot_be_imported_is_named(folder: Path, tmp_path: Path, run: Run) -> None:
    """Exit 2, with the package and its reason: it is not edgebench that is broken."""
    shutil.copytree(folder / "site" / "extra-1.0.dist-info", tmp_path / "extra-1.0.dist-info")
    (tmp_path / "extra.py").write_text("import nothing_of_that_name\n")
    done = run("targets", site=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the package 'extra' adds to edgebench by its module 'extra', which cannot be "
        "imported: No module named 'nothing_of_that_name'\n"
    )
