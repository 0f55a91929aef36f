"""Runs an attack seed by seed in a worker process, and counts what happens to each input.

An attack is a module of this folder with ``outcome(seed, folder)``, which makes the input of a
seed, gives it to edgebench and returns what became of it (one of `OUTCOMES`) and a detail. An input
that takes over `HANG_SECONDS` is a hang: its worker is killed and the next one goes on behind it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 20
OUTCOMES = ("clean", "refused", "foreign", "negative")
"""Taken; one message of ours; an exception that is not ours; figures below zero."""


def judged(work: Callable[[], object]) -> tuple[str, str]:
    """Return what became of one call into edgebench."""
    from edgebench.errors import EdgebenchError

    try:
        work()
    except EdgebenchError as error:
        lines = max(len(mistake.splitlines()) for mistake in error.mistakes)
        found = "refused" if lines == 1 and len(str(error)) < 30_000 else "foreign"
        return found, str(error)[:200]
    except Exception as error:  # noqa: BLE001 - the point of the run
        return "foreign", f"{type(error).__name__}: {error}"[:200]
    return "clean", ""


def worker(attack: str, first: int, last: int) -> None:
    """Try the seeds ``first`` to ``last`` and print a JSON line for each."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    outcome = importlib.import_module(attack).outcome
    for seed in range(first, last):
        folder = Path(tempfile.mkdtemp(prefix="attack-"))
        start = time.perf_counter()
        try:
            found, detail = outcome(seed, folder)
        finally:
            seconds = time.perf_counter() - start
            shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.write(json.dumps([seed, found, detail, seconds, _peak()]) + "\n")
        sys.stdout.flush()


def _peak() -> int:
    """Return the most memory that this process and its children ever held, in bytes."""
    import resource

    status = Path("/proc/self/status").read_text(encoding="utf-8")
    own = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    return 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


class Tally:
    """What became of the inputs so far."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.worst: list[tuple[int, str, str]] = []
        self.slowest = (0.0, 0)
        self.most = 0

    def take(self, line: str) -> int:
        """Count one answered seed and return it."""
        seed, outcome, detail, seconds, used = json.loads(line)
        self.outcomes[outcome] += 1
        self.slowest, self.most = max(self.slowest, (seconds, seed)), max(self.most, used)
        if outcome not in ("clean", "refused"):
            self.worst.append((seed, outcome, detail))
        return int(seed)

    def lost(self, seed: int, how: str) -> None:
        """Count a seed that was not answered: a ``hang`` or a ``crash``."""
        self.outcomes[how] += 1
        self.worst.append((seed, how, ""))

    def said(self, what: str, first: int, last: int, seconds: float) -> str:
        """Return the lines that are printed at the end."""
        of = self.outcomes
        counts = (
            f"{what}: {last - first:,}, seeds {first} to {last - 1}: clean {of['clean']:,}, "
            f"refused {of['refused']:,}, foreign exceptions {of['foreign']}, crashes "
            f"{of['crash']}, hangs {of['hang']}, negative figures {of['negative']}; slowest "
            f"{self.slowest[0]:.2f} s (seed {self.slowest[1]}), most memory "
            f"{self.most / 1e6:,.0f} MB, {seconds:.0f} s"
        )
        worst = [f"  seed {seed}: {outcome} {detail}" for seed, outcome, detail in self.worst[:20]]
        return "\n".join([*worst, counts])


def attack(name: str, what: str, first: int, last: int) -> bool:
    """Try the seeds ``first`` to ``last`` of an attack, print the counts; tell whether all held."""
    tally, seed, start = Tally(), first, time.perf_counter()
    while seed < last:
        command = [sys.executable, __file__, name, str(seed), str(last)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            selector = DefaultSelector()
            selector.register(process.stdout, EVENT_READ)
            while seed < last:
                line = process.stdout.readline() if selector.select(HANG_SECONDS) else None
                if not line:
                    tally.lost(seed, "hang" if line is None else "crash")
                    process.kill()
                    seed += 1
                    break
                seed = tally.take(line) + 1
    print(tally.said(what, first, last, time.perf_counter() - start))
    return not tally.worst


def main(doc: str | None, name: str, what: str, count: int) -> None:
    """Run an attack as its module's program."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(0 if attack(name, what, given.seed, given.seed + given.count) else 1)


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
