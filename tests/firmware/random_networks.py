"""Small networks drawn at random: odd sizes, strides, pads, dilations, groups, joins and pools."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx_graphs import Sketchpad
from programs import allowed, drawn, expected, images_for, outputs, quantized, written

F = np.float32


@dataclass(frozen=True)
class Image:
    """A value of the network: its name, channels, height and width."""

    name: str
    channels: int
    height: int
    width: int


class Drawing:
    """Draws the network of a seed, each step of it possible for the image before it."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - networks, not secrets
        self.shape = (self.draw.randint(1, 5), self.draw.randint(4, 13), self.draw.randint(4, 13))
        self.steps = self.draw.randint(2, 6)

    def __call__(self, pad: Sketchpad) -> str:
        """Draw onto ``pad`` and return the output."""
        kinds = [self.conv, self.conv, self.conv, self.pool, self.residual, self.branches]
        image = self.conv(pad, Image("input", *self.shape))
        for _ in range(self.steps):
            image = self.draw.choice(kinds)(pad, image)
        size = image.channels * image.height * image.width
        if self.draw.random() < 0.5:
            image = Image(pad.add("GlobalAveragePool", [image.name]), image.channels, 1, 1)
            size = image.channels
        return pad.dense(pad.add("Flatten", [image.name]), self.draw.randint(2, 7), size)

    def conv(self, pad: Sketchpad, image: Image) -> Image:
        """Draw a convolution, dense, grouped or depthwise, and perhaps what activates it."""
        kernel = self.draw.choice([1, 1, 2, 3, 3, 3, 5])
        dilations = [self.draw.choice([1, 1, 1, 2]) for _ in range(2)]
        pads = [self.draw.randint(0, kernel // 2) for _ in range(4)]
        strides = [self.draw.choice([1, 1, 1, 2, 3]) for _ in range(2)]
        sides = [
            _length(length, kernel, pads[side] + pads[side + 2], stride, dilation)
            for side, (length, stride, dilation) in enumerate(
                zip((image.height, image.width), strides, dilations, strict=True)
            )
        ]
        if min(sides) < 1:
            return image
        outputs, group = self.draw.randint(1, 9), 1
        if self.draw.random() < 0.35:
            group = self.draw.choice([n for n in range(1, 10) if image.channels % n == 0])
            outputs = group * self.draw.randint(1, 3)
        name = pad.conv(image.name, outputs, image.channels, kernel, group=group, pads=pads,
                        strides=strides, dilations=dilations)  # fmt: skip
        return Image(self.activated(pad, name), outputs, *sides)

    def activated(self, pad: Sketchpad, name: str) -> str:
        """Draw an activation, or none."""
        kind = self.draw.choice(["", "Relu", "Relu", "Clip", "LeakyRelu", "HardSwish"])
        if kind == "Clip":
            ends = [pad.data(f"{name}.{end}", value, F) for end, value in (("low", 0), ("high", 6))]
            return pad.add(kind, [name, *ends])
        return pad.add(kind, [name]) if kind else name

    def pool(self, pad: Sketchpad, image: Image) -> Image:
        """Draw a pool of maxima or means."""
        kernel, strides = ([self.draw.randint(1, 3) for _ in range(2)] for _ in range(2))
        pads = [self.draw.randint(0, min(kernel) // 2) for _ in range(4)]
        sides = [
            _length(length, kernel[side], pads[side] + pads[side + 2], strides[side], 1)
            for side, length in enumerate((image.height, image.width))
        ]
        if min(sides) < 1 or kernel == [1, 1]:
            return image
        op = self.draw.choice(["MaxPool", "AveragePool"])
        name = pad.add(op, [image.name], kernel_shape=kernel, strides=strides, pads=pads)
        return Image(name, image.channels, *sides)

    def residual(self, pad: Sketchpad, image: Image) -> Image:
        """Draw a convolution that keeps the size, and its sum with what it read."""
        name = pad.conv(image.name, image.channels, image.channels, pads=[1, 1, 1, 1])
        joined = pad.add("Add", [self.activated(pad, name), image.name])
        return Image(self.activated(pad, joined), image.channels, image.height, image.width)

    def branches(self, pad: Sketchpad, image: Image) -> Image:
        """Draw two convolutions of one image, their channels one behind the other."""
        counts = [self.draw.randint(1, 4) for _ in range(2)]
        names = [pad.conv(image.name, count, image.channels, 1) for count in counts]
        joined = pad.add("Concat", [self.activated(pad, name) for name in names], axis=1)
        return Image(joined, sum(counts), image.height, image.width)


def _length(length: int, kernel: int, pads: int, stride: int, dilation: int) -> int:
    """Return the height or width of what a window makes of a length."""
    return (length + pads - dilation * (kernel - 1) - 1) // stride + 1


def differs(seed: int, extra: Sequence[str] = ()) -> None:
    """Write the network of a seed as C, run it here, and raise where ONNX Runtime says otherwise.

    Even seeds are float32, odd ones int8; the plan alternates by pairs of seeds.

    Raises:
        AssertionError: An output is further away than rounding explains.
        EdgebenchError: The firmware has no operator of the network's.
        CheckFailed: The program did not run to its end.
    """
    drawing = Drawing(seed)
    model = drawn(drawing, shape=("N", *drawing.shape))
    model = quantized(model) if seed % 2 else model
    program, images = (
        written(model, ("streaming", "layerwise")[seed // 2 % 2]),
        images_for(model, 4),
    )
    found, wanted = outputs(program, images, extra), expected(model, images)
    if seed % 2:
        apart = float(np.abs(found - wanted).max())
        most = allowed(program, model, images)
        assert apart <= most, f"{apart:.4g} apart where {most:.4g} is allowed"
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
