"""What one more JPEG generation costs in accuracy: how far JPEG images are from their originals.

The images that we can measure on (cifar10-jpeg) were saved as JPEG once: quality 75, colour at half
resolution. Their originals are not here, so the loss of that step cannot be measured; the loss of
doing it once more can. Each image is saved again with its blocks moved by (3, 5) pixels (as a
mirrored border of the saved picture, which is cut off afterwards), and the VGG-style network is
trained with the default recipe on either set, with the same seed.

Run: python benchmarks/jpeg_generation.py DIR [EPOCHS] [as-is|again]
Last printed (DIR = cifar10-jpeg, 5 epochs, each of the two alone on one core):
    as-is: validation 80.32 %
    again: validation 79.04 %
"""

from __future__ import annotations

import dataclasses
import io
import sys

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from edgebench.data import Dataset, Split, load
from edgebench.models import MODELS
from edgebench.recipe import Recipe
from edgebench.training import train

QUALITY, HALF_COLOUR = 75, 2
DOWN, RIGHT = 3, 5


def saved_again(images: Tensor) -> Tensor:
    """Return uint8 ``[N, 3, H, W]`` after one JPEG save whose blocks begin elsewhere."""
    height, width = images.shape[2:]
    border = (RIGHT, 8 - RIGHT, DOWN, 8 - DOWN)  # whole blocks again: 40 x 40 for 32 x 32
    padded = functional.pad(images.float(), border, mode="reflect").byte()
    found = []
    for image in padded.permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY, subsampling=HALF_COLOUR)
        whole = torch.from_numpy(np.array(Image.open(file)))
        found.append(whole[DOWN : DOWN + height, RIGHT : RIGHT + width].permute(2, 0, 1))
    return torch.stack(found)


def main() -> None:
    """Train on the images as they are and on the images saved again; print both accuracies."""
    folder, epochs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    asked = sys.argv[3:] or ["as-is", "again"]
    given = load(f"folder:{folder}")
    for name in asked:
        dataset = given if name == "as-is" else _again(given)
        torch.manual_seed(0)
        model = MODELS["vgg"](dataset.input_shape, len(dataset.classes))
        recipe = Recipe(epochs=epochs)
        cpu = torch.device("cpu")
        done = train(model, dataset, recipe, device=cpu, seed=0, on_epoch=lambda *_: None)
        print(f"{name}: validation {100 * done.best_accuracy:.2f} %", flush=True)


def _again(dataset: Dataset) -> Dataset:
    parts = {
        name: Split(saved_again(split.images), split.labels)
        for name, split in (("train", dataset.train), ("validation", dataset.validation))
    }
    return dataclasses.replace(dataset, **parts)


if __name__ == "__main__":
    main()
