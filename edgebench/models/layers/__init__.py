"""The parts that families share: norms, activations, initializations; how they are put together."""

from edgebench.models.layers.blocks import conv_blocks, scale_last_norm
from edgebench.models.layers.options import (
    BATCH_NORM,
    DEFAULT_INIT,
    RELU,
    ActivationOption,
    Count,
    Depth,
    Fraction,
    Initialized,
    LastNormScale,
    NormOption,
)

__all__ = [
    "BATCH_NORM",
    "DEFAULT_INIT",
    "RELU",
    "ActivationOption",
    "Count",
    "Depth",
    "Fraction",
    "Initialized",
    "LastNormScale",
    "NormOption",
    "conv_blocks",
    "scale_last_norm",
]
