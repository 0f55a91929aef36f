"""Norms that were not folded: of layers, of instances, of batches."""

from __future__ import annotations

from math import prod

import numpy as np

from edgebench.firmware.elements import Read, loops, ordered, read, store
from edgebench.firmware.layer import Layer, number
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.values import Unsupported
from edgebench.profiling import Constant


def layer_norm(layer: Layer) -> str:
    """Write a layer norm over the axes from ``axis`` on."""
    source = layer.activation()
    rank = len(source.shape)
    axes = list(range(layer.attributes["axis"], rank))
    scale = _vector(layer, 1, rank, "scale")
    shift = _vector(layer, 2, rank, "shift")
    return _normalized(layer, axes, scale, shift)


def instance_norm(layer: Layer) -> str:
    """Write an instance norm: each channel over its sides."""
    source = layer.activation()
    rank = len(source.shape)
    axes = list(range(2, rank))
    found = []
    for position, role in ((1, "scale"), (2, "shift")):
        constant = layer.constant(position)
        if constant is None:
            raise Unsupported("it has no scale")
        name = layer.array(role, layer.real(constant), "float")
        found.append(Read(f"{name}[{{}}]", (0, 1, *(0 for _ in axes))))
    return _normalized(layer, axes, found[0], found[1])


def _vector(layer: Layer, position: int, rank: int, role: str) -> Read | None:
    constant = layer.operand(position)
    if constant is None:
        return None
    if not isinstance(constant, Constant):
        raise Unsupported("its scale or shift is computed")
    return read(layer, constant, rank, role)


def _normalized(layer: Layer, axes: list[int], scale: Read | None, shift: Read | None) -> str:
    """Write (x - mean) / sqrt(variance + epsilon) * scale + shift, statistics over ``axes``."""
    source, result = layer.activation(), layer.result
    rank = len(source.shape)
    found = read(layer, source, rank)
    target = layer.layout(result.name).strides
    kept = [axis for axis in range(rank) if axis not in axes]
    walked = [found.strides, target, *(one.strides for one in (scale, shift) if one is not None)]
    outer = loops([result.shape[axis] for axis in kept],
                  [[one[axis] for axis in kept] for one in walked])  # fmt: skip
    inner = loops([result.shape[axis] for axis in axes],
                  [[one[axis] for axis in axes] for one in walked], "pqrst")  # fmt: skip
    places = [f"{a} + {b}" for a, b in zip(outer.indices, inner.indices, strict=True)]
    value = found.at(places[0])
    count = number(prod(source.shape[axis] for axis in axes))
    result_ = f"({value} - mean) * factor"
    if scale is not None:
        result_ += f" * {scale.at(places[2])}"
    if shift is not None:
        result_ += f" + {shift.at(places[-1])}"
    epsilon = number(float(layer.attributes["epsilon"]))
    return outer.around(
        "float mean = 0.0f, factor = 0.0f;",
        inner.around(f"mean += {value};"),
        f"mean /= {count};",
        inner.around(f"const float d = {value} - mean;", "factor += d * d;"),
        f"factor = 1.0f / sqrt_f32(factor / {count} + {epsilon});",
        inner.around(store(layer, places[1], result_)),
    )


def batch_norm(layer: Layer) -> str:
    """Write a batch norm that follows nothing it could be folded into: a factor and a shift."""
    source = layer.activation()
    parts = []
    for position in range(1, 5):
        constant = layer.constant(position)
        if constant is None:
            raise Unsupported("it lacks a statistic")
        parts.append(layer.real(constant).astype(np.float64))
    factor = parts[0] / np.sqrt(parts[3] + layer.attributes["epsilon"])
    shift = parts[1] - parts[2] * factor
    names = [layer.array(role, one.astype(np.float32), "float")
             for role, one in (("factor", factor), ("shift", shift))]  # fmt: skip
    rank = len(source.shape)
    order, strides = ordered(layer, layer.result)
    found = read(layer, source, rank)
    channel = tuple(1 if axis == 1 else 0 for axis in range(rank))
    walk = loops([source.shape[axis] for axis in order],
                 [[one[axis] for axis in order]
                  for one in (found.strides, strides, channel)])  # fmt: skip
    value = f"{found.at(walk.indices[0])} * {names[0]}[{walk.indices[2]}]"
    return walk.around(store(layer, walk.indices[1], f"{value} + {names[1]}[{walk.indices[2]}]"))


GENERATORS.add("LayerNormalization", Generator(layer_norm, limits=True))
GENERATORS.add("InstanceNormalization", Generator(instance_norm, limits=True))
GENERATORS.add("BatchNormalization", Generator(batch_norm, limits=True))
