"""The parts that families share: norms, activations, initializations; how they are put together."""

from edgebench.models.layers.blocks import check_image, conv_blocks, scale_last_norm
from edgebench.models.layers.composition import Layers, dropouts, normalized_conv
from edgebench.models.layers.options import (
    BATCH_NORM,
    DEFAULT_INIT,
    NO_NORM,
    RELU,
    ActivationOption,
    Count,
    Depth,
    DropoutScaling,
    Fraction,
    Initialized,
    Kernel,
    LastNormScale,
    NormOption,
    NormPosition,
    WidthMultiplier,
    scaled,
)

__all__ = [
    "BATCH_NORM",
    "DEFAULT_INIT",
    "NO_NORM",
    "RELU",
    "ActivationOption",
    "Count",
    "Depth",
    "DropoutScaling",
    "Fraction",
    "Initialized",
    "Kernel",
    "LastNormScale",
    "Layers",
    "NormOption",
    "NormPosition",
    "WidthMultiplier",
    "check_image",
    "conv_blocks",
    "dropouts",
    "normalized_conv",
    "scale_last_norm",
    "scaled",
]
