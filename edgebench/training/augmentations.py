"""Augmentations: random changes of the training images, batched, on the device.

A member is called once an epoch with the data set and a generator on the CPU, makes all its draws
there (so a seed means the same images on a CPU and on a GPU), and returns the function that
changes one batch. That function is given uint8 images ``[B, C, H, W]`` and the batch's places in
the epoch, and returns as many of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, Lt
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


@AUGMENTATIONS.register
def affine(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    affine_rotation: Annotated[float, Ge(0.0), Le(180.0)] = 15.0,
    affine_translation: Annotated[float, Ge(0.0), Le(1.0)] = 0.1,
    affine_scale: Annotated[float, Ge(0.0), Lt(1.0)] = 0.1,
) -> Change:
    """Rotate, shift and scale each image about its centre, by bilinear interpolation.

    Each is drawn evenly: a rotation of up to ``affine_rotation`` degrees either way, a shift of up
    to ``affine_translation`` of the size along each axis, a scale of 1 +- ``affine_scale``. What
    comes into the image from outside is its own mirror image.
    """
    count, device = len(dataset.train), dataset.train.images.device
    draws = 2 * torch.rand((4, count), generator=generator).to(device) - 1
    angle, right, down, scale = draws
    angle, scale = angle * math.radians(affine_rotation), 1 + scale * affine_scale
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    # affine_grid's unit is half an image: a shift by the share s of the size is 2 s.
    shift_x, shift_y = (2 * affine_translation * one for one in (right, down))
    rows = (torch.stack([cosine, -sine, shift_x], 1), torch.stack([sine, cosine, shift_y], 1))
    maps = torch.stack(rows, 1)  # [N, 2, 3]: where each pixel of the result is taken from

    def change(images: Tensor, places: slice) -> Tensor:
        grid = functional.affine_grid(maps[places], list(images.shape), align_corners=False)
        moved = functional.grid_sample(
            images.float(), grid, padding_mode="reflection", align_corners=False
        )
        return moved.round().clamp(0, 255).to(torch.uint8)

    return change


@AUGMENTATIONS.register
def cutout(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    cutout_size: Annotated[int, Ge(1), Le(256)] = 8,
) -> Change:
    """Paint a square of ``cutout_size`` pixels in the mean colour (DeVries and Taylor, 2017).

    Its centre is anywhere in the image, so that it may lie partly outside.
    """
    count, device = len(dataset.train), dataset.train.images.device
    _, height, width = dataset.input_shape
    tops = torch.randint(0, height, (count,), generator=generator).to(device) - cutout_size // 2
    lefts = torch.randint(0, width, (count,), generator=generator).to(device) - cutout_size // 2
    colour = torch.tensor([round(255 * mean) for mean in dataset.channel_mean], device=device)
    rows, columns = (torch.arange(size, device=device) for size in (height, width))

    def change(images: Tensor, places: slice) -> Tensor:
        top, left = tops[places, None], lefts[places, None]
        inside_rows = (rows >= top) & (rows < top + cutout_size)  # [B, H]
        inside_columns = (columns >= left) & (columns < left + cutout_size)  # [B, W]
        inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        return torch.where(inside, colour.to(torch.uint8).view(1, -1, 1, 1), images)

    return change


def flip_crop_and_affine(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    crop_padding: Padding = 4,
    crop_border: Border = "reflect",
    affine_rotation: Annotated[float, Ge(0.0), Le(180.0)] = 15.0,
    affine_translation: Annotated[float, Ge(0.0), Le(1.0)] = 0.1,
    affine_scale: Annotated[float, Ge(0.0), Lt(1.0)] = 0.1,
) -> Change:
    """Shift and mirror as ``flip+crop`` does, then rotate, shift and scale as `affine` does."""
    first = flip_and_crop(dataset, generator, crop_padding=crop_padding, crop_border=crop_border)
    second = affine(
        dataset,
        generator,
        affine_rotation=affine_rotation,
        affine_translation=affine_translation,
        affine_scale=affine_scale,
    )
    return lambda images, places: second(first(images, places), places)


def flip_crop_and_cutout(
    dataset: Dataset,
    generator: torch.Generator,
    *,
    crop_padding: Padding = 4,
    crop_border: Border = "reflect",
    cutout_size: Annotated[int, Ge(1), Le(256)] = 8,
) -> Change:
    """Shift and mirror as ``flip+crop`` does, then paint a square as `cutout` does."""
    first = flip_and_crop(dataset, generator, crop_padding=crop_padding, crop_border=crop_border)
    second = cutout(dataset, generator, cutout_size=cutout_size)
    return lambda images, places: second(first(images, places), places)


AUGMENTATIONS.add("flip+crop+affine", flip_crop_and_affine)
AUGMENTATIONS.add("flip+crop+cutout", flip_crop_and_cutout)


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
        # `functional.pad` reflects no uint8; `images[:, :, rows]` takes nine times as long.
        padded = images.index_select(2, rows).index_select(3, columns)
    else:
        padded = functional.pad(images, (padding, padding, padding, padding))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, 2p+1, 2p+1, H, W], a view
    return windows[torch.arange(batch, device=images.device), :, down, right]


def _reflected(size: int, padding: int, device: torch.device) -> Tensor:
    """Return the pixel that each position of a padded row shows: |i| and, past the end, back."""
    positions = torch.arange(-padding, size + padding, device=device).abs()
    return (size - 1) - ((size - 1) - positions).abs()
