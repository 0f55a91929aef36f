"""The command line as a user meets it: help, exit codes, messages, streams."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command import edgebench
from conftest import Stores

from edgebench.cli import COMMANDS

SWEEP = """
name: tiny
dataset: synthetic
method: grid
metrics:
  - {name: val/accuracy_best, goal: maximize}
  - {name: footprint/rom_bytes, goal: minimize}
parameters:
  model.family: {values: [vgg, gap]}
  model.width: 4
  model.blocks: 2
  train.epochs: 1
"""


def test_help_names_every_command(tmp_path: Path) -> None:
    """Each with the first line of its module."""
    done = edgebench("--help", folder=tmp_path)
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name}" in done.stdout


HEAVY = ("torch", "mlflow", "optuna", "onnx", "numpy", "pydantic", "matplotlib", "rich")


def test_help_imports_nothing_heavy() -> None:
    """Not of any command either: what takes long is imported by the command that needs it."""
    code = (
        "import sys\n"
        "from edgebench.cli import COMMANDS, cli\n"
        "heavy = {}\n"
        "for words in [[], *([name] for name in COMMANDS)]:\n"
        "    cli.main([*words, '--help'], standalone_mode=False)\n"
        f"    heavy[' '.join(words)] = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print({name: found for name, found in heavy.items() if found}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "{}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, tmp_path: Path) -> None:
    """And its help leaves nothing behind."""
    done = edgebench(name, "--help", folder=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert "Usage:" in done.stdout


def seconds(*words: str) -> float:
    """Return what a Python program takes of a processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once() -> None:
    """In less than two and a half times what Python and click take to start: 0.06 s when idle.

    Both are measured side by side, since a busy machine slows both; the best of five. That no
    command's help imports more than another's is said above.
    """
    pairs = [
        (seconds("-c", "import click"), seconds("-m", "edgebench.cli", "sweep", "--help"))
        for _ in range(5)
    ]
    start, helped = (min(times) for times in zip(*pairs, strict=True))
    assert helped < 2.5 * start


def test_brief_commands_collect_no_garbage(tmp_path: Path) -> None:
    """Neither while they import PyTorch nor at the end: a third of their time. Others do."""
    code = (
        "import gc, sys\n"
        "from edgebench.cli import main\n"
        "found = []\n"
        "gc.callbacks.append(lambda phase, info: found.append(info['generation']))\n"
        "sys.argv = ['edgebench', *sys.argv[1:]]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    print(end.code, len(found), gc.get_freeze_count() > 10_000, gc.isenabled())\n"
    )
    ends = []
    for words in (["models"], ["datasets"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        ends.append(done.stdout.splitlines()[-1].split())
    assert ends[0] == ["0", "0", "True", "True"]
    assert ends[1][0] == "0"
    assert int(ends[1][1]) > 0
    assert ends[1][2:] == ["False", "True"]


def test_an_unknown_command_suggests_the_nearest(tmp_path: Path) -> None:
    """Exit 2, one line."""
    done = edgebench("swep", folder=tmp_path)
    assert done.returncode == 2
    assert "unknown command 'swep'; did you mean 'sweep'?" in done.stderr


def test_a_command_without_its_packages_says_how_to_get_them(tmp_path: Path) -> None:
    """A light installation has no MLflow; exit 2, one line, nothing made."""
    code = (
        "import sys\n"
        "sys.modules['mlflow'] = None\n"
        "from edgebench.cli import main\n"
        "sys.argv = ['edgebench', 'export', 'study:best', '-o', 'm.onnx']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: this command needs the package 'mlflow', which is not installed: pip install "
        "'edgebench[search]' brings everything that trains, searches and records\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_three_mistakes_names_all_and_creates_nothing(tmp_path: Path) -> None:
    """Paths and nearest names, exit 2, no traceback, no stores."""
    bad = Path(__file__).parents[1] / "golden" / "sweeps" / "three.yaml"
    done = edgebench("sweep", str(bad), folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    expected = bad.with_suffix(".txt").read_text().splitlines()
    assert done.stderr.splitlines() == [f"error: {line}" for line in expected]
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_read_creates_nothing(tmp_path: Path) -> None:
    """The stores are made when there is something to store."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "s.yaml").write_text(SWEEP)
    words = ["--dataset", "folder:empty", "--pool", "local"]  # found from where the pool starts
    done = edgebench("sweep", "s.yaml", *words, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'empty' holds 0 class folders with images")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "s.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pool", "locl"], "unknown pool 'locl'; did you mean 'local'?"),
        (
            ["--pool", "local://host"],
            "--pool local://host: the local pool takes no address",
        ),
        (
            ["--pool", "local://"],
            "--pool local://: write the address after '://', or 'local' alone",
        ),
        (
            ["--set", "early_stop=non"],
            "unknown early stopping rule 'non'; did you mean 'none'?",
        ),
        (
            ["--set", "early_stop=3"],
            "early_stop: 3 should be a valid string",
        ),
    ],
)
def test_an_unknown_pool_or_rule_creates_nothing(
    words: list[str], message: str, tmp_path: Path
) -> None:
    """It is said before a process is started or a store is made."""
    (tmp_path / "s.yaml").write_text(SWEEP)
    done = edgebench("sweep", "s.yaml", *words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {message}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def test_sweep_and_report_print_the_same_json(stores: Stores, tmp_path: Path) -> None:
    """JSON goes to stdout alone; the report reads the record that the sweep wrote."""
    (tmp_path / "s.yaml").write_text(SWEEP)
    swept = edgebench("sweep", "s.yaml", "--format", "json", folder=tmp_path)
    assert swept.returncode == 0, swept.stderr
    reported = edgebench("report", "tiny", "--format", "json", folder=tmp_path)
    first, second = json.loads(swept.stdout), json.loads(reported.stdout)
    assert first == second
    assert list(first) == ["study", "objectives", "rows"]
    assert {row["state"] for row in first["rows"]} == {"finished"}
    assert list(first["rows"][0]) == [
        "trial", "run_id", "state", "reason", "params", "metrics", "on_front",
    ]  # fmt: skip
    assert "edgebench ui tiny" in swept.stderr
    assert "[2/2] trial-0001-gap" in swept.stderr
    assert stores.folder.is_dir()


def test_train_runs_one_configuration_once(stores: Stores, tmp_path: Path) -> None:
    """The same words again are answered from the record; others are added."""
    words = ["train", "gap", "--dataset", "synthetic", "--set", "train.epochs=1", "--set"]
    first = edgebench(*words, "model.width=4", "--format", "json", folder=tmp_path)
    again = edgebench(*words, "model.width=4", "--format", "json", folder=tmp_path)
    other = edgebench(*words, "model.width=6", "--format", "json", folder=tmp_path)
    assert (first.returncode, again.returncode, other.returncode) == (0, 0, 0), other.stderr
    runs = [json.loads(done.stdout)["rows"] for done in (first, again, other)]
    assert [len(rows) for rows in runs] == [1, 1, 1]
    assert runs[0] == runs[1]
    assert runs[0][0]["run_id"] != runs[2][0]["run_id"]
    assert stores.folder.is_dir()


def test_nothing_feasible_is_exit_1(stores: Stores, tmp_path: Path) -> None:
    """The table is printed all the same: it says why."""
    (tmp_path / "s.yaml").write_text(SWEEP)
    done = edgebench("sweep", "s.yaml", "--set", "budget.rom_bytes=1", folder=tmp_path)
    assert done.returncode == 1
    assert "refused: ROM " in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "error: no trial of 'tiny' is feasible; the table says why"
    )
    assert stores.folder.is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "none.yaml"], "error: there is no file 'none.yaml'"),
        (
            ["train", "vg"],
            "error: parameters.model.family: unknown model family 'vg'; did you mean 'vgg'?",
        ),
        (
            ["report", "x"],
            (
                "error: there is no record at 'mlruns/mlflow.db'; run 'edgebench sweep' first, "
                "from this folder, or say where it is with --tracking-uri"
            ),
        ),
    ],
)
def test_the_users_mistakes_are_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    """Exit 2, nothing made."""
    done = edgebench(*words, folder=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (2, message)
    assert list(tmp_path.iterdir()) == []


def test_lists_name_their_sources(tmp_path: Path) -> None:
    """``models`` has every option, ``datasets`` every source."""
    models = edgebench("models", "--format", "json", folder=tmp_path)
    assert {"family": "vgg", "option": "model.hidden"}.items() <= {
        key: value for row in json.loads(models.stdout) for key, value in row.items()
        if row["family"] == "vgg" and row["option"] == "model.hidden"
    }.items()  # fmt: skip
    sets = {row["data set"]: row for row in json.loads(
        edgebench("datasets", "--format", "json", folder=tmp_path).stdout)}  # fmt: skip
    assert "Krizhevsky" in sets["cifar10"]["source"]
