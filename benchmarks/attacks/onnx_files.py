"""Profiles thousands of hostile ONNX files, as `profile` and `fit` do, and counts what happens.

    python benchmarks/attacks/onnx_files.py --files 5000 --seed 0

Each file is made from its seed (`tests/hostile_onnx.py`) and measured under one convention in a
worker process. A file that takes over 20 s is a hang: its worker is killed and the next one goes on
behind it. Printed: clean figures, refusals in one message, foreign exceptions, hangs, negative
figures, and the largest memory of a worker.

Last printed, for `--files 3000 --seed 100000` (beside other processes):

    files 3000, seeds 100000 to 102999: clean 433, refused 2567, foreign exceptions 0, crashes 0,
    hangs 0, negative figures 0; slowest 0.57 s (seed 100000), most memory 66 MB, 25 s
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 20


def worker(first: int, last: int) -> None:
    """Measure the files ``first`` to ``last`` and print a JSON line for each."""
    sys.path.insert(0, str(ROOT / "tests"))
    from hostile_onnx import NAMED, hostile

    for seed in range(first, last):
        named = 0 <= seed < len(NAMED)
        data = NAMED[seed]().SerializeToString() if named else hostile(seed)
        start = time.perf_counter()
        outcome, detail = _outcome(data)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        row = [seed, outcome, detail, time.perf_counter() - start, used]
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


def _outcome(data: bytes) -> tuple[str, str]:
    from edgebench.errors import EdgebenchError
    from edgebench.footprint import measure
    from edgebench.profiling import profile

    try:
        found = measure(profile(data))
    except EdgebenchError as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001 - the point of the run
        return "foreign", f"{type(error).__name__}: {error}"[:200]
    figures = (found.macs, found.macc, found.parameters, found.rom_bytes, found.ram_bytes)
    return ("negative", str(figures)) if min(figures) < 0 else ("clean", "")


def attack(files: int, seed: int) -> None:
    """Run the files ``seed`` to ``seed + files`` and print the counts."""
    outcomes: Counter[str] = Counter()
    worst, slowest, most = [], (0.0, 0), 0
    next_, last = seed, seed + files
    start = time.perf_counter()
    while next_ < last:
        command = [sys.executable, __file__, "--worker", str(next_), str(last)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            selector = DefaultSelector()
            selector.register(process.stdout, EVENT_READ)
            while next_ < last:
                line = process.stdout.readline() if selector.select(HANG_SECONDS) else None
                if not line:
                    outcomes["hang" if line is None else "crash"] += 1
                    worst.append((next_, "hang" if line is None else "crash", ""))
                    process.kill()
                    next_ += 1
                    break
                number, outcome, detail, seconds, used = json.loads(line)
                outcomes[outcome] += 1
                slowest, most = max(slowest, (seconds, number)), max(most, used)
                if outcome not in ("clean", "refused"):
                    worst.append((number, outcome, detail))
                next_ = number + 1
    for row in worst[:20]:
        print(*row)
    print(
        f"files {files}, seeds {seed} to {last - 1}: clean {outcomes['clean']}, refused "
        f"{outcomes['refused']}, foreign exceptions {outcomes['foreign']}, crashes "
        f"{outcomes['crash']}, hangs {outcomes['hang']}, negative figures {outcomes['negative']}; "
        f"slowest {slowest[0]:.2f} s (seed {slowest[1]}), most memory {most / 1e6:.0f} MB, "
        f"{time.perf_counter() - start:.0f} s"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", type=int, nargs=2, metavar=("FIRST", "LAST"))
    given = parser.parse_args()
    if given.worker:
        worker(*given.worker)
    else:
        attack(given.files, given.seed)


if __name__ == "__main__":
    main()
