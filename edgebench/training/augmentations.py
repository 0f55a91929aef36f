"""Augmentations: random changes of the training images, batched, on the device.

A member is called once an epoch with the data set and a generator on the CPU, makes all its draws
there (so a seed means the same images on a CPU and on a GPU), and returns the function that
changes one batch. That function is given uint8 images ``[B, C, H, W]`` and the batch's places in
the epoch, and returns as many of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from edgebench.data import Dataset
from edgebench.registry import Registry, options
from edgebench.training.failure import TrainingFailed

Change = Callable[[Tensor, slice], Tensor]
Augmentation = Callable[..., Change]
"""``augmentation(dataset, generator, *, option=default, ...) -> change(images, places)``."""
AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")

Padding = Annotated[int, Ge(1), Le(16)]
Border = Literal["zeros", "reflect"]


@AUGMENTATIONS.register
def auto(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    crop_padding: Padding = 4,
    crop_border: Border = "reflect",
) -> Change:
    """Take what suits the data set: ``flip+crop`` for photographs, ``crop`` for digits."""
    member = AUGMENTATIONS[dataset.augmentation]
    given = {"crop_padding": crop_padding, "crop_border": crop_border}
    known = options(member)
    return member(dataset, generator, **{k: v for k, v in given.items() if k in known})


@AUGMENTATIONS.register
def none(dataset: Dataset, generator: torch.Generator) -> Change:  # noqa: ARG001 - the augmentations' signature
    """Show the images as they are."""
    return lambda images, _: images


@AUGMENTATIONS.register
def crop(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    crop_padding: Padding = 4,
    crop_border: Border = "reflect",
) -> Change:
    """Shift each image by up to ``crop_padding`` pixels: a random crop of the padded image.

    ``crop_border`` is what the pixels around the image show: ``zeros``, or the image mirrored
    (``reflect``), which spares a small network from learning borders that no real image has.

    Raises:
        TrainingFailed: The image is too small to be mirrored ``crop_padding`` pixels outwards.
    """
    _, height, width = dataset.input_shape
    widest = min(height, width) - 1
    if crop_border == "reflect" and crop_padding > widest:
        raise TrainingFailed(
            f"train.crop_padding: {crop_padding} pixels cannot be mirrored in images of "
            f"{height}x{width}; the nearest valid value is {widest}"
        )
    count, device = len(dataset.train), dataset.train.images.device
    shifts = torch.randint(0, 2 * crop_padding + 1, (2, count), generator=generator).to(device)
    return lambda images, places: shifted(
        images, shifts[0, places], shifts[1, places], crop_padding, crop_border
    )


@AUGMENTATIONS.register
def flip(dataset: Dataset, generator: torch.Generator) -> Change:
    """Mirror half of the images, left to right."""
    count, device = len(dataset.train), dataset.train.images.device
    mirrored = torch.randint(0, 2, (count,), generator=generator).bool().to(device)
    return lambda images, places: torch.where(
        mirrored[places].view(-1, 1, 1, 1), images.flip(3), images
    )


def flip_and_crop(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    crop_padding: Padding = 4,
    crop_border: Border = "reflect",
) -> Change:
    """Shift each image as `crop` does, then mirror half of them."""
    shift = crop(dataset, generator, crop_padding=crop_padding, crop_border=crop_border)
    mirror = flip(dataset, generator)
    return lambda images, places: mirror(shift(images, places), places)


AUGMENTATIONS.add("flip+crop", flip_and_crop)


def shifted(
    images: Tensor, down: Tensor, right: Tensor, padding: int, border: Border = "zeros"
) -> Tensor:
    """Crop each image ``[B, C, H, W]`` from its padded self at offset (down, right).

    ``down`` and ``right`` are ``[B]`` in 0..2*padding; ``padding`` itself is the unshifted image.
    A ``reflect`` border mirrors the image without repeating its edge; it needs ``padding`` below
    H and W.
    """
    batch, _, height, width = images.shape
    if border == "reflect":
        rows, columns = (_reflected(size, padding, images.device) for size in (height, width))
        padded = images[:, :, rows][:, :, :, columns]  # `functional.pad` reflects no uint8
    else:
        padded = functional.pad(images, (padding, padding, padding, padding))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, 2p+1, 2p+1, H, W], a view
    return windows[torch.arange(batch, device=images.device), :, down, right]


def _reflected(size: int, padding: int, device: torch.device) -> Tensor:
    """Return the pixel that each position of a padded row shows: |i| and, past the end, back."""
    positions = torch.arange(-padding, size + padding, device=device).abs()
    return (size - 1) - ((size - 1) - positions).abs()
