"""Softmax, and its logarithm, along axes."""

from __future__ import annotations

from edgebench.firmware.elements import loops, read, store
from edgebench.firmware.layer import Layer
from edgebench.firmware.operators import GENERATORS, Generator


def softmax(layer: Layer) -> str:
    """Write a softmax: powers of what is below the maximum, divided by their sum.

    The powers are computed twice, so that a result in 8 bits needs no memory for them.
    """
    source, result = layer.activation(), layer.result
    rank = len(result.shape)
    found = read(layer, source, rank)
    target = layer.layout(result.name).strides
    axes = layer.attributes["axes"]
    kept = [axis for axis in range(rank) if axis not in axes]
    outer = loops([result.shape[axis] for axis in kept],
                  [[one[axis] for axis in kept] for one in (found.strides, target)])  # fmt: skip
    inner = loops([result.shape[axis] for axis in axes],
                  [[one[axis] for axis in axes] for one in (found.strides, target)],
                  "pqrst")  # fmt: skip
    value = found.at(f"{outer.indices[0]} + {inner.indices[0]}")
    power = f"exp_f32({value} - most)"
    share = f"{power} / sum"
    if layer.main.op == "LogSoftmax":
        share = f"{value} - most - log_f32(sum)"
    place = f"{outer.indices[1]} + {inner.indices[1]}"
    return outer.around(
        f"float most = {found.at(outer.indices[0])}, sum = 0.0f;",
        inner.around(f"most = {value} > most ? {value} : most;"),
        inner.around(f"sum += {power};"),
        inner.around(store(layer, place, share)),
    )


GENERATORS.add("Softmax", Generator(softmax, limits=True))
GENERATORS.add("LogSoftmax", Generator(softmax, limits=True))
