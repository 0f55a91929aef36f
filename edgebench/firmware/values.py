"""The numbers of a model as the generators need them: scales, zero points, weights as real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebench.profiling import Constant, Tensor

Array = npt.NDArray[Any]

C_TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t"}
"""The types that tensors are held in, as C99 calls them."""


@dataclass(frozen=True)
class Scale:
    """How a tensor is held in integers: real = scale * (held - zero), by channel or for all."""

    scale: npt.NDArray[np.float32]
    zero: npt.NDArray[np.int32]

    @property
    def one(self) -> tuple[float, int]:
        """Return the scale and zero point of a tensor that has one."""
        return float(self.scale[0]), int(self.zero[0])


class Unsupported(Exception):
    """What a generator cannot write; the message says what it is about the operator."""


def scale_of(tensor: Tensor, constants: Mapping[str, Array]) -> Scale:
    """Return how ``tensor`` is held; raises Unsupported where it has no scale."""
    found = tensor.quantization
    if found is None or found.scale is None:
        raise Unsupported(f"the scale of '{tensor.name}' is not known")
    scale = constants[found.scale].astype(np.float32).reshape(-1)
    zero = np.zeros(scale.shape, np.int32)
    if found.zero_point is not None:
        zero = np.broadcast_to(
            constants[found.zero_point].astype(np.int32).reshape(-1), scale.shape
        )
    return Scale(scale, zero)


def limits(dtype: str) -> tuple[int, int]:
    """Return the least and the largest number of an integer type."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def real(constant: Constant, constants: Mapping[str, Array]) -> npt.NDArray[np.float32]:
    """Return the data of a constant as real numbers, in its own shape."""
    held = constants[constant.value]
    if not constant.quantized and constant.quantization is None:
        return held.astype(np.float32)
    found = scale_of(constant, constants)
    shape = [1] * held.ndim
    if constant.quantization is not None and constant.quantization.axis is not None:
        shape[constant.quantization.axis] = -1
    scale, zero = found.scale, found.zero
    if scale.size > 1:
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    else:
        scale, zero = scale[0], zero[0]
    return ((held.astype(np.float64) - zero) * scale).astype(np.float32)


def quantized(values: Array, scale: Scale, dtype: str) -> Array:
    """Return real numbers as they are held: rounded half to even and saturated."""
    one, zero = scale.one
    low, high = limits(dtype)
    quotient = (values.astype(np.float32) / np.float32(one)).astype(np.float64)
    return np.clip(np.round(quotient) + zero, low, high).astype(dtype)
