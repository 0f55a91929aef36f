"""The command line as a function of this process: what it prints, and its exit code.

A process of its own imports PyTorch and MLflow anew, for seconds. The tests that need one, for
signals, kills, and what is imported when, start it themselves.
"""

from __future__ import annotations

import contextlib
import gc
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import warm_pool  # noqa: F401 - registers the pool

from edgebench.cli import main


@dataclass(frozen=True)
class Finished:
    """What a finished process would have left; named as `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def edgebench(*words: str, folder: Path) -> Finished:
    """Run the command line in ``folder``; a sweep's trials go to the warm pool, if to no other."""
    if words[0] in ("finalize", "sweep", "train") and not {"--help", "--pool"} & {*words}:
        words = (*words, "--pool", "warm")
    with (
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", ["edgebench", *words]),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code
        finally:
            gc.unfreeze()  # this process goes on where a command would end
    assert isinstance(status, int)
    return Finished(status, out.getvalue(), err.getvalue())
