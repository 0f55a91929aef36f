"""The nouns of the data: a split, what a data set function reads, and a data set for a search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from edgebench.data.normalization import MeanImage, Normalization, Whitening, input_layer
from edgebench.record import ClassContents, Opening
from edgebench.registry import Registry


@dataclass(frozen=True)
class Split:
    """Images ``[N, C, H, W]`` uint8 and their labels ``[N]`` int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count the images."""
        return int(self.labels.shape[0])

    def __getitem__(self, which: Tensor) -> Split:
        """Return the images that ``which`` [N] bool, or an index [K] int64, chooses."""
        return Split(self.images[which], self.labels[which])


@dataclass(frozen=True)
class Source:
    """What a data set function reads: all training images, all test images, the class names.

    ``augmentation`` names what does not change the meaning of an image: a mirrored car is a car, a
    mirrored 2 is no digit. ``omitted`` says which files were found and are no part of it.
    """

    training: Split
    test: Split
    classes: tuple[str, ...]
    augmentation: str
    omitted: tuple[str, ...] = ()

    def contents(self) -> dict[str, ClassContents]:
        """Return what each class holds, whatever share or resolution is made of it."""
        return {name: self._contents_of(label) for label, name in enumerate(self.classes)}

    def _contents_of(self, label: int) -> ClassContents:
        training, test = (split[split.labels == label] for split in (self.training, self.test))
        return ClassContents(len(training), len(test), _digest(training, test))


Reader = Callable[..., Source]
"""``reader([location: str,] [data_dir: Path,] [skip_broken: bool,] *, option=default, ...)``.

It is given those of the three that it names: a reader with a ``location`` is called ``name:PATH``
in a sweep, one with a ``data_dir`` keeps files there, one with ``skip_broken`` can do without
files that cannot be read.
"""
DATASETS: Registry[Reader] = Registry("data set", package="edgebench.data")


@dataclass(frozen=True)
class Dataset:
    """A data set ready for a search; its test split is for the end, see `open_test`.

    With ``crop`` the training images are larger than what the network is shown of them: random
    parts of ``crop`` x ``crop`` pixels in training. The other splits hold the centre already.
    ``omitted`` and ``contents`` are those of the `Source`; the second where it was asked for.
    """

    name: str
    train: Split
    validation: Split
    _test: Split = field(repr=False)
    classes: tuple[str, ...]
    augmentation: str
    normalization: Normalization = "channel"
    crop: int | None = None
    omitted: tuple[str, ...] = ()
    contents: Mapping[str, ClassContents] = field(default_factory=dict, repr=False)

    def open_test(self, opening: Opening) -> Split:
        """Return the test split: the one door to it; the caller records the ``opening``.

        Raises:
            ValueError: The opening does not say who opens, or when.
        """
        if not (opening.by and opening.when):
            raise ValueError("an opening of the test split says by whom and when")
        return self._test

    @property
    def sizes(self) -> dict[str, int]:
        """Images of the train, validation and test split."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self._test),
        }

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), self.crop or int(height), self.crop or int(width)

    @property
    def train_centre(self) -> Split:
        """The training split as the others are seen: its images' centres."""
        return centred(self.train, self.crop)

    def input_layer(self) -> MeanImage | Whitening | None:
        """Return the layer that normalizes inputs further, fitted to the training split, or None.

        It stands before the network: the mean image, or ZCA whitening.
        """
        layer = input_layer(self.normalization, self.input_shape)
        if layer is not None:
            layer.fit(self.train_centre.images, self.std)
        return layer

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """What is taken off each channel of pixels scaled to 0..1."""
        return self.channel_mean if self.normalization == "channel" else self._each(0.0)

    @cached_property
    def std(self) -> tuple[float, ...]:
        """What each channel is then divided by."""
        if self.normalization != "none":
            return tuple(float(value) for value in self._moments[1])
        return self._each(1.0)

    @property
    def channel_mean(self) -> tuple[float, ...]:
        """Mean per channel of the training split, of pixels scaled to 0..1."""
        return tuple(float(value) for value in self._moments[0])

    def _each(self, value: float) -> tuple[float, ...]:
        return (value,) * self.input_shape[0]

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
        return _digest(self.train, self.validation, self._test)


def _digest(*splits: Split) -> str:
    """Return the first 16 hex digits of the SHA-256 over all images and labels of ``splits``."""
    sha = hashlib.sha256()
    for split in splits:
        sha.update(split.images.flatten().numpy().data)
        sha.update(split.labels.contiguous().numpy().data)
    return sha.hexdigest()[:16]


def centred(split: Split, size: int | None) -> Split:
    """Return a split with each image's centre, ``size`` x ``size``; None is the whole image."""
    height, width = split.images.shape[2:]
    if size is None or (height, width) == (size, size):
        return split
    top, left = (height - size) // 2, (width - size) // 2
    return Split(split.images[:, :, top : top + size, left : left + size], split.labels)
