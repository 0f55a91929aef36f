"""Batches on the device: shuffled, normalised and augmented without leaving it.

The whole split stands on the device as uint8; a batch is one gather. All random draws of an epoch
come from one CPU generator, so that a seed means the same images on a CPU and on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgebench.data import Augmentation, Split
from edgebench.training.recipe import Border


def normaliser(mean: Sequence[float], std: Sequence[float], device: torch.device) -> Normaliser:
    """Return the map from uint8 ``[N, C, H, W]`` to float32 ``(x / 255 - mean) / std``."""
    shape = (1, len(mean), 1, 1)
    scale = torch.tensor([1 / (255 * s) for s in std], device=device).view(shape)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return Normaliser(scale, shift.view(shape))


class Normaliser:
    """Maps uint8 images to normalised float32 in channels-last order."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        self._scale = scale
        self._shift = shift

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise ``images`` uint8 ``[N, C, H, W]``; the memory format is channels-last."""
        in_order = images.contiguous(memory_format=torch.channels_last)
        return torch.addcmul(self._shift, in_order, self._scale)


def training_batches(
    split: Split,
    batch_size: int,
    *,
    augmentation: Augmentation,
    padding: int,
    border: Border,
    generator: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of shuffled uint8 images ``[B, C, H, W]`` and labels ``[B]``.

    The last images are left out where they do not fill a batch (they come in other epochs), unless
    the split is smaller than one batch. ``generator`` is a CPU generator; it is advanced by the
    same amount whatever the device.
    """
    count, device = len(split), split.images.device
    order = torch.randperm(count, generator=generator)
    shifts = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
    mirrored = torch.randint(0, 2, (count,), generator=generator).bool()
    order, shifts, mirrored = order.to(device), shifts.to(device), mirrored.to(device)
    batch_size = min(batch_size, count)
    for start in range(0, count - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        images = split.images[chosen]
        part = slice(start, start + batch_size)
        if augmentation != "none":
            images = shifted(images, shifts[0, part], shifts[1, part], padding, border)
        if augmentation == "flip+crop":
            images = torch.where(mirrored[part].view(-1, 1, 1, 1), images.flip(3), images)
        yield images, split.labels[chosen]


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
