"""Networks of published latency rows that have no file here, drawn from their definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
from onnx import TensorProto
from onnx_graphs import Sketchpad


def _conv(  # noqa: PLR0917 - in the order in which the papers' tables have them
    pad: Sketchpad,
    source: str,
    outputs: int,
    inputs: int,
    kernel: int,
    stride: int = 1,
    group: int = 1,
) -> str:
    """Draw a SAME convolution and its clamp."""
    more = {"strides": [stride, stride], "group": group, "auto_pad": "SAME_UPPER"}
    return pad.add("Relu", [pad.conv(source, outputs, inputs, kernel=kernel, **more)])


def _pixels(pad: Sketchpad) -> str:
    """Draw the conversion of unsigned pixels that the vendor's networks begin with."""
    return pad.add("Cast", ["input"], to=TensorProto.FLOAT)


def _head(pad: Sketchpad, source: str, channels: int, classes: int) -> str:
    flat = pad.add("Flatten", [pad.add("GlobalAveragePool", [source])])
    return pad.dense(flat, classes, channels)


def ds_cnn() -> onnx.ModelProto:
    """Return MLPerf Tiny's keyword spotter: a 10x4 convolution and four separable blocks."""
    pad = Sketchpad()
    weight = [pad.weight("w", 64, 1, 10, 4), pad.weight("b", 64)]
    value = pad.add("Conv", ["input", *weight], strides=[2, 2], auto_pad="SAME_UPPER")
    for _ in range(4):
        value = _conv(pad, value, 64, 64, 3, group=64)
        value = _conv(pad, value, 64, 64, 1)
    return pad.model(_head(pad, value, 64, 12), shape=("N", 1, 49, 10))


def autoencoder() -> onnx.ModelProto:
    """Return MLPerf Tiny's anomaly detector: ten dense layers."""
    pad = Sketchpad()
    value, width = "input", 640
    for outputs in (128, 128, 128, 128, 8, 128, 128, 128, 128, 640):
        value = pad.add("Relu", [pad.dense(value, outputs, width)])
        width = outputs
    return pad.model(value, shape=("N", 640))


def mobilenet_v1(alpha: float, size: int, channels: int, classes: int) -> onnx.ModelProto:
    """Return MobileNet V1: thirteen depthwise-separable blocks."""
    pad = Sketchpad()
    width = int(32 * alpha)
    value = _conv(pad, _pixels(pad), width, channels, 3, 2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
            (1024, 1)]  # fmt: skip
    for full, stride in plan:
        value = _conv(pad, value, width, width, 3, stride, group=width)
        value = _conv(pad, value, int(full * alpha), width, 1)
        width = int(full * alpha)
    return pad.model(
        _head(pad, value, width, classes), shape=("N", channels, size, size), code=TensorProto.UINT8
    )


def mobilenet_v2(size: int, classes: int) -> onnx.ModelProto:
    """Return MobileNet V2 of width 1: seventeen inverted residual blocks."""
    pad = Sketchpad()
    value, width = _conv(pad, _pixels(pad), 32, 3, 3, 2), 32
    for factor, outputs, count, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for index in range(count):
            source, wide = value, width * factor
            inner = _conv(pad, value, wide, width, 1) if factor > 1 else value
            inner = _conv(pad, inner, wide, wide, 3, first if index == 0 else 1, group=wide)
            value = pad.conv(inner, outputs, wide, kernel=1)
            if index:
                value = pad.add("Add", [source, value])
            width = outputs
    value = _conv(pad, value, 1280, width, 1)
    return pad.model(
        _head(pad, value, 1280, classes), shape=("N", 3, size, size), code=TensorProto.UINT8
    )


def fd_mobilenet(size: int) -> onnx.ModelProto:
    """Return FD-MobileNet of width 0.25: 32 times smaller after five of its layers."""
    pad = Sketchpad()
    width = 8
    value = _conv(pad, _pixels(pad), width, 3, 3, 2)
    plan = [(64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 4, (1024, 1)]
    for full, stride in plan:
        value = _conv(pad, value, width, width, 3, stride, group=width)
        value = _conv(pad, value, full // 4, width, 1)
        width = full // 4
    return pad.model(
        _head(pad, value, width, 5), shape=("N", 3, size, size), code=TensorProto.UINT8
    )


def squeezenet(size: int) -> onnx.ModelProto:
    """Return SqueezeNet 1.1: eight fire modules."""
    pad = Sketchpad()
    value = _conv(pad, _pixels(pad), 64, 3, 3, 2)
    width = 64
    for index, squeezed in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if index in (0, 2, 4):
            value = pad.add("MaxPool", [value], kernel_shape=[3, 3], strides=[2, 2])
        inner = _conv(pad, value, squeezed, width, 1)
        parts = [_conv(pad, inner, 4 * squeezed, squeezed, kernel) for kernel in (1, 3)]
        value = pad.add("Concat", parts, axis=1)
        width = 8 * squeezed
    value = _conv(pad, value, 5, width, 1)
    pooled = pad.add("GlobalAveragePool", [value])
    return pad.model(
        pad.add("Flatten", [pooled]), shape=("N", 3, size, size), code=TensorProto.UINT8
    )


DEFINED: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "DS-CNN": ds_cnn,
    "autoencoder": autoencoder,
    "MobileNetV1 0.25 96 grey": lambda: mobilenet_v1(0.25, 96, 1, 2),
    "MobileNetV1 1.0 224": lambda: mobilenet_v1(1.0, 224, 3, 1000),
    "MobileNetV2 1.0 224": lambda: mobilenet_v2(224, 1000),
    "FD-MobileNet 0.25 224": lambda: fd_mobilenet(224),
    "SqueezeNet 1.1 224": lambda: squeezenet(224),
}
"""Networks by the names of `benchmarks/latency.py`."""
