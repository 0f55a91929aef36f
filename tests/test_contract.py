"""A package of one's own adds a member of every kind, and nothing else is edited.

The package is the examples of CONTRIBUTING.md, word for word, so that page cannot go stale.
"""

from __future__ import annotations

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
  train.loss: focal
  train.focus: 1.5
  train.augmentation: upside_down
  train.learning_rate: {values: [1e-9, 3e-2]}
  train.epochs: 2
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
def run(folder: Path) -> Run:
    """Return what runs the command line where the package is installed."""

    def started(*words: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(folder / "site"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "edgebench.cli", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return started


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
    stopped = rows_of(swept, 1e-9)
    assert [row["state"] for row in stopped] == ["pruned", "pruned"]
    for row in stopped:
        assert re.fullmatch(r"no better than a coin: \d\d%", row["reason"])
        assert not row["on_front"]
    numbers = sorted(row["trial"] for row in stopped)
    ours = [row["run_id"] for row in stopped]
    optuna = query(
        folder,
        "optuna",
        "select number from trials where state = 'PRUNED' order by number",
    )
    assert [number for (number,) in optuna] == numbers
    marks = ", ".join("?" * len(ours))
    statuses = query(
        folder, "mlflow", f"select status from runs where run_uuid in ({marks})", *ours
    )
    assert statuses == [("KILLED",), ("KILLED",)]
    tags = query(
        folder,
        "mlflow",
        f"select value from tags where key like '%reason%' and run_uuid in ({marks})",
        *ours,
    )
    assert sorted(value for (value,) in tags) == sorted(row["reason"] for row in stopped)
    epochs = query(
        folder,
        "mlflow",
        f"select count(*) from metrics where key = 'val/accuracy' and run_uuid in ({marks})",
        *ours,
    )
    assert epochs == [(2,)]  # one epoch of each


def query(folder: Path, store: str, statement: str, *values: str) -> list[tuple[Any, ...]]:
    """Ask a store itself."""
    connection = sqlite3.connect(folder / "mlruns" / f"{store}.db")
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("command", "column", "name"),
    [
        ("models", "family", "attentive"),
        ("datasets", "data set", "brightness"),
        ("targets", "name", "tiny-board"),
    ],
)
def test_added_members_are_listed(run: Run, command: str, column: str, name: str) -> None:
    """Beside the package's own."""
    done = run(command, "--format", "json")
    assert done.returncode == 0, done.stderr
    listed = {row[column] for row in json.loads(done.stdout)}
    assert name in listed
    assert len(listed) > 1


def test_an_added_convention_and_board_profile_an_added_family(run: Run) -> None:
    """Its figures are its own, its board is checked."""
    done = run(
        "profile", "attentive", "--convention", "st-padded", "--target", "tiny-board",
        "--input", "1x8x8", "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["convention"] == "st-padded"
    assert "a table of offsets" in found["provenance"]
    assert (found["target"]["name"], found["target"]["fits"]) == ("tiny-board", True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "early_stop=coyn",
            "early_stop: unknown early stopping rule 'coyn'; did you mean 'coin'?",
        ),
        (
            "train.optimizer=nadm",
            "parameters.train.optimizer: unknown optimizer 'nadm'; did you mean 'nadam'?",
        ),
    ],
)
def test_an_added_name_is_the_nearest_one(run: Run, setting: str, message: str) -> None:
    """A mistake is answered with the added members in mind."""
    done = run("sweep", "extra.yaml", "--set", setting)
    assert done.returncode == 2
    assert f"error: {message}" in done.stderr.splitlines()
