"""From a name to a data set: read, resized, split by seed, a share of it kept."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.nn import functional

from edgebench.data.dataset import DATASETS, Dataset, Reader, Split, centred
from edgebench.data.normalization import Normalization
from edgebench.errors import EdgebenchError, shown

DEFAULT_DATA_DIR = Path("data")
RESIZED_AT_ONCE = 1000  # images, as float32
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What ``data.*`` in a sweep may set, whatever the data set.

    Attributes:
        train_images: How many of the training images are trained on, the same share of each class:
            a count, or a share of them; None is all.
        validation_share: The share of the training images that is held out for validation.
        folds: Cuts the training images into so many parts instead, class by class: one of them, the
            ``fold``, is held out. With ``data.fold: {values: [0, 1, ...]}`` in a grid each image is
            held out once, and figures show the mean over the folds.
        fold: The part that is held out, from 0.
        normalization: ``channel`` takes off the mean and divides by the deviation of each channel
            of the training images; ``none`` leaves pixels at 0..1. ``mean_image`` takes off the
            mean of each pixel instead, ``zca`` whitens (see `edgebench.data.normalization`): both
            divide by the deviation first, and are a layer of the model.
        resolution: Height and width that images of one size are resized to (a folder of several
            sizes: ``folder:PATH@3x64x64``); None leaves them as they are.
        crop: Height and width of what the network sees: a random part of each image in training,
            its centre elsewhere; None is the whole image.
        skip_broken: Go on without images of a folder that cannot be read, and record which.
    """

    train_images: Annotated[int, Ge(1)] | Annotated[float, Gt(0.0), Le(1.0)] | None = None
    validation_share: Annotated[float, Gt(0.0), Lt(1.0)] = 0.1
    folds: Annotated[int, Ge(2), Le(100)] | None = None
    fold: Annotated[int, Ge(0), Lt(100)] = 0
    resolution: Annotated[int, Ge(1), Le(1024)] | None = None
    normalization: Normalization = "channel"
    crop: Annotated[int, Ge(1), Le(1024)] | None = None
    skip_broken: bool = False


_DEFAULT_OPTIONS = DataOptions()


def takes_location(reader: Reader) -> bool:
    """Tell whether a data set stands at a place that is named with it, as in ``folder:PATH``."""
    return "location" in inspect.signature(reader).parameters


def check_name(name: str) -> None:
    """Raise EdgebenchError where ``name`` is no data set; ``folder:PATH`` must exist."""
    kind, _, location = name.partition(":")
    located = takes_location(DATASETS[kind])
    if location and not located:
        raise EdgebenchError(f"'{name}': the data set '{kind}' takes no location; write '{kind}'")
    if located:
        if not location:
            raise EdgebenchError(f"'{name}': write the location after a colon, as in '{kind}:PATH'")
        path = Path(location.partition("@")[0])
        try:
            there = path.is_dir()
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise EdgebenchError(f"{shown(name)}: {error.strerror}") from None
        if not there:
            raise EdgebenchError(f"'{name}': there is no folder '{path}'")


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    seed: int = 0,
    options: DataOptions = _DEFAULT_OPTIONS,
    reader_options: Mapping[str, Any] = _NONE,
    identify: bool = False,
) -> Dataset:
    """Read the data set ``name`` and split off the validation images by ``seed``.

    Args:
        name: A registered name, or ``folder:PATH`` (``folder:PATH@3x64x64`` resizes).
        data_dir: Where downloaded archives and decoded images are kept; ``data`` by default.
        seed: Chooses the validation images, and the training images where only a part of them is
            asked for, class by class; the same seed, the same split.
        options: What is done with the images that are read.
        reader_options: Keyword arguments of the data set's own function.
        identify: Also digest all that was read (`Dataset.contents`): a pass over the pixels.

    Raises:
        EdgebenchError: An unknown name, a folder that holds no data set, a failed download, more
            training images asked for than there are.
    """
    check_name(name)
    kind, _, location = name.partition(":")
    reader = DATASETS[kind]
    given = {
        "location": location,
        "data_dir": data_dir or DEFAULT_DATA_DIR,
        "skip_broken": options.skip_broken,
    }
    asked = inspect.signature(reader).parameters
    source = reader(**{n: v for n, v in given.items() if n in asked}, **reader_options)
    training, test = (resized(part, options.resolution) for part in (source.training, source.test))
    _check_crop(options.crop, training)
    train, validation = _split(training, options, seed)
    if options.train_images is not None:
        train = _part(train, options.train_images, seed)
    # The class folder's name identifies the data; the path of this machine does not.
    shown = f"{kind}:{Path(location.partition('@')[0]).resolve().name}" if location else kind
    return Dataset(
        shown,
        train,
        centred(validation, options.crop),
        centred(test, options.crop),
        source.classes,
        source.augmentation,
        options.normalization,
        options.crop,
        source.omitted,
        source.contents() if identify else {},
    )


def resize_rule(name: str, options: DataOptions) -> str:
    """Say how images came to the size that the network takes, for those who feed it others."""
    if options.resolution is not None:
        size = f"{options.resolution}x{options.resolution}"
        said = f"resized to {size}: bilinear over the area that a pixel covers, then rounded"
    elif "@" in name:
        said = (
            f"resized to {name.rpartition('@')[2]} (CxHxW) by Pillow's BILINEAR, where it differs"
        )
    else:
        said = "as in the data set"
    return (
        said if options.crop is None else f"{said}, then the {options.crop}x{options.crop} centre"
    )


def _check_crop(crop: int | None, split: Split) -> None:
    smallest = min(split.images.shape[2:])
    if crop is not None and crop > smallest:
        raise EdgebenchError(
            f"data.crop: {crop} is more than the images have; the nearest valid value is {smallest}"
        )


def resized(split: Split, resolution: int | None) -> Split:
    """Resize all images to ``resolution`` x ``resolution``, filtered so that nothing aliases."""
    if resolution is None or tuple(split.images.shape[2:]) == (resolution, resolution):
        return split
    parts = [
        _resized(split.images[start : start + RESIZED_AT_ONCE], resolution)
        for start in range(0, len(split), RESIZED_AT_ONCE)
    ]
    return Split(torch.cat(parts), split.labels)


def _resized(images: Tensor, resolution: int) -> Tensor:
    size = (resolution, resolution)
    found = functional.interpolate(
        images.float(), size, mode="bilinear", align_corners=False, antialias=True
    )
    return found.round().clamp(0, 255).to(torch.uint8)


def _split(split: Split, options: DataOptions, seed: int) -> tuple[Split, Split]:
    """Split class by class, so that both parts have the same mix; both keep the given order."""
    folds = options.folds
    _check_folds(split, folds, options.fold)
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(split), dtype=torch.bool)
    for label in torch.unique(split.labels).tolist():
        members = (split.labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator)
        count = max(1, round(options.validation_share * len(members)))
        held_out[members[order[options.fold :: folds] if folds else order[:count]]] = True
    return split[~held_out], split[held_out]


def _check_folds(split: Split, folds: int | None, fold: int) -> None:
    if fold >= (folds or 1):
        rule = f"the last of {folds} folds is {folds - 1}" if folds else "data.folds is not set"
        raise EdgebenchError(f"data.fold: {fold} is not possible, {rule}")
    smallest = int(torch.unique(split.labels, return_counts=True)[1].min())
    if folds and folds > smallest:
        raise EdgebenchError(
            f"data.folds: {folds} is more than the {smallest} training images of the smallest "
            f"class; the nearest valid value is {smallest}"
        )


def _part(split: Split, wanted: float, seed: int) -> Split:
    """Keep a count or a share of ``split``, the same share of each class, in the given order.

    A smaller part is contained in a larger one of the same seed.
    """
    count = wanted if isinstance(wanted, int) else max(1, round(wanted * len(split)))
    classes = int(torch.unique(split.labels).numel())
    if not classes <= count <= len(split):
        nearest = min(max(count, classes), len(split))
        raise EdgebenchError(
            f"data.train_images: {wanted} is not possible with {len(split)} training images of "
            f"{classes} classes; the nearest valid value is {nearest}"
        )
    generator = torch.Generator().manual_seed(seed)
    place = torch.empty(len(split), dtype=torch.float64)
    for label in torch.unique(split.labels).tolist():
        members = (split.labels == label).nonzero().flatten()
        shuffled = members[torch.randperm(len(members), generator=generator)]
        # The k-th image of a class is taken when (k + 1/2) / class size of the whole is.
        place[shuffled] = (torch.arange(len(members)) + 0.5).double() / len(members)
    chosen = place.argsort(stable=True)[:count].sort().values
    return split[chosen]
