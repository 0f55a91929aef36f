"""Points of two circles, one within the other: the smallest data that no line can part."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge

from edgebench.data.dataset import DATASETS, Source, Split

REACH = 1.5  # coordinates from -1.5 to 1.5 are the pixels 0 to 255
RADII = (1.0, 0.5)


@DATASETS.register
def circles(
    *, points: Annotated[int, Ge(20)] = 1000, noise: Annotated[float, Ge(0.0)] = 0.1
) -> Source:
    """Make ``points`` training and a quarter as many test points, 2x1x1, of 2 classes.

    A point lies on a circle of radius 1 or 0.5, moved by normal values of deviation ``noise``; its
    coordinates are two channels of one pixel, in steps of 3/255.
    """
    generator = torch.Generator().manual_seed(40)
    training, test = (_points(count, noise, generator) for count in (points, points // 4))
    return Source(training, test, ("outer", "inner"), "none")


def _points(count: int, noise: float, generator: torch.Generator) -> Split:
    labels = torch.arange(count) % len(RADII)
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    radius = torch.tensor(RADII)[labels]
    exact = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    moved = exact + noise * torch.randn(count, 2, generator=generator)
    pixels = ((moved + REACH) * (255 / (2 * REACH))).round().clamp(0, 255)
    return Split(pixels.to(torch.uint8).view(-1, 2, 1, 1), labels)
