"""What a profile is made of: tensors, constants and operators in the order they run.

A row carries what a code generator needs: the operator, its operands in order, every attribute
resolved, quantization parameters by reference; `edgebench.profiling.constant_data` has the data of
the constants. Sizes are ints; bytes follow the stored type (sub-byte types are packed).
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
    "complex64": 64, "complex128": 128, "float4e2m1": 4, "float8e4m3fn": 8, "float8e4m3fnuz": 8,
    "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8,
}  # fmt: skip
"""Bits of one element of a stored type."""

INTEGER_TYPES = frozenset({"int2", "uint2", "int4", "uint4", "int8", "uint8"})
"""The types that quantized tensors are stored in."""


@dataclass(frozen=True)
class Quantization:
    """The constants that hold a tensor's scale and zero point: real = scale (held - zero point).

    ``channels`` is the number of scales: 1 per tensor, more where each slice along ``axis`` has
    its own. ``scale`` is None where an operator takes the integers as they are (``ConvInteger``).
    """

    scale: str | None
    zero_point: str | None = None
    axis: int | None = None
    channels: int = 1


@dataclass(frozen=True)
class Tensor:
    """A value that the graph computes (or its input): its shape includes the batch, read as 1.

    A tensor held in integers without a ``quantization`` is an operator's result before it is
    rescaled: the operator behind it is to be computed in the same step.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return the bytes the tensor takes in memory."""
        return (self.elements * BITS[self.dtype] + 7) // 8

    @property
    def quantized(self) -> bool:
        """Tell whether the tensor is held in integers of 8 bits or fewer."""
        return self.dtype in INTEGER_TYPES


@dataclass(frozen=True)
class Constant(Tensor):
    """Data that ships with the model; ``name`` is the initializer that holds it.

    ``role`` is ``weight``, ``bias``, ``scale``, ``slope``, ``operand`` or ``output``. A bias that
    exists only because a batch norm was folded is named after the operator (``<operator>.bias``).
    ``value`` is the name under which `edgebench.profiling.constant_data` has its data: that of the
    initializer after what the graph does to it (transposed, a batch norm folded in).
    """

    role: str = "weight"
    value: str = ""


@dataclass(frozen=True)
class Operator:
    """One step of the graph: what it reads, writes, ships and computes.

    Attributes:
        name: Of the node.
        op: The ONNX operator (contrib ones under their standard name).
        kind: The class of rule it falls under; ``alias`` moves nothing on a device.
        inputs: The names of the tensors that it reads, constants left out.
        outputs: The names of the tensors that it writes.
        attributes: All of the operator, defaults resolved by its version. Windows have ``kernel``,
            ``strides``, ``pads`` (top, left, bottom, right), ``dilations`` and ``group`` in two
            dimensions; what ONNX passes as a constant operand and is code on a device (the bounds
            of a slice, axes, pads, limits) stands here under its operand's name.
        constants: Those that ship.
        macs: The multiply-accumulates of its convolution or matrix product.
        folded: The nodes whose arithmetic was folded into this one's constants.
        operands: Every operand at its position in ONNX, as this operator reads it; None where it
            is left out. A matrix product may have a third, its bias.
        own_pads: The pads (begins, then ends) that a convolution had before a Pad of the graph was
            merged into them; None where none was.
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
    operands: tuple[Tensor | None, ...] = ()
    own_pads: tuple[int, ...] | None = None

    @property
    def parameters(self) -> int:
        """Return the elements of the constants this operator ships."""
        return sum(constant.elements for constant in self.constants)

    def constant(self, role: str) -> Constant | None:
        """Return the constant with this role, or None."""
        for one in self.constants:  # no generator: every rule asks this of every operator
            if one.role == role:
                return one
        return None


@dataclass(frozen=True)
class Profile:
    """The operators of a graph in order, the tensors between them, and what has no rule.

    ``unknown`` names the operators whose multiply-accumulates could not be counted; with any of
    them ``macs`` is a lower bound. ``constant_outputs`` are outputs that no operator computes:
    they ship like weights. ``input_types`` are the types that the file gives to inputs which it
    quantizes first: here they are the integers, as on most devices; ``output_types`` are those of
    outputs that it dequantizes last. ``lite`` tells that the file was a TFLite one, whose tools
    keep these types.
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    constant_outputs: tuple[Constant, ...] = ()
    input_types: Mapping[str, str] = field(default_factory=dict)
    output_types: Mapping[str, str] = field(default_factory=dict)
    lite: bool = False

    @cached_property
    def macs(self) -> int:
        """Return the multiply-accumulates of convolutions and matrix products."""
        return sum(operator.macs for operator in self.operators)

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """Return the constants that ship; one that several operators share counts once."""
        unique = {one.name: one for operator in self.operators for one in operator.constants}
        return tuple((unique | {one.name: one for one in self.constant_outputs}).values())

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
        """Return ``int8`` where quantized operators do most of the arithmetic, else ``float32``."""
        quantized = sum(operator.macs for operator in self.operators if self.is_quantized(operator))
        return "int8" if 2 * quantized > self.macs else "float32"

    def is_quantized(self, operator: Operator) -> bool:
        """Tell whether ``operator`` computes in integers."""
        return self.tensors[operator.inputs[0]].quantized if operator.inputs else False
