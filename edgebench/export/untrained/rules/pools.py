"""Pools and reductions."""

from __future__ import annotations

from typing import Any

from edgebench.export.untrained.shapes import many
from edgebench.export.untrained.trace import Call, NoRuleError
from edgebench.export.untrained.writer import Rules, Writer

RULES = Rules()


@RULES.rule("max_pool2d")
def _max_pool(writer: Writer, call: Call) -> None:
    window = _window(call) | {"dilations": many(call["dilation"])}
    writer.emit(call, "MaxPool", [call["self"]], call.outputs, **window)


@RULES.rule("avg_pool2d", "avg_pool3d")
def _average_pool(writer: Writer, call: Call) -> None:
    if call["divisor_override"]:
        raise NoRuleError
    sides = len(call["self"].shape) - 2
    window = _window(call, sides) | {"count_include_pad": int(call["count_include_pad"])}
    writer.emit(call, "AveragePool", [call["self"]], call.outputs, **window)


def _window(call: Call, sides: int = 2) -> dict[str, Any]:
    kernel = many(call["kernel_size"], sides)
    return {
        "kernel_shape": kernel,
        "strides": many(call["stride"], sides) if call["stride"] else kernel,
        "pads": many(call["padding"], sides) * 2,
        "ceil_mode": int(call["ceil_mode"]),
    }


@RULES.rule("adaptive_avg_pool2d")
def _adaptive_pool(writer: Writer, call: Call) -> None:
    """Global pooling, or plain pooling where the sides divide; the exporter gathers elsewhere."""
    source, sides = call["self"], call["self"].shape[-2:]
    if len(source.shape) != 4 or source.channels_last:
        raise NoRuleError
    wanted = many(call["output_size"])
    if wanted == [1, 1]:
        writer.emit(call, "GlobalAveragePool", [source], call.outputs)
        return
    if any(side % one for side, one in zip(sides, wanted, strict=True)):
        raise NoRuleError
    kernel = [side // one for side, one in zip(sides, wanted, strict=True)]
    writer.emit(
        call, "AveragePool", [source], call.outputs,
        kernel_shape=kernel, strides=kernel, pads=[0, 0, 0, 0], ceil_mode=0, count_include_pad=1,
    )  # fmt: skip


@RULES.rule("mean")
def _mean(writer: Writer, call: Call) -> None:
    """A mean over the sides of an image is global pooling; any other is a reduction."""
    source, axes, keeps = call["self"], call.arguments.get("dim"), call.arguments.get("keepdim")
    if not axes:
        raise NoRuleError
    rank = len(source.shape)
    if rank != 4 or sorted(axis % rank for axis in axes) != [2, 3]:
        writer.emit(
            call, "ReduceMean", [source, list(axes)], call.outputs, keepdims=int(bool(keeps))
        )
    elif keeps:
        writer.emit(call, "GlobalAveragePool", [source], call.outputs)
    else:
        pooled = writer.emit(call, "GlobalAveragePool", [source])
        writer.emit(call, "Flatten", [pooled], call.outputs, axis=1)


@RULES.rule("amax")
def _maximum(writer: Writer, call: Call) -> None:
    axes = [int(axis) for axis in call["dim"]]
    if not axes:
        raise NoRuleError
    keeps = int(call["keepdim"])
    writer.emit(call, "ReduceMax", [call["self"], axes], call.outputs, keepdims=keeps)
