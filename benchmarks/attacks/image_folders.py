"""Loads hundreds of hostile image folders, as a worker does, twice: as they are, and skipping.

    python benchmarks/attacks/image_folders.py --count 800 --seed 0

Each folder is made from its seed (`tests/hostile_folders.py`).

Last printed, for `--count 800 --seed 90000`:

    image folders: 800, seeds 90000 to 90799: clean 139, refused 661, foreign exceptions 0,
    crashes 0, hangs 0, negative figures 0; slowest 2.79 s (seed 90000), most memory 776 MB, 33 s
"""

from __future__ import annotations

from pathlib import Path

from onslaught import judged, main


def outcome(seed: int, folder: Path) -> tuple[str, str]:
    """Load the folder of a seed; broken images are left out in every second."""
    from hostile_folders import hostile

    from edgebench import data

    (folder / "images").mkdir()
    name = hostile(seed, folder / "images")
    options = data.DataOptions(skip_broken=seed % 2 == 1)
    return judged(
        lambda: data.load(name, data_dir=folder / "cache", options=options, identify=True)
    )


if __name__ == "__main__":
    main(__doc__, "image_folders", "image folders", 800)
