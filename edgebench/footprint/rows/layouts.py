"""In which order the elements of a tensor lie in memory: images channels last, all else as in ONNX.

A layout is a shape and the order of its axes in memory. What ONNX calls a reshape moves nothing on
a device, so the shape of a layout may be that of the tensor before it was given another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Layout:
    """A shape, and its axes from the slowest to the fastest in memory."""

    shape: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def plain(cls, shape: tuple[int, ...]) -> Layout:
        """Return the layout of ONNX: the last axis is the fastest."""
        return cls(shape, tuple(range(len(shape))))

    @classmethod
    def channels_last(cls, shape: tuple[int, ...]) -> Layout:
        """Return the layout of an image or a signal: batch, sides, channels."""
        return cls(shape, (0, *range(2, len(shape)), 1))

    @property
    def strides(self) -> tuple[int, ...]:
        """Return for each axis how many elements apart its neighbours lie."""
        found = [0] * len(self.shape)
        step = 1
        for axis in reversed(self.order):
            found[axis] = step
            step *= self.shape[axis]
        return tuple(found)

    def merged(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return shape and order without axes of one, those that stay together as one axis.

        Layouts of the same elements are equal where this is.
        """
        axes = [axis for axis, size in enumerate(self.shape) if size != 1]
        places = [axes.index(axis) for axis in self.order if axis in axes]
        sizes: list[int] = []
        number: dict[int, int] = {}
        for axis, size in enumerate(self.shape[one] for one in axes):
            before = places.index(axis - 1) if axis else -2
            if axis and places.index(axis) == before + 1:
                sizes[-1] *= size
            else:
                sizes.append(size)
            number[axis] = len(sizes) - 1
        return tuple(sizes), tuple(dict.fromkeys(number[place] for place in places))

    def same(self, other: Layout) -> bool:
        """Tell whether the elements lie in the same order."""
        return self.merged() == other.merged()

    def reshaped(self, shape: tuple[int, ...]) -> Layout:
        """Return the layout of the same memory under another shape.

        Where no order of the axes of ``shape`` says it, the layout keeps its own shape.
        """
        sizes, order = self.merged()
        parts: list[list[int]] = []
        axis = 0
        for size in sizes:
            part: list[int] = []
            while prod(shape[one] for one in part) < size and axis < len(shape):
                part.append(axis)
                axis += 1
            if prod(shape[one] for one in part) != size:
                return self
            parts.append(part)
        rest = list(range(axis, len(shape)))  # axes of one
        placed = [one for place in order for one in parts[place]]
        return Layout(shape, tuple(placed + rest))

    def transposed(self, perm: tuple[int, ...]) -> Layout:
        """Return the layout of the same memory with its axes in the order of ``perm``."""
        shape = tuple(self.shape[axis] for axis in perm)
        return Layout(shape, tuple(perm.index(axis) for axis in self.order))

    def positions(self) -> npt.NDArray[np.int64]:
        """Return, in the order of memory, where each element stands in ONNX's order."""
        plain = np.arange(prod(self.shape), dtype=np.int64).reshape(self.shape)
        return plain.transpose(self.order).reshape(-1)
