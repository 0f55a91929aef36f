"""The types of the options that families share: their bounds, and what they choose from."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt

from edgebench.models import (
    ACTIVATIONS,
    INITIALIZATIONS,
    NORMS,
    Activation,
    Initialization,
    Norm,
)
from edgebench.registry import Choice

Count = Annotated[int, Ge(1)]
Fraction = Annotated[float, Ge(0.0), Lt(1.0)]
Depth = Annotated[int, Ge(1), Le(8)]

Kernel = Literal[1, 3, 5, 7]
"""Height and width of a convolution's filters; odd, so that padding keeps the image's size."""

NormOption = Annotated[Choice[Norm], NORMS]
ActivationOption = Annotated[Choice[Activation], ACTIVATIONS]
Initialized = Annotated[Choice[Initialization], INITIALIZATIONS]

BATCH_NORM = NORMS.choice("batch")
NO_NORM = NORMS.choice("none")
RELU = ACTIVATIONS.choice("relu")
DEFAULT_INIT = INITIALIZATIONS.choice("default")
"""What most families choose by default."""


def scaled(count: int, multiplier: float) -> int:
    """Return ``count`` times ``multiplier``, rounded, at least 1."""
    return max(1, round(count * multiplier))


NormPosition = Literal["before", "after"]
"""Where the norm stands: before the activation or after it."""
DropoutScaling = Literal["inverted", "unscaled"]
"""Whether training divides what it keeps by the share that it keeps."""
WidthMultiplier = Annotated[float, Ge(0.0625), Le(8.0)]
"""What a network's own numbers of filters and features are multiplied by."""
LastNormScale = Literal["fan_in", "one"]
"""Where the scale of the norm before a dense layer begins: see `scale_last_norm`."""
