"""Made images with a known answer, for tests and for trying the tool without any data."""

from __future__ import annotations

import torch

from edgebench.data.dataset import DATASETS, Source, Split

CLASSES = 4
SIZE = 16


@DATASETS.register
def synthetic() -> Source:
    """Make 640 training and 160 test images, 3x16x16, of 4 classes: one bright quarter in noise.

    The class is the quarter that is brighter, so a network that works reaches nearly 100 %, and
    neither a mirrored nor a strongly shifted image keeps its class.
    """
    generator = torch.Generator().manual_seed(20)
    training, test = (_quarters(count, generator) for count in (640, 160))
    return Source(
        training, test, ("upper-left", "upper-right", "lower-left", "lower-right"), "none"
    )


def _quarters(count: int, generator: torch.Generator) -> Split:
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 128, (count, 3, SIZE, SIZE), generator=generator)
    half = SIZE // 2
    for label in range(CLASSES):
        top, left = (label // 2) * half, (label % 2) * half
        images[labels == label, :, top : top + half, left : left + half] += 64
    return Split(images.to(torch.uint8), labels)
