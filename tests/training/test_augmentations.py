"""Contracts that every registered augmentation keeps, and what each does to an image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebench import data
from edgebench.data import Dataset, Split
from edgebench.training import AUGMENTATIONS, TrainingFailed
from edgebench.training.augmentations import shifted
from edgebench.training.batches import training_batches


def dataset_of(images: torch.Tensor, augmentation: str = "none") -> Dataset:
    """Return a data set whose training split is ``images``, labelled by their number."""
    split = Split(images, torch.arange(len(images)))
    return Dataset("made", split, split, split, ("a", "b"), augmentation)


def pixels(count: int = 8, size: int = 6) -> torch.Tensor:
    """Return random uint8 images ``[count, 3, size, size]``."""
    shape = (count, 3, size, size)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(3)).byte()


def changed(name: str, images: torch.Tensor, seed: int = 0, **options: Any) -> torch.Tensor:
    """Return all of ``images``, changed in two batches."""
    generator = torch.Generator().manual_seed(seed)
    change = AUGMENTATIONS[name](dataset_of(images), generator, **options)
    half = len(images) // 2
    parts = (slice(0, half), slice(half, len(images)))
    return torch.cat([change(images[part], part) for part in parts])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_image_stays_an_image(name: str) -> None:
    """Shape and type stay, the given images are not written to, and the generator decides."""
    images = pixels()
    before = images.clone()
    first, again, other = (changed(name, images, seed) for seed in (0, 0, 1))
    assert torch.equal(images, before)
    assert (first.shape, first.dtype) == (images.shape, torch.uint8)
    assert torch.equal(first, again)
    assert torch.equal(first, images) or not torch.equal(first, other)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_random_state_of_pytorch_is_left_alone(name: str) -> None:
    """All draws come from the generator that is given: dropout draws from the other."""
    state = torch.get_rng_state()
    changed(name, pixels())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("suits", [name for name in AUGMENTATIONS if name != "auto"])
def test_auto_takes_what_suits_the_data(suits: str) -> None:
    """``auto`` on a data set is the augmentation that the data set names."""
    images = pixels()
    places = slice(0, len(images))
    results = [
        AUGMENTATIONS[name](dataset_of(images, suits), torch.Generator().manual_seed(4))(
            images, places
        )
        for name in ("auto", suits)
    ]
    assert torch.equal(*results)


def test_the_suits_of_all_data_sets_are_registered() -> None:
    """A data set names an augmentation that exists."""
    for name in ("digits", "synthetic"):
        assert data.load(name).augmentation in AUGMENTATIONS


@settings(deadline=None)
@given(
    height=st.integers(4, 6),
    width=st.integers(4, 6),
    padding=st.integers(1, 3),
    border=st.sampled_from(["zeros", "reflect"]),
    data=st.data(),
)
def test_a_crop_is_a_shift_into_the_border(
    height: int, width: int, padding: int, border: Any, data: st.DataObject
) -> None:
    """Against slicing by hand, image by image."""
    count = 4
    offsets = st.lists(st.integers(0, 2 * padding), min_size=count, max_size=count)
    down, right = (torch.tensor(data.draw(offsets)) for _ in range(2))
    images = torch.randint(0, 256, (count, 2, height, width), dtype=torch.uint8)
    around = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    mode: Any = "reflect" if border == "reflect" else "constant"
    padded = np.pad(images.numpy(), around, mode=mode)
    result = shifted(images, down, right, padding, border).numpy()
    for index in range(count):
        top, left = int(down[index]), int(right[index])
        expected = padded[index, :, top : top + height, left : left + width]
        assert np.array_equal(result[index], expected)


def test_a_border_that_cannot_be_mirrored_fails_the_trial() -> None:
    """16 pixels hold at most 15 others to mirror; black borders may be as wide as asked."""
    images = pixels(size=16)
    with pytest.raises(TrainingFailed) as caught:
        changed("crop", images, crop_padding=16)
    assert str(caught.value) == (
        "train.crop_padding: 16 pixels cannot be mirrored in images of 16x16; the nearest valid "
        "value is 15"
    )
    changed("crop", images, crop_padding=16, crop_border="zeros")


def test_about_half_of_the_images_are_mirrored() -> None:
    """Each image is itself or its mirror image; both happen."""
    images = torch.arange(3, dtype=torch.uint8).view(1, 1, 1, 3).repeat(400, 1, 1, 1)
    shown = changed("flip", images)[:, 0, 0]
    straight, mirrored = ((shown == torch.tensor(row)).all(1) for row in ([0, 1, 2], [2, 1, 0]))
    assert bool((straight | mirrored).all())
    assert 150 < int(straight.sum()) < 250


def test_a_square_of_the_mean_colour_is_cut_out() -> None:
    """At most size x size pixels, all of one square, all of the mean; the others stay."""
    images = pixels(30, 12)
    mean = [round(255 * one) for one in dataset_of(images).channel_mean]
    shown = changed("cutout", images, cutout_size=4)
    for before, after in zip(images, shown, strict=True):
        other = (before != after).any(0)
        rows, columns = other.any(1).nonzero().flatten(), other.any(0).nonzero().flatten()
        assert rows.max() - rows.min() < 4
        assert columns.max() - columns.min() < 4
        assert after[:, other].T.tolist() == [mean] * int(other.sum())
    assert (images != shown).any(1).sum((1, 2)).unique().numel() > 1  # some lie partly outside


def test_no_rotation_shift_or_scale_is_the_image() -> None:
    """The map of an affine change is then the identity."""
    images = pixels(4, 9)
    nothing = {"affine_rotation": 0.0, "affine_translation": 0.0, "affine_scale": 0.0}
    assert torch.equal(changed("affine", images, **nothing), images)


def test_an_affine_change_keeps_its_limits() -> None:
    """The centre of a bright spot moves by at most the share of the size, along each axis."""
    images = torch.zeros(60, 1, 21, 21, dtype=torch.uint8)
    images[:, :, 9:12, 9:12] = 255
    limits = {"affine_rotation": 30.0, "affine_translation": 0.2, "affine_scale": 0.0}
    shown = changed("affine", images, **limits).double()[:, 0]
    weight = shown / shown.sum((1, 2), keepdim=True)
    places = torch.arange(21, dtype=torch.double)
    down = (weight.sum(2) * places).sum(1) - 10
    right = (weight.sum(1) * places).sum(1) - 10
    # A shift is taken before the rotation: its length is at most sqrt(2) x 0.2 x 21.
    moved = torch.hypot(down, right)
    assert 3 < float(moved.max()) <= 2**0.5 * 0.2 * 21 + 0.1


def epoch(
    images: torch.Tensor, batch_size: int, generator: torch.Generator, name: str = "none"
) -> Any:
    """Return the batches of one epoch."""
    augmentation = AUGMENTATIONS[name]
    return list(
        training_batches(
            dataset_of(images), batch_size, augmentation=augmentation, generator=generator
        )
    )


def test_an_epoch_shows_every_image_at_most_once() -> None:
    """Shuffled, without repetition; what does not fill a batch waits for another epoch."""
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    batches = epoch(images, 4, generator)
    seen = torch.cat([labels for _, labels in batches]).tolist()
    assert [len(labels) for _, labels in batches] == [4, 4]
    assert len(set(seen)) == 8
    for shown, labels in batches:
        assert torch.equal(shown.flatten().long(), labels)
    [(_, labels)] = epoch(images, 64, generator)
    assert sorted(labels.tolist()) == list(range(10))


def test_the_order_is_the_seeds_alone() -> None:
    """Whatever is drawn for the images, every epoch has the same order: runs can be paired."""
    images = pixels(20)
    orders = []
    for name in AUGMENTATIONS:
        generator = torch.Generator().manual_seed(0)
        epochs = [epoch(images, 5, generator, name) for _ in range(3)]
        orders.append([labels.tolist() for batches in epochs for _, labels in batches])
    assert all(order == orders[0] for order in orders)
    assert orders[0][:4] != orders[0][4:8]


def test_a_data_set_that_crops_shows_random_parts_of_its_images() -> None:
    """Every part shown is a window of its image; places differ, and the seed decides them."""
    images = pixels(120, 6)
    cropping = dataclasses.replace(dataset_of(images), crop=4)

    def shown(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        batches = training_batches(
            cropping,
            10,
            augmentation=AUGMENTATIONS["none"],
            generator=torch.Generator().manual_seed(seed),
        )
        parts, labels = zip(*batches, strict=True)
        return torch.cat(parts), torch.cat(labels)

    parts, labels = shown(0)
    windows = images.unfold(2, 4, 1).unfold(3, 4, 1)  # [N, C, 3, 3, 4, 4]
    places = set()
    for part, label in zip(parts, labels.tolist(), strict=True):
        fits = [
            (row, column)
            for row in range(3)
            for column in range(3)
            if torch.equal(windows[label, :, row, column], part)
        ]
        places |= set(fits)
        assert len(fits) == 1
    assert len(places) == 9
    assert torch.equal(parts, shown(0)[0])
    assert not torch.equal(parts, shown(1)[0])
