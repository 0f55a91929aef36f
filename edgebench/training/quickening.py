"""What a network computes otherwise while it trains, because that is cheaper and the same.

Both changes are taken back when training ends. Their worth is in benchmarks/quickening.py.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def quickened(model: nn.Module, device: torch.device, *, watched: bool) -> Iterator[None]:
    """Within it, pool ahead of ReLU, and convolve in float32 where bfloat16 is slow.

    Whoever watches the steps sees the layers in the order in which they were built: then only the
    second is done. The weights are the same either way.
    """
    with contextlib.ExitStack() as stack:
        if not watched:
            stack.enter_context(_pooled_first(model))
        if device.type == "cpu":
            stack.enter_context(_float32_where_faster(model))
        yield


@contextlib.contextmanager
def _pooled_first(model: nn.Module) -> Iterator[None]:
    """Let each max pool of a sequence trade places with the ReLU before it.

    The largest of clipped values is the clipped largest, so ReLU need only see what the pool leaves
    (a quarter). The gradient is the same too, bit for bit: where the largest is within the clip it
    goes to the first of the largest either way, elsewhere it is zero either way. That does not hold
    for activations that keep a slope everywhere: rounding may make two values of theirs equal.
    """
    traded = [
        (sequence, place)
        for sequence in model.modules()
        if type(sequence) is nn.Sequential
        for place in range(len(sequence) - 1)
        if _may_trade(sequence[place], sequence[place + 1])
    ]
    _trade(traded)
    try:
        yield
    finally:
        _trade(traded)


def _may_trade(first: nn.Module, second: nn.Module) -> bool:
    return (
        type(first) in (nn.ReLU, nn.ReLU6)
        and not first.inplace  # others may read what it overwrites
        and type(second) is nn.MaxPool2d
        and not second.return_indices
    )


def _trade(places: list[tuple[nn.Sequential, int]]) -> None:
    for sequence, place in places:
        first, second = sequence[place], sequence[place + 1]
        sequence[place], sequence[place + 1] = second, first


@contextlib.contextmanager
def _float32_where_faster(model: nn.Module) -> Iterator[None]:
    """Take strided depthwise convolutions out of autocast.

    In bfloat16 oneDNN 3.13 computes the gradient of their inputs by its kernel for any groups
    (``brgconv_strided``), 10 to 35 times as slowly as by that for one channel each (``jit_dw``),
    which it takes in float32: two thirds of a step of MobileNetV2.
    """
    slow = [
        layer
        for layer in model.modules()
        if type(layer) is nn.Conv2d
        and layer.groups == layer.in_channels > 1
        and max(layer.stride) > 1
    ]
    for layer in slow:
        # A bound method is copied with its layer where the network is (`Judged`).
        layer.__dict__["forward"] = types.MethodType(_in_float32, layer)
    try:
        yield
    finally:
        for layer in slow:
            layer.__dict__.pop("forward", None)


def _in_float32(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """Convolve images ``[N, C, H, W]`` in float32; return bfloat16 where autocast would."""
    if not torch.is_autocast_enabled("cpu"):
        return nn.Conv2d.forward(layer, images)
    with torch.autocast("cpu", enabled=False):
        found = nn.Conv2d.forward(layer, images.float())
    return found.to(torch.get_autocast_dtype("cpu"))
