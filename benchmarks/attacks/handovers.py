"""Verifies hundreds of spoiled hand-overs, as a receiver does.

    python benchmarks/attacks/handovers.py --count 300 --seed 0

Each folder is made from its seed (`tests/hostile_handovers.py`). One that was changed in its files
and verifies all the same is printed as foreign, unless its digests and answers agree.

Last printed, for `--count 120 --seed 70000`:

    hand-overs: 120, seeds 70000 to 70119: clean 16, refused 104, foreign exceptions 0, crashes 0,
    hangs 0, negative figures 0; slowest 10.45 s (seed 70059), most memory 1,336 MB, 57 s
"""

from __future__ import annotations

from pathlib import Path

from onslaught import judged, main


def outcome(seed: int, folder: Path) -> tuple[str, str]:
    """Verify the folder of a seed."""
    from hostile_handovers import hostile

    from edgebench.export import Verification, verify

    same = hostile(seed, folder / "handover")
    verified: list[Verification] = []
    found, detail = judged(lambda: verified.append(verify(folder / "handover")))
    if any(one.passed for one in verified) and not same:
        return "clean", "passed: the files agree with each other"
    return found, detail


if __name__ == "__main__":
    main(__doc__, "handovers", "hand-overs", 300)
