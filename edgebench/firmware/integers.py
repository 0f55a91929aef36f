"""Layers of signed bytes: sums in 32 bits, rescaled as ONNX Runtime does it.

The sum of a layer is multiplied by scale of input times scale of weights over scale of result, in
single precision, and rounded half to even. The zero point of the input, times the sum of a
channel's weights, is taken off the bias, so that the kernels multiply what is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebench.firmware.clamps import integer_limits
from edgebench.firmware.layer import Layer
from edgebench.firmware.values import Array, Unsupported


@dataclass(frozen=True)
class Integers:
    """What an integer layer multiplies and adds.

    ``weights`` have the shape that they were given in, the results first; ``bias`` and ``scales``
    have one number for each result.
    """

    weights: Array
    bias: Array
    scales: Array
    in_zero: int
    zero: int
    low: int
    high: int

    def result(self, scales: str) -> dict[str, Any]:
        """Return the fields of a ``rescale_t`` whose factors are the array ``scales``."""
        return {"zero": self.zero, "low": self.low, "high": self.high, "scales": scales}

    @property
    def folded(self) -> Array:
        """Return the bias without the zero point of the input times the weights."""
        totals = self.weights.reshape(len(self.weights), -1).astype(np.int64).sum(1)
        folded = self.bias - self.in_zero * totals
        if np.abs(folded).max(initial=0) >= 2**31:
            raise Unsupported("its bias does not fit into 32 bits")
        found: Array = folded.astype(np.int32)
        return found


def integers(layer: Layer, held: Array) -> Integers:
    """Return the numbers of a layer whose weights are ``held``, results first.

    Raises:
        Unsupported: Unsigned tensors, weights without a zero point of zero, no scale.
    """
    source, result, weight = layer.activation(), layer.result, layer.constant(1)
    if source.dtype != "int8" or result.dtype != "int8":
        raise Unsupported(f"it reads {source.dtype} and writes {result.dtype}, not int8")
    if weight is None or weight.dtype != "int8":
        raise Unsupported("its weights are not int8")
    found, target, taken = layer.scale(weight), layer.scale(result), layer.scale(source)
    if found.zero.any():
        raise Unsupported("the zero point of its weights is not zero")
    product = (taken.scale[0] * found.scale).astype(np.float32)
    scales = np.broadcast_to((product / target.scale[0]).astype(np.float32), (len(held),))
    bias = np.zeros(len(held), np.int64)
    constant = layer.constant(2)
    if constant is not None:
        numbers = layer.data(constant).reshape(-1)
        if numbers.dtype.kind == "f":
            numbers = np.round(numbers.astype(np.float64) / product)
        bias = np.broadcast_to(numbers.astype(np.int64), bias.shape)
    low, high = integer_limits(layer)
    return Integers(held, bias, scales, taken.one[1], target.one[1], low, high)


def packed(weights: Array, block: int) -> Array:
    """Return weights ``[results, inputs]`` in blocks of results, 4 inputs of each at a time.

    Inputs that are left over stand behind the others of a block, each with all results.
    """
    results, inputs = weights.shape
    blocks = weights.reshape(results // block, block, inputs)
    whole = inputs // 4 * 4
    parts = blocks[..., :whole].reshape(len(blocks), block, whole // 4, 4).transpose(0, 2, 1, 3)
    rest = blocks[..., whole:].transpose(0, 2, 1)
    joined = [parts.reshape(len(blocks), -1), rest.reshape(len(blocks), -1)]
    return np.concatenate(joined, axis=1).reshape(-1)
