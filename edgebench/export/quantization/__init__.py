"""Quantization: static int8 by calibration on training images, the whole graph.

A float32 graph of `edgebench.export` goes in, and a QDQ graph with per-channel int8 weights and
int8 activations comes out, with the same bytes each time. Nothing here needs PyTorch.
"""

from edgebench.export.quantization.calibration import METHODS, Calibration, Method
from edgebench.export.quantization.candidates import (
    AUTO,
    CANDIDATES,
    Choice,
    best,
    candidates,
)
from edgebench.export.quantization.qdq import (
    COUNT,
    FloatOperator,
    check_count,
    evenly_spaced,
    float_operators,
    quantize,
    untrained_int8_graph,
)

__all__ = [
    "AUTO",
    "CANDIDATES",
    "COUNT",
    "METHODS",
    "Calibration",
    "Choice",
    "FloatOperator",
    "Method",
    "best",
    "candidates",
    "check_count",
    "evenly_spaced",
    "float_operators",
    "quantize",
    "untrained_int8_graph",
]
