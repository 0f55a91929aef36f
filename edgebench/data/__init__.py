"""Data sets as uint8 tensors in memory: a fixed train/validation split and a sealed test split.

A data set is a function that reads ``Images`` for training and for testing; ``load`` splits off
the validation part by seed, so that every candidate of a sweep sees the same images. To add one,
register one function in a file of this folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from edgebench.errors import EdgebenchError
from edgebench.registry import Registry

__all__ = [
    "DATASETS",
    "Augmentation",
    "Dataset",
    "Reader",
    "Source",
    "Split",
    "check_name",
    "load",
]

Augmentation = Literal["none", "crop", "flip+crop"]
VALIDATION_SHARE = 0.1
DEFAULT_DATA_DIR = Path("data")


@dataclass(frozen=True)
class Split:
    """Images ``[N, C, H, W]`` uint8 and their labels ``[N]`` int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count the images."""
        return int(self.labels.shape[0])


@dataclass(frozen=True)
class Source:
    """What a data set function reads: all training images, all test images, the class names.

    ``augmentation`` is what does not change the meaning of an image: a mirrored car is a car, a
    mirrored 2 is no digit.
    """

    training: Split
    test: Split
    classes: tuple[str, ...]
    augmentation: Augmentation


@dataclass(frozen=True)
class Dataset:
    """A data set ready for a search; ``test`` is for the end, the search never reads it."""

    name: str
    train: Split
    validation: Split
    test: Split = field(repr=False)
    classes: tuple[str, ...]
    augmentation: Augmentation

    @property
    def split_sizes(self) -> dict[str, int]:
        """Images of the train, validation and test split."""
        return {name: len(getattr(self, name)) for name in ("train", "validation", "test")}

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), int(height), int(width)

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel of the training split, of pixels scaled to 0..1."""
        return tuple(float(value) for value in self._moments[0])

    @cached_property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel of the training split, of pixels scaled to 0..1."""
        return tuple(float(value) for value in self._moments[1])

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        # Exact, from a histogram: a float copy of the split would be four times its size.
        levels = torch.arange(256, dtype=torch.float64) / 255
        channels = self.train.images.transpose(0, 1).flatten(1)
        counts = torch.stack([torch.bincount(c.int(), minlength=256) for c in channels]).double()
        share = counts / counts.sum(1, keepdim=True)
        mean = share @ levels
        std = ((share @ levels.square()) - mean.square()).clamp_min(1e-12).sqrt()
        return mean, std.clamp_min(1 / 255)  # a channel of one colour is centred, not divided by 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all images and labels in split order, the first 16 hex digits."""
        sha = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            sha.update(split.images.contiguous().numpy().tobytes())
            sha.update(split.labels.contiguous().numpy().tobytes())
        return sha.hexdigest()[:16]


Reader = Callable[[str, Path], Source]
DATASETS: Registry[Reader] = Registry("data set", package=__name__)


def check_name(name: str) -> None:
    """Raise EdgebenchError where ``name`` is no data set; ``folder:PATH`` must exist."""
    kind, _, location = name.partition(":")
    reader = DATASETS[kind]
    takes_location = getattr(reader, "takes_location", False)
    if location and not takes_location:
        raise EdgebenchError(f"'{name}': the data set '{kind}' takes no location; write '{kind}'")
    if takes_location:
        if not location:
            raise EdgebenchError(f"'{name}': write the location after a colon, as in '{kind}:PATH'")
        path = Path(location.partition("@")[0])
        if not path.is_dir():
            raise EdgebenchError(f"'{name}': there is no folder '{path}'")


def load(name: str, *, data_dir: Path | None = None, seed: int = 0) -> Dataset:
    """Read the data set ``name`` and split off one tenth of the training images by ``seed``.

    Args:
        name: A registered name, or ``folder:PATH`` (``folder:PATH@3x64x64`` resizes).
        data_dir: Where downloaded archives and decoded images are kept; ``data`` by default.
        seed: Chooses the validation images, class by class; the same seed, the same split.

    Raises:
        EdgebenchError: An unknown name, a folder that holds no data set, a failed download.
    """
    check_name(name)
    kind, _, location = name.partition(":")
    source = DATASETS[kind](location, data_dir or DEFAULT_DATA_DIR)
    train, validation = _split(source.training, VALIDATION_SHARE, seed)
    # The class folder's name identifies the data; the path of this machine does not.
    shown = f"folder:{Path(location.partition('@')[0]).resolve().name}" if location else kind
    return Dataset(shown, train, validation, source.test, source.classes, source.augmentation)


def _split(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split class by class, so that both parts have the same mix; both keep the given order."""
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(split), dtype=torch.bool)
    for label in torch.unique(split.labels).tolist():
        members = (split.labels == label).nonzero().flatten()
        count = max(1, round(share * len(members)))
        held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (
        Split(split.images[~held_out], split.labels[~held_out]),
        Split(split.images[held_out], split.labels[held_out]),
    )
