"""docs/search.md is kept true: its commands run, its table of states is the code's."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import edgebench
from conftest import Stores

from edgebench import yaml12
from edgebench.record import State
from edgebench.search.sampler import OPTUNA_STATES
from edgebench.space import build
from edgebench.tracking.runs import STATUS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_parts_of_sweep_files_are_valid() -> None:
    """What is shown beyond the first file is a part of one."""
    parts = blocks("yaml")[1:]
    base = {
        "name": "part",
        "method": "random",
        "run_cap": 2,
        "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
        "parameters": {"model.family": "gap"},
    }
    swept = [build({**base, **yaml12.parse(part, "docs/search.md")}) for part in parts]
    assert "variant" in swept[0].varied
    assert any(axis.around for axis in swept[1].axes)


def blocks(language: str) -> list[str]:
    """Return the page's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_and_the_notebook_run(stores: Stores, tmp_path: Path) -> None:
    """In order, as a reader types them; then the notebook goes on with the same study."""
    sweep = blocks("yaml")[0]
    (tmp_path / "my.yaml").write_text(sweep)
    trained = []
    for line in [line for block in blocks("sh") for line in block.splitlines()]:
        program, *words = shlex.split(line, comments=True)
        assert program == "edgebench"
        done = edgebench(*words, folder=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        trained.append((line, done.stdout.count(" yes"), done.stderr.count(" in ")))
    rows = json.loads(done.stdout)["rows"]
    states = [row["state"] for row in rows]
    assert states.count("finished") == 3
    assert [shown for _, shown, _ in trained[:4]] == [2, 2, 3, 3]  # candidates that fit
    [notebook] = blocks("python")
    notebook += "print(len(frame), sorted(front) == sorted(frame.name[frame.on_front]))\n"
    done = subprocess.run(
        [sys.executable, "-"], cwd=tmp_path, input=notebook, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(len(rows)), "True"]
    assert stores.folder.is_dir()


@pytest.mark.parametrize("state", State)
def test_the_table_of_states_is_the_codes(state: State) -> None:
    """Each state with what Optuna and MLflow say."""
    [row] = re.findall(rf"^\| {state} \|.*$", PAGE, re.MULTILINE)
    *_, optuna, mlflow, _ = [cell.strip() for cell in row.split("|")]
    assert optuna == f"`{OPTUNA_STATES[state].name}`"
    if state in STATUS:
        assert mlflow == f"a run, `{STATUS[state]}`"


def test_the_numbers_are_the_codes() -> None:
    """Ten refused candidates a run, two attempts, two seconds; eight that differ."""
    from edgebench.search.coordinator import REFUSALS_PER_RUN
    from edgebench.search.dispatcher import ATTEMPTS
    from edgebench.search.promise import FIRST, MEASURED
    from edgebench.search.rungs import SHARES
    from edgebench.search.sampler import OFFERED
    from edgebench.tracking.trials import FLUSH_SECONDS

    assert (REFUSALS_PER_RUN, ATTEMPTS, FLUSH_SECONDS) == (10, 2, 2.0)
    assert (FIRST, OFFERED, MEASURED, SHARES) == (8, 500, 60, (1 / 8, 1 / 4, 1 / 2))
    for said in (
        "up to ten of them a run",
        "begun anew, once",
        "every two seconds",
        "The first eight",
        "up to 500 candidates at a time, with at most 60 networks",
        "an eighth, a quarter and half",
    ):
        assert said in PAGE
