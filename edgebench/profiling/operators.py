"""What a profile is made of: tensors, constants and operators in the order they run.

The rows carry what a code generator needs as well: kinds, attributes, constants by reference and
quantisation parameters. Sizes are ints; bytes follow the stored type (sub-byte types are packed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

BITS = {
    "bool": 8, "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64,
    "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8,
    "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
}  # fmt: skip
"""Bits of one element of a stored type."""

INTEGER_TYPES = frozenset({"int2", "uint2", "int4", "uint4", "int8", "uint8"})
"""The types that quantised tensors are stored in."""


@dataclass(frozen=True)
class Quantisation:
    """The initializers that hold a tensor's scale and zero point.

    ``channels`` is the number of scales: 1 per tensor, more where each slice along ``axis`` has
    its own.
    """

    scale: str
    zero_point: str | None = None
    axis: int | None = None
    channels: int = 1


@dataclass(frozen=True)
class Tensor:
    """A value that the graph computes (or its input): its shape includes the batch, read as 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return the bytes the tensor takes in memory."""
        return (self.elements * BITS[self.dtype] + 7) // 8

    @property
    def quantised(self) -> bool:
        """Tell whether the tensor is held in integers of 8 bits or fewer."""
        return self.dtype in INTEGER_TYPES


@dataclass(frozen=True)
class Constant(Tensor):
    """Data that ships with the model; ``name`` is the initializer that holds it.

    ``role`` is ``weight``, ``bias``, ``scale``, ``slope`` or ``operand``. A bias that exists only
    because a batch norm was folded is named after the operator (``<operator>.bias``).
    """

    role: str = "weight"


@dataclass(frozen=True)
class Operator:
    """One step of the graph: what it reads, writes, ships and computes.

    ``op`` is the ONNX operator (contrib ones under their standard name), ``kind`` the class of
    rule it falls under, ``macs`` the multiply-accumulates of its convolution or matrix product.
    ``attributes`` are complete: ``kernel``, ``strides``, ``pads`` (top, left, bottom, right),
    ``dilations`` and ``group`` are resolved for convolutions and pools, in two dimensions.
    ``folded`` names the nodes whose arithmetic was folded into this one's constants.
    """

    name: str
    op: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[Constant, ...] = ()
    macs: int = 0
    folded: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Return the elements of the constants this operator ships."""
        return sum(constant.elements for constant in self.constants)

    def constant(self, role: str) -> Constant | None:
        """Return the constant with this role, or None."""
        return next((one for one in self.constants if one.role == role), None)


@dataclass(frozen=True)
class Profile:
    """The operators of a graph in order, the tensors between them, and what has no rule.

    ``unknown`` names the operators whose multiply-accumulates could not be counted; with any of
    them ``macs`` is a lower bound.
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @cached_property
    def macs(self) -> int:
        """Return the multiply-accumulates of convolutions and matrix products."""
        return sum(operator.macs for operator in self.operators)

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """Return the constants that ship; one that several operators share counts once."""
        unique = {one.name: one for operator in self.operators for one in operator.constants}
        return tuple(unique.values())

    @property
    def parameters(self) -> int:
        """Return the elements of the constants that ship."""
        return sum(constant.elements for constant in self.constants)

    @property
    def weights_bytes(self) -> int:
        """Return the bytes of the constants that ship."""
        return sum(constant.bytes for constant in self.constants)

    @cached_property
    def dtype(self) -> str:
        """Return ``int8`` where quantised operators do most of the arithmetic, else ``float32``."""
        quantised = sum(operator.macs for operator in self.operators if self.is_quantised(operator))
        return "int8" if 2 * quantised > self.macs else "float32"

    def is_quantised(self, operator: Operator) -> bool:
        """Tell whether ``operator`` computes in integers."""
        return self.tensors[operator.inputs[0]].quantised if operator.inputs else False
