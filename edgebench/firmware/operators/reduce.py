"""Reductions along axes: mean, sum, maximum and minimum."""

from __future__ import annotations

from math import prod

from edgebench.firmware.elements import loops, read, store
from edgebench.firmware.layer import Layer, number
from edgebench.firmware.operators import GENERATORS, Generator

KINDS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


def reduce_axes(layer: Layer) -> str:
    """Write a reduction over the axes of the row."""
    window = layer.stage.window
    if window is not None and layer.main.op == "ReduceMean":
        from edgebench.firmware.operators.pool import image_mean

        return image_mean(layer)
    return reduction(layer, KINDS[layer.main.op], tuple(layer.attributes["axes"]))


def reduction(layer: Layer, kind: str, axes: tuple[int, ...]) -> str:
    """Write a reduction over ``axes``; the result is plain, so its axes follow the input's."""
    source = layer.activation()
    rank = len(source.shape)
    found = read(layer, source, rank)
    kept = [axis for axis in range(rank) if axis not in axes]
    outer = loops([source.shape[axis] for axis in kept],
                  [[found.strides[axis] for axis in kept],
                   _plain([source.shape[axis] for axis in kept])])  # fmt: skip
    inner = loops([source.shape[axis] for axis in axes],
                  [[found.strides[axis] for axis in axes]], "pqrst")  # fmt: skip
    index = f"{outer.indices[0]} + {inner.indices[0]}"
    value, first = found.at(index), found.at(outer.indices[0])
    sign = ">" if kind == "max" else "<"
    step = (
        f"sum += {value};"
        if kind in ("mean", "sum")
        else f"const float v = {value}; sum = v {sign} sum ? v : sum;"
    )
    begin = "0.0f" if kind in ("mean", "sum") else first
    count = prod(source.shape[axis] for axis in axes)
    result = f"sum / {number(count)}" if kind == "mean" else "sum"
    return outer.around(
        f"float sum = {begin};",
        inner.around(step),
        f"{{ {store(layer, outer.indices[1], result)} }}",
    )


def _plain(sizes: list[int]) -> list[int]:
    return [prod(sizes[place + 1 :]) for place in range(len(sizes))]


for _name in KINDS:
    GENERATORS.add(_name, Generator(reduce_axes, limits=True))
