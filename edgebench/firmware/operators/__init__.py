"""Generators: each file of this folder registers how one kind of operator is written as C.

A generator takes a `Layer` and returns the statements of its function; the kernels that it calls
are C files of the folder ``kernels``. It raises `Unsupported` where it cannot write the row.
To add an operator, add one file that calls ``GENERATORS.add`` with the name of the ONNX operator;
it reads its tensors by the layout that the plan gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgebench.firmware.layer import Layer
from edgebench.registry import Registry

__all__ = ["GENERATORS", "Generator"]


@dataclass(frozen=True)
class Generator:
    """How an operator is written: ``write`` returns the statements of its function.

    ``limits`` tells that it applies the limits of a fused clamp itself.
    """

    write: Callable[[Layer], str]
    limits: bool = False


GENERATORS: Registry[Generator] = Registry("firmware operator", package=__name__)
