"""Set the project up and run it, with nothing but Python 3.11 and pip.

python3 develop.py quickstart   set up, then search the digits to a trade-off table
python3 develop.py test         set up, then run the tests (further words go to pytest)
python3 develop.py check        set up, then ruff, mypy and the tests, as CI does
python3 develop.py gpu          set up, then the tests and the benchmark of a CUDA device
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PROGRAMS = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
COMMANDS = {
    "quickstart": [["edgebench", "sweep", "sweeps/quickstart.yaml"]],
    "test": [["pytest", "-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]],
    "lint": [["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--strict", "edgebench"]],
}
COMMANDS["gpu"] = [
    ["pytest", "-m", "gpu"],
    ["python", "benchmarks/training.py", "--device", "cuda", "--batches", "128,512"],
]
COMMANDS["check"] = [*COMMANDS["lint"], *COMMANDS["test"]]


def set_up() -> None:
    """Make ``.venv`` and install the pinned versions, unless that is done already."""
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        wanted.update((ROOT / name).read_bytes())
    stamp = ENVIRONMENT / "installed"
    if stamp.is_file() and stamp.read_text() == wanted.hexdigest():
        return
    print("setting up .venv: a few minutes, once", file=sys.stderr)  # noqa: T201 - a script
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(["python", *words, "-c", "constraints.txt", "-e", ".[dev]"])
    stamp.write_text(wanted.hexdigest())


def run(words: list[str]) -> None:
    """Run a program of the environment from the project's root; exit with its status if not 0."""
    done = subprocess.run([str(PROGRAMS / words[0]), *words[1:]], cwd=ROOT, check=False)  # noqa: S603 - our own
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Set up and run the command given."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python3 develop.py {'|'.join(COMMANDS)}")
    if sys.version_info < (3, 11):  # noqa: UP036 - the one file that an older Python may start
        sys.exit(f"edgebench needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    set_up()
    *first, last = COMMANDS[sys.argv[1]]
    for words in first:
        run(words)
    run([*last, *sys.argv[2:]])


if __name__ == "__main__":
    main()
