"""Dense layers: a matrix of constants times each row of the input."""

from __future__ import annotations

import numpy as np

from edgebench.firmware.clamps import float_limits
from edgebench.firmware.elements import loops, read, store
from edgebench.firmware.layer import Layer, ctype, number
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.values import Array, Unsupported
from edgebench.profiling import Constant


def dense(layer: Layer) -> str:
    """Write a Gemm, or a MatMul whose right side is constant; other products element by element."""
    left = layer.activation()
    ctype(left)
    right = layer.operand(1)
    if right is None or not isinstance(right, Constant) or len(right.shape) != 2:
        return product(layer)
    if left.quantized:
        from edgebench.firmware.integer_dense import integer_dense

        return integer_dense(layer)
    if layer.result.quantized:
        raise Unsupported("it reads floats and writes integers")
    weights, bias = matrix(layer)
    outputs, inputs = weights.shape
    low, high = float_limits(layer)
    whole = outputs // 8 * 8
    blocks = weights[:whole].reshape(-1, 8, inputs).transpose(0, 2, 1)
    parts = [blocks.reshape(-1), weights[whole:].reshape(-1)]
    packed = layer.array("weights", np.concatenate(parts), "float")
    shift = layer.array("bias", bias, "float")
    rows = left.elements // inputs
    return (
        f"dense_f32(x, y, {rows}, {inputs}, {outputs}, {packed}, {shift}, "
        f"{number(low)}, {number(high)});"
    )


def matrix(layer: Layer) -> tuple[Array, Array]:
    """Return weights ``[outputs, inputs]`` and bias of a float layer, factors multiplied in.

    The inputs stand in the order in which they lie in memory.
    """
    weights = held_matrix(layer).astype(np.float64) * float(layer.attributes.get("alpha", 1.0))
    constant = layer.constant(2)
    bias = np.zeros(len(weights))
    if constant is not None:
        factor = float(layer.attributes.get("beta", 1.0))
        bias = np.broadcast_to(factor * layer.real(constant).astype(np.float64),
                               (1, len(weights))).reshape(-1)  # fmt: skip
    return weights.astype(np.float32), bias.astype(np.float32)


def held_matrix(layer: Layer) -> Array:
    """Return the weights as they are held, ``[outputs, inputs in the order of memory]``."""
    constant = layer.constant(1)
    if constant is None:
        raise Unsupported("it has no weights")
    if layer.attributes.get("transA"):
        raise Unsupported("its left side is transposed")
    held = layer.data(constant)
    held = held if layer.attributes.get("transB") else held.T
    left = layer.activation()
    if left.elements != left.shape[-1]:
        return held
    positions = layer.layout(left.name).positions()
    return held[:, positions]


def product(layer: Layer) -> str:
    """Write the product of two matrices, or of stacks of them, either of which may be computed."""
    left, right = layer.operand(0), layer.operand(1)
    if left is None or right is None or len(left.shape) < 2 or len(right.shape) < 2:
        raise Unsupported("it multiplies by a vector")
    if layer.main.op == "Gemm" and (layer.attributes.get("transA") or layer.constant(2)):
        raise Unsupported("its left side is transposed, or both sides are computed")
    result = layer.result
    rank = len(result.shape)
    if len(layer.main.operands) > 2:
        raise Unsupported("it adds a bias to a product of two computed matrices")
    sides = [read(layer, left, rank, "left"), read(layer, right, rank, "right")]
    turned = bool(layer.attributes.get("transB"))
    depth = left.shape[-1]
    column, along = (-2, -1) if turned else (-1, -2)
    steps = [
        [*sides[0].strides[:-1], 0],
        [*sides[1].strides[:-2], 0, sides[1].strides[column]],
        list(layer.layout(result.name).strides),
    ]
    walk = loops(result.shape, steps)
    one = f"{walk.indices[0]} + n * {sides[0].strides[-1]}"
    two = f"{walk.indices[1]} + n * {sides[1].strides[along]}"
    factor = float(layer.attributes.get("alpha", 1.0))
    value = "sum" if factor == 1.0 else f"sum * {number(factor)}"
    return walk.around(
        "float sum = 0.0f;",
        f"for (int n = 0; n < {depth}; ++n) {{",
        f"    sum += {sides[0].at(one)} * {sides[1].at(two)};",
        "}",
        f"{{ {store(layer, walk.indices[2], value)} }}",
    )


GENERATORS.add("Gemm", Generator(dense, limits=True))
GENERATORS.add("MatMul", Generator(dense, limits=True))
