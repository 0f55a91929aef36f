"""What the machine refuses is one line and exit 2; what is our own fault keeps its traceback."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from command import edgebench

from edgebench.cli._machine import refusal

# MLflow's own use of SQLAlchemy, on import.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def wrapped(cause: Exception) -> Exception:
    """Return an exception as stores raise it, with its cause two levels below."""
    try:
        try:
            raise cause
        except type(cause) as error:
            raise RuntimeError("a driver") from error
    except RuntimeError as error:
        return ValueError(error)


KEPT = "what was finished is kept, and the same command goes on"
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.csv")
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
NO_STORE = "a store is no SQLite database: restore it from a copy, or move it away"


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (FULL, f"'out.csv': the disk is full: make space; {KEPT} (No space left on device)"),
        (READ_ONLY, "the file system is read-only: choose another folder (Read-only file system)"),
        (
            sqlite3.OperationalError("database or disk is full"),
            f"the disk is full: make space; {KEPT} (database or disk is full)",
        ),
        (
            sqlite3.DatabaseError("file is not a database"),
            f"{NO_STORE} (file is not a database)",
        ),
    ],
)
def test_the_cause_is_found_behind_what_wraps_it(cause: Exception, said: str) -> None:
    """And says what to do about it."""
    assert refusal(cause) == refusal(wrapped(cause)) == said


def test_our_own_faults_are_none_of_the_machines() -> None:
    """They are to be seen whole."""
    for error in (
        ValueError("x"),
        KeyError("x"),
        OSError("no number"),
        sqlite3.Error("near SELECT"),
    ):
        assert refusal(error) is None


def _file(folder: Path) -> None:
    (folder / "mlruns").write_text("a file")


def _text(folder: Path) -> None:
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "mlflow.db").write_text("no database" * 500)


def _folder(folder: Path) -> None:
    (folder / "mlruns" / "mlflow.db").mkdir(parents=True)


@pytest.mark.parametrize("spoil", [_file, _text, _folder])
def test_a_store_that_is_none(tmp_path: Path, spoil: object) -> None:
    """Of the command that reads it: one line, and the store is left as it was."""
    assert callable(spoil)
    spoil(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = edgebench("report", "nobody", folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
