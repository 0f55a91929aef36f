"""Batches on the device: shuffled, augmented and normalized without leaving it.

The whole split stands on the device as uint8; a batch is one gather. All random draws of an epoch
come from one CPU generator, so that a seed means the same images on a CPU and on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from edgebench.data import Dataset
from edgebench.training.augmentations import Change


class Normalizer:
    """Maps uint8 images to normalized float32 in one order of memory."""

    def __init__(self, scale: Tensor, shift: Tensor, memory_format: torch.memory_format) -> None:
        self._scale = scale
        self._shift = shift
        self._format = memory_format

    @property
    def device(self) -> torch.device:
        """Where it normalizes."""
        return self._scale.device

    def __call__(self, images: Tensor) -> Tensor:
        """Normalize ``images`` uint8 ``[N, C, H, W]``."""
        in_order = images.contiguous(memory_format=self._format)
        return torch.addcmul(self._shift, in_order, self._scale)


def normalizer(
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    memory_format: torch.memory_format = torch.channels_last,
) -> Normalizer:
    """Return the map from uint8 ``[N, C, H, W]`` to float32 ``(x / 255 - mean) / std``."""
    shape = (1, len(mean), 1, 1)
    scale = torch.tensor([1 / (255 * s) for s in std], device=device).view(shape)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return Normalizer(scale, shift.view(shape), memory_format)


Criterion = Callable[[Tensor, Tensor], Tensor]


def mixed(inputs: Tensor, criterion: Criterion, alpha: float) -> tuple[Tensor, Criterion]:
    """Blend each image with another of the batch, and the loss of its label with the other's.

    The share is drawn once a batch from Beta(``alpha``, ``alpha``) (Zhang et al., mixup, 2018), by
    PyTorch's own generator, as dropout is. The batch is in random order, so an image is blended
    with its mirror image in that order.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())

    def blended(logits: Tensor, labels: Tensor) -> Tensor:
        own, other = criterion(logits, labels), criterion(logits, labels.flip(0))
        return share * own + (1 - share) * other

    return torch.lerp(inputs.flip(0), inputs, share), blended


def training_batches(
    dataset: Dataset,
    batch_size: int,
    *,
    augmentation: Callable[[Dataset, torch.Generator], Change],
    generator: torch.Generator,
    sampling: str = "shuffled",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of shuffled uint8 images ``[B, C, H, W]`` and labels ``[B]``.

    Where the data set crops, each image is first cut to a random part of that size. The last images
    are left out where they do not fill a batch (they come in other epochs), unless
    the split is smaller than one batch. ``generator`` is a CPU generator; it is advanced by the
    same amount whatever the device and the augmentation, so that runs which differ in these see
    the images in the same order. With ``balanced`` sampling as many images are drawn with
    replacement, those of each class as likely as those of another.
    """
    split, device = dataset.train, dataset.train.images.device
    count = len(split)
    order = torch.randperm(count, generator=generator)
    if sampling == "balanced":
        order = _balanced(split.labels.cpu(), generator)
    order = order.to(device)
    # The augmentation draws from a copy; three draws an image, what a flip and a crop take, are
    # then left out, whatever it drew.
    change = augmentation(dataset, generator.clone_state())
    cut = _random_crop(dataset, generator)
    torch.randint(0, 2, (3, count), generator=generator)
    batch_size = min(batch_size, count)
    for start in range(0, count - batch_size + 1, batch_size):
        places = slice(start, start + batch_size)
        chosen = order[places]
        images = split.images.index_select(0, chosen)  # whole images at a time: `[chosen]` is slow
        yield change(cut(images, places), places), split.labels[chosen]


def _balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many places ``[N]`` as there are labels, each class as likely as another."""
    rarity = 1 / torch.bincount(labels)[labels].double()
    own = _own_generator(generator)
    return torch.multinomial(rarity, len(labels), replacement=True, generator=own)


def _own_generator(generator: torch.Generator) -> torch.Generator:
    """Return another generator that follows from the state of ``generator``, which stays as it is.

    Its numbers are not those that ``generator`` goes on with.
    """
    seed = int(torch.randint(0, 2**31, (1,), generator=generator.clone_state()))
    return torch.Generator().manual_seed(seed)


def _random_crop(dataset: Dataset, generator: torch.Generator) -> Change:
    """Return what cuts a batch to the data set's crop, at places drawn once an epoch."""
    images, size = dataset.train.images, dataset.crop
    if size is None:
        return lambda batch, _: batch
    own = _own_generator(generator)  # the numbers that follow are those of the augmentation
    places = [
        torch.randint(0, side - size + 1, (len(images),), generator=own).to(images.device)
        for side in images.shape[2:]
    ]

    def cut(batch: Tensor, which: slice) -> Tensor:
        windows = batch.unfold(2, size, 1).unfold(3, size, 1)  # [B, C, rows, columns, size, size]
        rows, columns = (place[which] for place in places)
        return windows[torch.arange(len(batch), device=batch.device), :, rows, columns]

    return cut
