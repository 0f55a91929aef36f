"""Profiles thousands of hostile ONNX files, as `profile` and `fit` do, and counts what happens.

    python benchmarks/attacks/onnx_files.py --count 5000 --seed 0

Each file is made from its seed (`tests/hostile_onnx.py`) and measured under one convention.

Last printed, for `--count 5000 --seed 90000`:

    ONNX files: 5,000, seeds 90000 to 94999: clean 695, refused 4,305, foreign exceptions 0,
    crashes 0, hangs 0, negative figures 0; slowest 0.16 s (seed 90000), most memory 69 MB, 5 s
"""

from __future__ import annotations

from pathlib import Path

from onslaught import judged, main


def outcome(seed: int, folder: Path) -> tuple[str, str]:  # noqa: ARG001 - one signature
    """Measure the file of a seed; the first seeds are attacks by name."""
    from hostile_onnx import NAMED, hostile

    from edgebench.footprint import Footprint, measure
    from edgebench.profiling import profile

    data = NAMED[seed]().SerializeToString() if 0 <= seed < len(NAMED) else hostile(seed)
    figures: list[Footprint] = []
    found, detail = judged(lambda: figures.append(measure(profile(data))))
    for one in figures:
        counted = (one.macs, one.macc, one.parameters, one.rom_bytes, one.ram_bytes)
        if min(counted) < 0:
            return "negative", str(counted)
    return found, detail


if __name__ == "__main__":
    main(__doc__, "onnx_files", "ONNX files", 5_000)
