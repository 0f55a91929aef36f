"""Random networks as firmware, compiled with sanitizers and compared with ONNX Runtime.

    python benchmarks/attacks/firmware_graphs.py --count 300 --seed 0

The network of a seed (`tests/firmware/random_networks.py`) is written as C in float32 or int8, by
one of the plans, compiled by ``cc`` with the address and undefined-behaviour sanitizers, and run on
four images. Float outputs are held to single precision's rounding, bytes to one step and ONNX
Runtime's own spread. One that differs, or that a sanitizer stops, is a foreign exception.

Last printed, for `--count 300 --seed 1000`:

    Networks as firmware: 300, seeds 1000 to 1299: clean 300, refused 0, foreign exceptions 0,
    crashes 0, hangs 0, negative figures 0; slowest 0.87 s (seed 1000), most memory 103 MB, 144 s
"""

from __future__ import annotations

import sys
from pathlib import Path

from onslaught import judged, main

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


def outcome(seed: int, folder: Path) -> tuple[str, str]:  # noqa: ARG001 - one signature
    """Compare the network of a seed with ONNX Runtime."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "firmware"))
    from random_networks import differs

    return judged(lambda: differs(seed, extra=SANITIZERS))


if __name__ == "__main__":
    main(__doc__, "firmware_graphs", "Networks as firmware", 300)
