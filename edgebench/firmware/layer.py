"""One stage on its way to C: what its generator reads, and the source that it adds to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from edgebench.firmware.values import C_TYPES, Array, Scale, Unsupported, real, scale_of
from edgebench.footprint import FirmwarePlan, Layout, Stage
from edgebench.profiling import Constant, Operator, Tensor


@dataclass
class Source:
    """What the stages of a file share: arrays of constants, and what kernels need to be sized.

    Attributes:
        arrays: The definitions of the constants.
        zeros: Elements of the array of zeros beside an image of floats.
        most: What the arrays of kernels are sized by, each the most that a stage needs.
        pads: By C type and zero point, the elements of what lies beside an image of integers.
    """

    arrays: list[str] = field(default_factory=list)
    zeros: int = 0
    most: dict[str, int] = field(default_factory=dict)
    pads: dict[tuple[str, int], int] = field(default_factory=dict)

    def needs(self, **sizes: int) -> None:
        """Note what a stage needs of the arrays of kernels."""
        for name, size in sizes.items():
            self.most[name] = max(self.most.get(name, 0), size)

    def beside(self, zero: int, elements: int) -> str:
        """Return the name of an array of as many zero points, beside an image of bytes."""
        key = ("int8_t", zero)
        self.pads[key] = max(self.pads.get(key, 0), elements)
        return pad_name(*key)


@dataclass
class Layer:
    """A stage with its number in the plan and the constants of the model."""

    plan: FirmwarePlan
    stage: Stage
    number: int
    constants: Mapping[str, Array]
    source: Source

    @property
    def main(self) -> Operator:
        """Return the operator that does the work."""
        return self.stage.main

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes of the operator that does the work."""
        return self.stage.main.attributes

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by its name."""
        return self.plan.network.profile.tensors[name]

    def layout(self, name: str) -> Layout:
        """Return how a tensor lies in memory."""
        return self.plan.network.layouts[name]

    @cached_property
    def result(self) -> Tensor:
        """The tensor that the main operator computes, before what is fused behind it."""
        return self.tensor(self.main.outputs[0])

    @cached_property
    def target(self) -> Tensor:
        """The tensor that the stage writes."""
        return self.tensor(self.stage.target)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the activations that the main operator reads, each once."""
        return tuple(dict.fromkeys(self.main.inputs))

    def pointer(self, name: str) -> str:
        """Return the C parameter through which an activation is read."""
        place = self.names.index(name)
        return "x" if len(self.names) == 1 else f"x{place}"

    def operand(self, position: int) -> Tensor | None:
        """Return the operand at a position, or None where it is left out."""
        operands = self.main.operands
        return operands[position] if position < len(operands) else None

    def activation(self, position: int = 0) -> Tensor:
        """Return the activation at a position; raises Unsupported where it is a constant."""
        found = self.operand(position)
        if found is None or isinstance(found, Constant):
            raise Unsupported(f"its operand {position} is a constant")
        return found

    def constant(self, position: int) -> Constant | None:
        """Return the constant at a position, None where it is left out.

        Raises Unsupported where it is an activation.
        """
        found = self.operand(position)
        if found is not None and not isinstance(found, Constant):
            raise Unsupported(f"its operand {position} is computed, not a constant")
        return found

    def data(self, constant: Constant) -> Array:
        """Return the data of a constant as it is held."""
        return self.constants[constant.value]

    def real(self, constant: Constant) -> Array:
        """Return the data of a constant as real numbers."""
        return real(constant, self.constants)

    def scale(self, tensor: Tensor) -> Scale:
        """Return how a tensor is held in integers."""
        return scale_of(tensor, self.constants)

    def array(self, role: str, values: Array, ctype: str) -> str:
        """Add a constant array and return its name."""
        name = f"{role}_{self.number}"
        flat = np.ascontiguousarray(values).reshape(-1)
        body = _numbers(flat, ctype)
        aligned = " ALIGNED" if ctype == "int8_t" else ""  # kernels read four at once
        self.source.arrays.append(
            f"static const {ctype} {name}[{flat.size}]{aligned} = {{\n{body}}};"
        )
        return name

    def rows(self, name: str) -> int:
        """Return how many rows of a tensor exist at once."""
        return self.plan.rows(self.plan.network.root(name))

    def row(self, name: str, step: str, length: int) -> str:
        """Return the C expression of how far row ``step`` of a tensor lies from its first."""
        rows = self.rows(name)
        if rows == 1:
            return "0"
        place = step if rows >= self.plan.network.height(name) else f"{step} % {rows}"
        return f"{place} * {length}"


def ctype(tensor: Tensor) -> str:
    """Return the C type of an element; raises Unsupported where the firmware has none."""
    if tensor.dtype not in C_TYPES:
        raise Unsupported(f"it holds '{tensor.name}' in {tensor.dtype}")
    return C_TYPES[tensor.dtype]


def number(value: float) -> str:
    """Return a float constant of C with every digit that single precision has."""
    if np.isinf(value):
        return "3.40282347e+38f" if value > 0 else "-3.40282347e+38f"
    return (
        f"{np.float32(value):.9g}f"
        if "." in f"{np.float32(value):.9g}" or "e" in (f"{np.float32(value):.9g}")
        else f"{np.float32(value):.1f}f"
    )


def pad_name(kind: str, zero: int) -> str:
    """Return the name of the array of what lies beside an image of integers."""
    return f"pad_{kind.removesuffix('_t')}_{'m' if zero < 0 else ''}{abs(zero)}"


def identifier(name: str) -> str:
    """Return ``name`` as the part of a C name."""
    return re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").lower() or "layer"


def _numbers(flat: Array, kind: str) -> str:
    per_line = 8 if kind == "float" else 16
    if kind == "float":
        texts: Sequence[str] = [f"{value:.8e}f" for value in flat.astype(np.float64).tolist()]
    else:
        texts = [str(value) for value in flat.tolist()]
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "".join(f"    {line},\n" for line in lines)
