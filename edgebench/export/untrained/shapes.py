"""The shapes of results whose meta kernels PyTorch has in Python only.

Asking those would import PyTorch's compiler, more than a second for the first graph of a process.
Here are the operators of plain networks; every other one is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Arguments = Mapping[str, Any]

ALIKE = frozenset(
    {
        "relu", "relu6", "hardtanh", "clamp", "leaky_relu", "elu", "celu", "selu", "silu", "gelu",
        "mish", "sigmoid", "tanh", "hardswish", "hardsigmoid", "softmax", "prelu",
        "batch_norm", "layer_norm", "group_norm", "instance_norm", "dropout", "feature_dropout",
    }
)  # fmt: skip
"""Operators whose result has the shape of their first argument."""


def many(value: Any, sides: int = 2) -> list[int]:
    """Return a number for each side of an image where PyTorch takes one for all."""
    values = [int(one) for one in value] if isinstance(value, (list, tuple)) else [int(value)]
    return values * sides if len(values) == 1 else values


def conv_pads(padding: Any, kernel: tuple[int, ...], dilation: Any) -> list[int]:
    """Return the pads before each side, then those after; ``same`` puts the odd one after."""
    sides = len(kernel)
    if padding == "valid":
        return [0] * 2 * sides
    if padding != "same":
        return many(padding, sides) * 2
    total = [d * (size - 1) for d, size in zip(many(dilation, sides), kernel, strict=True)]
    return [*(one // 2 for one in total), *(one - one // 2 for one in total)]


def _conv2d(call: Arguments) -> list[int] | None:
    """Return ``[N, filters, (H + pads - dilation (k - 1) - 1) / stride + 1, ...]``."""
    image, weight = call["input"].shape, call["weight"].shape
    if len(image) != 4 or image[1] != weight[1] * call["groups"]:
        return None
    kernel = tuple(weight[2:])
    pads = conv_pads(call["padding"], kernel, call["dilation"])
    steps, gaps = many(call["stride"]), many(call["dilation"])
    sides = [
        (image[2 + i] + pads[i] + pads[2 + i] - gaps[i] * (kernel[i] - 1) - 1) // steps[i] + 1
        for i in range(2)
    ]
    return [image[0], weight[0], *sides]


def _pool2d(call: Arguments) -> list[int] | None:
    """Return ``[N, C, (H + 2 pad - dilation (k - 1) - 1) / stride + 1, ...]``, rounded down."""
    if call["ceil_mode"]:
        return None
    shape, kernel = call["self"].shape, many(call["kernel_size"])
    steps, pads = many(call["stride"] or kernel), many(call["padding"])
    gaps = many(call.get("dilation", 1))
    sides = [
        (shape[i - 2] + 2 * pads[i] - gaps[i] * (kernel[i] - 1) - 1) // steps[i] + 1
        for i in range(2)
    ]
    return [*shape[:-2], *sides]


def _adaptive_avg_pool2d(call: Arguments) -> list[int]:
    return [*call["self"].shape[:-2], *many(call["output_size"])]


def _linear(call: Arguments) -> list[int] | None:
    if call["input"].shape[-1] != call["weight"].shape[1]:
        return None
    return [*call["input"].shape[:-1], call["weight"].shape[0]]


def _broadcast(call: Arguments) -> list[int]:
    """Return the larger of each dimension, aligned at the last: the other one is equal, or 1."""
    shapes = [call[name].shape for name in ("self", "other") if isinstance(call[name], Tensor)]
    sizes = itertools.zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    return [max(pair) for pair in sizes][::-1]


def _mean(call: Arguments) -> list[int]:
    shape = call["self"].shape
    gone = {axis % len(shape) for axis in call.get("dim") or range(len(shape))}
    if call.get("keepdim"):
        return [1 if axis in gone else size for axis, size in enumerate(shape)]
    return [size for axis, size in enumerate(shape) if axis not in gone]


SHAPES: Mapping[str, Callable[[Arguments], list[int] | None]] = {
    "conv2d": _conv2d,
    "max_pool2d": _pool2d,
    "avg_pool2d": _pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "linear": _linear,
    "mean": _mean,
    "add": _broadcast,
    "sub": _broadcast,
    "mul": _broadcast,
    "div": _broadcast,
}


def result_of(op: str, arguments: Arguments) -> Tensor | None:
    """Return an empty tensor with the shape of the result of ``op``; None where PyTorch must say.

    ``arguments`` are those of the operator's schema by name, in its order. What PyTorch makes of
    a permuted tensor is its own matter.
    """
    if op not in ALIKE and op not in SHAPES:
        return None
    tensors = [one for one in arguments.values() if isinstance(one, Tensor)]
    if not all(one.is_contiguous() and one.dim() for one in tensors):
        return None
    shape = tensors[0].shape if op in ALIKE else SHAPES[op](arguments)
    if shape is None or min(shape) < 1:  # a mistake, which PyTorch explains
        return None
    return torch.empty(shape, dtype=tensors[0].dtype, device="meta")
