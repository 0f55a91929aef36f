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

NormOption = Annotated[Choice[Norm], NORMS]
ActivationOption = Annotated[Choice[Activation], ACTIVATIONS]
Initialized = Annotated[Choice[Initialization], INITIALIZATIONS]

BATCH_NORM = NORMS.choice("batch")
RELU = ACTIVATIONS.choice("relu")
DEFAULT_INIT = INITIALIZATIONS.choice("default")
"""What most families choose by default."""

LastNormScale = Literal["fan_in", "one"]
"""Where the scale of the norm before a dense layer begins: see `scale_last_norm`."""
