"""Reads thousands of hostile sweep files, as `sweep` does before it begins.

    python benchmarks/attacks/sweep_files.py --count 5000 --seed 0

Each file is made from its seed (`tests/hostile_sweeps.py`).

Last printed, for `--count 5000 --seed 70000`:

    sweep files: 5,000, seeds 70000 to 74999: clean 330, refused 4,670, foreign exceptions 0,
    crashes 0, hangs 0, negative figures 0; slowest 1.55 s (seed 70000), most memory 616 MB, 108 s
"""

from __future__ import annotations

from pathlib import Path

from onslaught import judged, main


def outcome(seed: int, folder: Path) -> tuple[str, str]:
    """Read the file of a seed."""
    from hostile_sweeps import hostile

    from edgebench import load_sweep

    path = folder / "sweep.yaml"
    path.write_bytes(hostile(seed))
    return judged(lambda: load_sweep(path))


if __name__ == "__main__":
    main(__doc__, "sweep_files", "sweep files", 5_000)
