"""What a study of 3,000 refused and 200 trained trials costs to open, to report and to show.

    python benchmarks/attacks/large_study.py

The record is written as a search leaves it, without the training; each reading is a process of its
own, of which the time and the most memory are printed.

Last printed, beside other processes:

    3,000 refused and 200 trained trials
    written: exit 0, 63.3 s (12.3 s of processor), 873 MB
    report, terminal: exit 0, 20.6 s (5.2 s of processor), 863 MB
    report --all: exit 0, 17.9 s (5.2 s of processor), 866 MB
    report --format json: exit 0, 26.5 s (5.6 s of processor), 864 MB
    what-if page: exit 0, 15.0 s (6.1 s of processor), 872 MB
    the page: 4.8 MB
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITER = "import sys, large_study; large_study.write(*map(int, sys.argv[1:3]), sys.argv[3])"


def write(refused: int, trained: int, folder: str) -> None:
    """Write the record into ``folder``/mlruns."""
    from mlflow_study import write_study
    from report_studies import crowded

    record = dataclasses.replace(crowded(trained, refused), study="large")
    (Path(folder) / "mlruns").mkdir()
    write_study(Path(folder) / "mlruns", record)


def measured(name: str, folder: Path, *words: str) -> None:
    """Run the command line once and print its time and memory."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests:{Path(__file__).parent}"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    print(
        f"{name}: exit {process.returncode}, {seconds:.1f} s "
        f"({usage.ru_utime + usage.ru_stime:.1f} s of processor), {usage.ru_maxrss / 1000:,.0f} MB"
    )


def main() -> None:
    """Write the record and read it in every way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refused", type=int, default=3_000)
    parser.add_argument("--trained", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{given.refused:,} refused and {given.trained:,} trained trials")
        measured("written", folder, "-c", WRITER, str(given.refused), str(given.trained), name)
        cli = ("-m", "edgebench.cli", "report", "large")
        measured("report, terminal", folder, *cli)
        measured("report --all", folder, *cli, "--all")
        measured("report --format json", folder, *cli, "--format", "json")
        measured("what-if page", folder, *cli, "-o", "page.html")
        print(f"the page: {(folder / 'page.html').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
