"""Model families: each file of this folder registers one, and its options are its signature.

A family is ``family(input_shape, classes, *, option=default, ...) -> nn.Module``: it takes images
``[N, C, H, W]`` of ``input_shape`` (C, H, W) and returns logits ``[N, classes]``. To add one, add
one file; the sweep's axes, the command line and the contract tests follow from the signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgebench.registry import Registry

if TYPE_CHECKING:  # naming the families costs no import of PyTorch
    from torch import nn

__all__ = ["MODELS", "Family"]

Family = Callable[..., "nn.Module"]
MODELS: Registry[Family] = Registry("model family", package=__name__)
