"""Parity: the ladder from PyTorch to int8, and the operator at which a broken rung breaks."""

from edgebench.export.parity.divergence import Divergence, onnx_divergence, torch_divergence
from edgebench.export.parity.ladder import (
    Ladder,
    Limits,
    Rung,
    compare,
    failures,
    require_passed,
    run_ladder,
)

__all__ = [
    "Divergence",
    "Ladder",
    "Limits",
    "Rung",
    "compare",
    "failures",
    "onnx_divergence",
    "require_passed",
    "run_ladder",
    "torch_divergence",
]
