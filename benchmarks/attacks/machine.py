"""Runs `sweep`, `report` and `export` on machines that refuse: every end is one line.

    python benchmarks/attacks/machine.py

Needs root, for a file system of a few megabytes that fills up and for an unprivileged user.
Each case is a study of a few trials in a folder of its own; printed are the exit code and the last
line that was said. A case holds where the command ends with exit 2, says no traceback, and the
same command ends well once the machine is mended, with every trial that was finished before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
SWEEP = """
name: small
dataset: synthetic
method: grid
metrics: [{name: val/accuracy_best, goal: maximize}]
parameters:
  model.family: gap
  model.width: {values: [4, 5, 6]}
  model.blocks: 1
  train.epochs: 1
"""
COMMAND = [sys.executable, "-m", "edgebench.cli"]


def edgebench(folder: Path, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in ``folder`` as a user; in its own processes, as a user would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, env=environment, capture_output=True, text=True,
        check=False, user=user, group=user, extra_groups=[], timeout=300,
    )  # fmt: skip


def sweep(folder: Path, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the small sweep, or go on with it."""
    return edgebench(folder, "sweep", "sweep.yaml", "--quiet", "--device", "cpu", *words, user=user)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Yield a folder on a file system of its own."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    size = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Fill the disk of ``folder`` to its last byte; the file that does is returned."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            continue
    return path


class Verdicts:
    """What was said in each case, and whether it held."""

    def __init__(self) -> None:
        self.held = True

    def take(self, name: str, done: subprocess.CompletedProcess[str], *, expected: int = 2) -> None:
        """Print a case and judge it."""
        lines = done.stderr.strip().splitlines() or ["(nothing)"]
        errors = [line for line in lines if line.lower().startswith("error: ")]
        right = done.returncode == expected and "Traceback" not in done.stderr
        right &= expected == 0 or len(errors) == 1
        self.held &= right
        said = (errors or lines)[-1]
        if not right:
            print(done.stderr[-3000:])
        print(f"{'holds' if right else 'FAILS'}  {name}: exit {done.returncode}: {said[:300]}")


def fresh() -> Path:
    """Return a new folder with the sweep file, open to every user."""
    folder = Path(tempfile.mkdtemp(prefix="machine-"))
    folder.chmod(0o777)
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def full_disks(verdicts: Verdicts) -> None:
    """Fill the disk before the first trial and after it; then make space and go on."""
    with small_disk(64) as folder:
        (folder / "sweep.yaml").write_text(SWEEP)
        filler = fill(folder)
        verdicts.take("disk full before anything", sweep(folder))
        filler.unlink(missing_ok=True)
        verdicts.take("space made: one trial", sweep(folder, "--trials", "1"), expected=0)
        filler = fill(folder)
        verdicts.take("disk full between two trials", sweep(folder))
        verdicts.take("disk full: export", edgebench(folder, "export", "small:best", "-o", "out"))
        verdicts.take("disk full: report -o", edgebench(folder, "report", "small", "-o", "out.csv"))
        filler.unlink(missing_ok=True)
        verdicts.take("space made: the rest", sweep(folder), expected=0)
        done = edgebench(folder, "report", "small", "--format", "csv")
        finished = sum("finished" in line for line in done.stdout.splitlines())
        verdicts.held &= finished == 3
        print(f"       finished trials after the disk was full: {finished} of 3")


def _file(folder: Path) -> None:
    (folder / "mlruns").write_text("a file")


def _damaged(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "mlruns").mkdir(exist_ok=True)
        (folder / "mlruns" / name).write_bytes(content)

    return damage


def _torn(folder: Path) -> None:
    """Overwrite the middle of a store that holds a study."""
    done = sweep(folder, "--trials", "1")
    assert done.returncode == 0, done.stderr  # noqa: S101 - the case needs it
    path = folder / "mlruns" / "mlflow.db"
    content = bytearray(path.read_bytes())
    content[4096 : len(content) // 2] = bytes(len(content) // 2 - 4096)
    path.write_bytes(bytes(content))
    for rest in path.parent.glob("mlflow.db-*"):
        rest.unlink()


SPOILED: dict[str, Callable[[Path], None]] = {
    "mlruns is a file": _file,
    "mlflow.db is text": _damaged("mlflow.db", b"no database" * 500),
    "optuna.db is text": _damaged("optuna.db", b"no database" * 500),
    "mlflow.db torn": _torn,
}


def spoiled_stores(verdicts: Verdicts) -> None:
    """Stores that are none, or damaged."""
    for name, spoil in SPOILED.items():
        folder = fresh()
        spoil(folder)
        verdicts.take(name, sweep(folder))
        shutil.rmtree(folder)


def permissions(verdicts: Verdicts) -> None:
    """An unprivileged user where something may not be read or written."""
    folder = fresh()
    folder.chmod(0o555)
    verdicts.take("folder may not be written", sweep(folder, user=NOBODY))
    folder.chmod(0o777)
    (folder / "sweep.yaml").chmod(0)
    verdicts.take("sweep file may not be read", sweep(folder, user=NOBODY))
    (folder / "sweep.yaml").chmod(0o644)
    done = sweep(folder, "--trials", "1", user=NOBODY)
    verdicts.take("as nobody: one trial", done, expected=0)
    for path, mode, name in (
        (folder / "mlruns" / "mlflow.db", 0o444, "mlflow.db may not be written"),
        (folder / "mlruns" / "optuna.db", 0o444, "optuna.db may not be written"),
        (folder / "mlruns" / "mlflow.db", 0, "mlflow.db may not be read"),
        (folder / "mlruns" / "artifacts", 0o555, "artifacts may not be written"),
    ):
        before = path.stat().st_mode
        path.chmod(mode)
        os.chown(path, 0, 0)
        verdicts.take(name, sweep(folder, "--trials", "2", user=NOBODY))
        for mended in path.parent.glob(f"{path.name}*"):  # SQLite's -wal and -shm too
            os.chown(mended, NOBODY, NOBODY)
            mended.chmod(before)
    verdicts.take("permission given", sweep(folder, user=NOBODY), expected=0)
    out = ("export", "small:best", "-o", "/proc/out")
    verdicts.take("export into /proc", edgebench(folder, *out, user=NOBODY))
    shutil.rmtree(folder)


def main() -> None:
    """Run every case."""
    verdicts = Verdicts()
    for cases in (full_disks, spoiled_stores, permissions):
        cases(verdicts)
    print("all cases hold" if verdicts.held else "NOT all cases hold")
    sys.exit(0 if verdicts.held else 1)


if __name__ == "__main__":
    main()
