"""Model families: each file of this folder registers one, and its options are its signature.

A family is ``family(input_shape, classes, *, option=default, ...) -> nn.Module``: it takes images
``[N, C, H, W]`` of ``input_shape`` (C, H, W) and returns logits ``[N, classes]``. To add one, add
one file; the sweep's axes, the command line and the contract tests follow from the signature.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from torch import nn

from edgebench.registry import Registry

Family = Callable[..., nn.Module]
MODELS: Registry[Family] = Registry("model family")

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
