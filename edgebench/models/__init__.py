"""Model families and what their layers are made of; each member's options are its signature.

A family is ``family(input_shape, classes, *, option=default, ...) -> nn.Module``: it takes images
``[N, C, H, W]`` of ``input_shape`` (C, H, W) and returns logits ``[N, classes]``, and it raises
`EdgebenchError` where the images are too small for it. To add one, add one file to this folder;
to add a norm, an activation or an initialization, add one function to its file under ``layers``.
The sweep's axes, the command line and the contract tests follow from the signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgebench.registry import Registry

if TYPE_CHECKING:  # naming the families costs no import of PyTorch
    from torch import nn

__all__ = [
    "ACTIVATIONS",
    "INITIALIZATIONS",
    "MODELS",
    "NORMS",
    "Activation",
    "Family",
    "Initialization",
    "Norm",
]

_LAYERS = f"{__name__}.layers"

Family = Callable[..., "nn.Module"]
MODELS: Registry[Family] = Registry("model family", package=__name__)

Norm = Callable[..., "nn.Module"]
"""``norm(features, axes, *, option=default, ...)``: see `edgebench.models.layers.norms`."""
NORMS: Registry[Norm] = Registry("norm", package=_LAYERS)

Activation = Callable[..., "nn.Module"]
"""``activation(*, option=default, ...)``, a layer that keeps the shape of its input."""
ACTIVATIONS: Registry[Activation] = Registry("activation", package=_LAYERS)

Initialization = Callable[..., "nn.Module"]
"""``initialization(model, *, option=default, ...)`` draws the weights anew and returns it."""
INITIALIZATIONS: Registry[Initialization] = Registry("initialization", package=_LAYERS)
