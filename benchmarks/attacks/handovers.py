"""Verifies hundreds of spoiled hand-overs, as a receiver does.

    python benchmarks/attacks/handovers.py --count 300 --seed 0

Each folder is made from its seed (`tests/hostile_handovers.py`). One that was changed in its files
and verifies all the same is printed as foreign, unless its digests and answers agree.
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
