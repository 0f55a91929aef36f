"""Data sets: the splits, the digest, folders of images, and what is said of bad ones."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import struct
import zlib
from pathlib import Path

import hostile_folders
import numpy as np
import pytest
import torch
from PIL import Image

from edgebench import data
from edgebench.data import DATASETS, DataOptions, Source, Split, images
from edgebench.data.loading import resized, takes_location
from edgebench.errors import EdgebenchError
from edgebench.record import Opening
from edgebench.registry import bind, options


def make_folder(root: Path, *, parts: tuple[str, ...] = ("train", "test"), size: int = 12) -> Path:
    """Write 3 classes of 10 images; the pixel value tells part, class and number."""
    for part_number, part in enumerate(parts):
        for class_number, name in enumerate(("ant", "bee", "cat")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(10):
                value = 100 * part_number + 30 * class_number + index
                Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(
                    folder / f"{index}.png"
                )
    return root


@pytest.mark.parametrize("name", ["digits", "synthetic", "circles"])
def test_every_offline_set_keeps_the_contract(name: str) -> None:
    """Uint8 images, int64 labels, all classes in every split, a tenth held out."""
    dataset = data.load(name)
    for split in (dataset.train, dataset.validation, dataset._test):
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        assert split.images.shape == (len(split), *dataset.input_shape)
        assert set(split.labels.tolist()) == set(range(len(dataset.classes)))
    share = len(dataset.validation) / (len(dataset.train) + len(dataset.validation))
    assert share == pytest.approx(0.1, abs=0.01)


def test_the_default_splits_are_those_of_the_record() -> None:
    """Digests of all images and labels in split order, as commit 6f0a7cb gave them."""
    assert data.load("synthetic").digest == "bce2f593914409fa"
    assert data.load("digits").digest == "7a604c621496b3a7"


def test_the_test_split_has_one_door() -> None:
    """It opens to who says by whom and when, and nothing else shows it."""
    dataset = data.load("synthetic")
    test = dataset.open_test(Opening("2026-01-31T12:00:00+00:00", "a test"))
    assert len(test) == dataset.sizes["test"] == 160
    assert "_test" not in repr(dataset)
    assert not hasattr(dataset, "test")
    for opening in (Opening("", "a test"), Opening("2026-01-31T12:00:00+00:00", "")):
        with pytest.raises(ValueError, match="says by whom and when"):
            dataset.open_test(opening)


@pytest.mark.parametrize("name", DATASETS)
def test_a_reader_takes_what_it_needs(name: str) -> None:
    """No parameter but the two that it may be given; each option has a default that it allows."""
    reader = DATASETS[name]
    assert takes_location(reader) == (name == "folder")
    for option in options(reader).values():
        assert option.mistake(option.default) is None
        assert option.name not in options(DataOptions), "an option has one meaning"


def test_a_data_set_is_one_function() -> None:
    """One that is registered loads, with options of its own and without a location."""

    def stripes(*, count: int = 40) -> Source:
        """Make one image a class, many times."""
        labels = torch.arange(count) % 2
        images = (labels * 255).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        return Source(
            Split(images, labels), Split(images[:4], labels[:4]), ("black", "white"), "none"
        )

    DATASETS.register(stripes)
    try:
        assert data.load("stripes").sizes == {"train": 36, "validation": 4, "test": 4}
        dataset = data.load("stripes", reader_options=bind(DATASETS["stripes"], {"count": 20}))
        assert dataset.sizes == {"train": 18, "validation": 2, "test": 4}
        with pytest.raises(EdgebenchError, match="'stripes' takes no location"):
            data.load("stripes:x")
    finally:
        DATASETS.remove("stripes")


def loaded(**given: object) -> data.Dataset:
    """Load the digits with options as a sweep gives them."""
    return data.load("digits", options=DataOptions(**bind(DataOptions, given)))


def test_fewer_training_images_keep_the_mix() -> None:
    """A count or a share of them, each class its share; the other splits stay as they are."""
    whole = loaded()
    for wanted, count in (
        (100, 100),
        (0.25, round(0.25 * len(whole.train))),
        (1.0, None),
        (10, 10),
    ):
        part = loaded(train_images=wanted)
        assert len(part.train) == (count or len(whole.train))
        shares = (torch.bincount(one.train.labels) / len(one.train) for one in (part, whole))
        left, right = shares
        assert float((left - right).abs().max()) <= 1 / len(part.train)
        assert torch.equal(part.validation.images, whole.validation.images)
    assert torch.equal(loaded(train_images=1.0).train.images, whole.train.images)


def test_a_smaller_part_lies_in_a_larger_one() -> None:
    """So that a curve over the number of images is a curve over growing data."""
    small, large = (
        {image.numpy().tobytes() for image in loaded(train_images=count).train.images}
        for count in (50, 200)
    )
    assert small < large
    chosen = [
        data.load("digits", seed=seed, options=DataOptions(train_images=50)).train.images
        for seed in (0, 1)
    ]
    assert not torch.equal(*chosen)


def test_more_images_than_there_are_is_the_users_mistake() -> None:
    """The message names the option, what there is and the nearest that works."""
    for wanted, nearest in ((5000, 1294), (9, 10)):
        with pytest.raises(EdgebenchError) as caught:
            loaded(train_images=wanted)
        assert str(caught.value) == (
            f"data.train_images: {wanted} is not possible with 1294 training images of 10 classes; "
            f"the nearest valid value is {nearest}"
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [("train_images", 0), ("train_images", 1.5), ("train_images", "many"), ("resolution", 0),
     ("validation_share", 0.0), ("validation_share", 1.0)],
)  # fmt: skip
def test_a_value_out_of_bounds_is_the_users_mistake(name: str, value: object) -> None:
    """The signature is the schema."""
    with pytest.raises(EdgebenchError, match=f"^{name}: {value!r} should be"):
        loaded(**{name: value})


def test_the_validation_share_is_an_option() -> None:
    """A fifth of the images of each class."""
    dataset = loaded(validation_share=0.2)
    whole = dataset.sizes["train"] + dataset.sizes["validation"]
    assert dataset.sizes["validation"] / whole == pytest.approx(0.2, abs=0.005)


def test_folds_hold_every_training_image_out_once() -> None:
    """Five parts, class by class; together they are the training images."""
    parts = [loaded(folds=5, fold=fold) for fold in range(5)]
    images = [{image.numpy().tobytes() for image in part.validation.images} for part in parts]
    everything = {image.numpy().tobytes() for image in parts[0].train.images} | images[0]
    assert set().union(*images) == everything
    assert sum(map(len, images)) == len(everything)
    counts = torch.stack([torch.bincount(part.validation.labels) for part in parts])
    assert int((counts.max(0).values - counts.min(0).values).max()) <= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folds": 3, "fold": 3}, "data.fold: 3 is not possible, the last of 3 folds is 2"),
        ({"fold": 1}, "data.fold: 1 is not possible, data.folds is not set"),
    ],
)
def test_a_fold_that_there_is_not(given: dict[str, int], message: str) -> None:
    """The rule is named."""
    with pytest.raises(EdgebenchError) as caught:
        loaded(**given)
    assert str(caught.value) == message


def test_images_are_resized_without_aliasing() -> None:
    """As Pillow's bilinear filter does it, to within its rounding, up and down."""
    images = torch.randint(0, 256, (2, 3, 20, 24), dtype=torch.uint8)
    for resolution in (8, 30):
        found = resized(Split(images, torch.zeros(2)), resolution).images
        assert found.shape == (2, 3, resolution, resolution)
        for image, ours in zip(images, found, strict=True):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            theirs = np.array(picture.resize((resolution,) * 2, Image.Resampling.BILINEAR))
            difference = ours.permute(1, 2, 0).numpy().astype(int) - theirs
            assert abs(difference).max() <= 1


def test_pixels_may_be_left_as_they_are() -> None:
    """``none`` scales to 0..1 and no more: mean 0, deviation 1."""
    plain, usual = loaded(normalization="none"), loaded()
    assert (plain.mean, plain.std) == ((0.0,), (1.0,))
    assert plain.channel_mean == usual.channel_mean == usual.mean
    assert plain.digest == usual.digest


def test_circles_are_circles() -> None:
    """Without noise every point is 1 or 0.5 from the centre, by its class, but for rounding."""
    dataset = data.load("circles", reader_options={"points": 200, "noise": 0.0})
    for split in (dataset.train, dataset.validation):
        radius = (split.images.double().flatten(1) * 3 / 255 - 1.5).norm(dim=1)
        expected = torch.tensor([1.0, 0.5], dtype=torch.double)[split.labels]
        torch.testing.assert_close(radius, expected, atol=0.02, rtol=0)
    assert dataset.sizes == {"train": 180, "validation": 20, "test": 50}
    assert dataset.classes == ("outer", "inner")


def test_all_splits_have_the_resolution() -> None:
    """A resolution that the images have already changes nothing."""
    small = loaded(resolution=8)
    assert small.input_shape == (1, 8, 8)
    test = small.open_test(Opening("2026-01-31T12:00:00+00:00", "a test"))
    assert small.validation.images.shape[2:] == test.images.shape[2:] == (8, 8)
    assert loaded(resolution=32).digest == loaded().digest


def test_digits_are_scikit_learns() -> None:
    """1,797 images in all, 10 classes, upscaled to 32x32, none of them in two splits."""
    dataset = data.load("digits")
    splits = (dataset.train, dataset.validation, dataset._test)
    assert sum(map(len, splits)) == 1797
    assert dataset.input_shape == (1, 32, 32)
    seen = [image.numpy().tobytes() for split in splits for image in split.images]
    assert len(set(seen)) == 1797


def test_the_split_follows_the_seed() -> None:
    """One seed, one split; another seed, another validation part; the test part never changes."""
    first, again, other = (data.load("digits", seed=seed) for seed in (0, 0, 1))
    assert first.digest == again.digest
    assert not torch.equal(first.validation.images, other.validation.images)
    assert torch.equal(first._test.images, other._test.images)


def test_normalization_is_the_training_splits(tmp_path: Path) -> None:
    """Mean and deviation agree with a direct computation over the training pixels."""
    dataset = data.load("synthetic", data_dir=tmp_path)
    scaled = dataset.train.images.double() / 255
    assert dataset.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist())
    assert dataset.std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist())


def test_a_folder_is_read_and_decoded_once(tmp_path: Path) -> None:
    """Class folders become labels in order of names; the second reading comes from the cache."""
    root = make_folder(tmp_path / "images")
    cache = tmp_path / "cache"
    first = data.load(f"folder:{root}", data_dir=cache)
    assert first.classes == ("ant", "bee", "cat")
    assert (len(first.train), len(first.validation), len(first._test)) == (27, 3, 30)
    assert first.name == "folder:images"
    values = first._test.images[:, 0, 0, 0].tolist()
    assert values == [100 + 30 * label + i for label in range(3) for i in range(10)]
    [file] = (cache / "decoded").iterdir()
    written = file.stat().st_mtime_ns
    assert data.load(f"folder:{root}", data_dir=cache).digest == first.digest
    assert file.stat().st_mtime_ns == written


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    """The cache is keyed by the content: another image, other tensors."""
    root = make_folder(tmp_path / "images")
    before = data.load(f"folder:{root}", data_dir=tmp_path)
    Image.new("RGB", (12, 12), (7, 8, 9)).save(root / "test" / "ant" / "0.png")
    after = data.load(f"folder:{root}", data_dir=tmp_path)
    assert after.digest != before.digest
    assert after._test.images[0, :, 0, 0].tolist() == [7, 8, 9]


def test_without_parts_every_fifth_image_is_the_test(tmp_path: Path) -> None:
    """Class folders alone are enough."""
    root = make_folder(tmp_path, parts=("all",)) / "all"
    dataset = data.load(f"folder:{root}", data_dir=tmp_path / "cache")
    assert dataset._test.images[:, 0, 0, 0].tolist() == [0, 5, 30, 35, 60, 65]


def test_a_size_may_be_asked_for(tmp_path: Path) -> None:
    """``@1x8x8`` makes grey images of that size."""
    root = make_folder(tmp_path / "images")
    assert data.load(f"folder:{root}@1x8x8", data_dir=tmp_path).input_shape == (1, 8, 8)


def mistake(name: str, tmp_path: Path) -> str:
    """Return what is said of a data set that cannot be loaded."""
    with pytest.raises(EdgebenchError) as caught:
        data.load(name, data_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    return str(caught.value)


def test_bad_folders_are_the_users_mistake(tmp_path: Path) -> None:
    """Each message names the folder, the rule and a way out; nothing is written."""
    root = make_folder(tmp_path / "images")
    Image.new("RGB", (16, 16)).save(root / "train" / "bee" / "9.png")
    assert mistake(f"folder:{root}", tmp_path) == (
        f"'{root}/train/bee/9.png': the images have sizes 3x12x12 and 3x16x16; ask for one size "
        "with 'folder:PATH@3x12x12'"
    )
    (root / "train" / "bee" / "9.png").write_bytes(b"no image")
    assert mistake(f"folder:{root}", tmp_path).startswith(
        f"'{root}/train/bee/9.png' cannot be read as an image: "
    )
    (root / "train" / "dog").mkdir()
    Image.new("RGB", (12, 12)).save(root / "train" / "dog" / "0.png")
    assert mistake(f"folder:{root}", tmp_path) == (
        f"'{root}': these classes are not in both train and test: dog"
    )
    assert mistake(f"folder:{root}@3x0x8", tmp_path) == (
        "'@3x0x8': write channels (1 or 3), height and width, as in '@3x64x64'"
    )
    assert mistake(f"folder:{tmp_path}/none", tmp_path) == (
        f"'folder:{tmp_path}/none': there is no folder '{tmp_path}/none'"
    )


# What is in a folder -----------------------------------------------------------------------------


def image(mode: str = "RGB", size: tuple[int, int] = (12, 12), seed: int = 0) -> Image.Image:
    """Return an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_whatever_pillow_reads_is_read(tmp_path: Path) -> None:
    """A class of BMP, one of TIFF, and every other kind; 16 bits keep their upper half."""
    root = make_folder(tmp_path / "images")
    for number, suffix in enumerate(("bmp", "tif", "gif", "webp", "ppm", "tga", "jp2", "PNG")):
        for part in ("train", "test"):
            (root / part / f"dog{number}").mkdir()
            image(seed=number).save(root / part / f"dog{number}" / f"0.{suffix}")
    deep = np.full((12, 12), 0x80FF, np.uint16)
    Image.fromarray(deep).save(root / "test" / "ant" / "0.png")
    for mode in ("1", "L", "LA", "P", "RGBA"):
        image(mode).save(root / "test" / "bee" / f"{mode}.png")
    image("CMYK").save(root / "test" / "bee" / "cmyk.jpg")
    dataset = data.load(f"folder:{root}", data_dir=tmp_path)
    assert len(dataset.classes) == 11
    assert dataset.omitted == ()
    assert dataset._test.images[0].unique().tolist() == [0x80]
    bmp = dataset._test.images[dataset._test.labels == dataset.classes.index("dog0")]
    assert torch.equal(bmp[0].permute(1, 2, 0), torch.from_numpy(np.array(image(seed=0))))


def test_images_stand_upright(tmp_path: Path) -> None:
    """Each of the eight orientations of EXIF shows the same picture, in every format that has it.

    Source: the figure of CIPA DC-008 (EXIF 2.3), section 4.6.4, tag 274.
    """
    upright = torch.from_numpy(np.array(image("L", (6, 4))))
    stored = {  # what a camera that was held so writes
        1: upright,
        2: upright.flip(1),
        3: upright.flip(0, 1),
        4: upright.flip(0),
        5: upright.T,
        6: upright.T.flip(0),
        7: upright.T.flip(0, 1),
        8: upright.T.flip(1),
    }
    for suffix in ("png", "tif"):
        for orientation, pixels in stored.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = tmp_path / f"{orientation}.{suffix}"
            Image.fromarray(pixels.contiguous().numpy()).save(path, exif=exif)
            assert torch.equal(images.decode(path, None)[0], upright), (suffix, orientation)


def test_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    """What is skipped is said; hidden files are not."""
    root = make_folder(tmp_path / "images")
    for name in ("a.txt", "b.txt", "Thumbs.db", "README", ".DS_Store"):
        (root / "train" / "ant" / name).write_text("no image")
    (root / "train" / "bee" / "more").mkdir()
    dataset = data.load(f"folder:{root}", data_dir=tmp_path)
    assert dataset.omitted == ("5 skipped, no images: 2 .txt, 1 .db, 1 folder, 1 no ending",)
    assert data.load(f"folder:{root}", data_dir=tmp_path).omitted == dataset.omitted


def test_a_class_without_images_is_a_mistake(tmp_path: Path) -> None:
    """It would vanish, and another network be trained; all such folders are named."""
    root = make_folder(tmp_path / "images")
    (root / "train" / "dog").mkdir()
    (root / "train" / "elk").mkdir()
    (root / "train" / "elk" / "notes.txt").write_text("none yet")
    (root / "train" / "fox").symlink_to("nowhere")
    assert mistake(f"folder:{root}", tmp_path).splitlines() == [
        f"'{root}/train/dog': the class has no image; add some, or remove the folder",
        f"'{root}/train/elk': the class has no image: 1 .txt; add some, or remove the folder",
        f"'{root}/train/fox' is a link to nothing, or to itself",
    ]


def spoil(folder: Path) -> None:
    """Put seven broken files into a folder, each of another kind."""
    whole = io.BytesIO()
    image().save(whole, "PNG")
    (folder / "a.png").write_bytes(whole.getvalue()[:200])
    (folder / "b.jpg").write_bytes(b"no image")
    (folder / "c.png").symlink_to("nowhere")
    (folder / "d.png").symlink_to("d.png")
    os.mkfifo(folder / "e.png")
    image("L").convert("F").save(folder / "f.tif")
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    bomb = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (folder / "g.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bomb + whole.getvalue()[33:])


def test_broken_files_are_named_all_at_once(tmp_path: Path) -> None:
    """Cut off, no image, links, a pipe that nobody writes to, floats, a bomb of pixels."""
    root = make_folder(tmp_path / "images")
    spoil(root / "train" / "bee")
    at = f"'{root}/train/bee"
    assert mistake(f"folder:{root}", tmp_path).splitlines() == [
        f"{at}/a.png' cannot be read as an image: image file is truncated",
        f"{at}/b.jpg' cannot be read as an image: it has no image's beginning",
        f"{at}/c.png' is a link to nothing",
        f"{at}/d.png' cannot be read as an image: Too many levels of symbolic links",
        f"{at}/e.png' is no file",
        f"{at}/f.tif' has 32 bits a pixel, and no format says what they range over",
        f"{at}/g.png' has more than 89,478,485 pixels",
        "7 broken: mend or remove them, or go on without them by data.skip_broken: true",
    ]
    for number in range(9):
        (root / "train" / "cat" / f"x{number}.png").write_bytes(b"")
    lines = mistake(f"folder:{root}", tmp_path).splitlines()
    assert len(lines) == 12
    assert lines[10] == "and 6 more broken files"


def test_broken_files_may_be_left_out_and_are_recorded(tmp_path: Path) -> None:
    """The rest is what it was; which were left out is kept with the decoded images."""
    root = make_folder(tmp_path / "images")
    whole = data.load(f"folder:{root}", data_dir=tmp_path, identify=True)
    spoil(root / "train" / "bee")
    options = DataOptions(skip_broken=True)
    for _ in range(2):  # decoded, then from the cache
        found = data.load(f"folder:{root}", data_dir=tmp_path, options=options, identify=True)
        assert found.contents == whole.contents
        assert len(found.omitted) == 7
        assert found.omitted[0] == (
            "left out, 'train/bee/a.png' cannot be read as an image: image file is truncated"
        )
    for file in (root / "test" / "cat").iterdir():
        file.write_bytes(b"")
    with pytest.raises(EdgebenchError, match="no image of the class 'cat' can be read"):
        data.load(f"folder:{root}", data_dir=tmp_path, options=options)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A class is shown by its name; an image's name matters to nobody."""
    root = make_folder(tmp_path / "images")
    odd = os.fsdecode(b"\xff.png")
    image().save(root / "train" / "bee" / odd, "PNG")
    assert len(data.load(f"folder:{root}", data_dir=tmp_path).train) == 28
    (root / "train" / "bee" / odd).write_bytes(b"")
    (tmp_path / "again").mkdir()
    assert mistake(f"folder:{root}", tmp_path / "again").startswith(
        f"'{root}/train/bee/\\udcff.png' cannot be read as an image: "
    )
    (root / "train" / os.fsdecode(b"\xfe")).mkdir()
    assert mistake(f"folder:{root}", tmp_path / "again") == (
        f"'{root}/train/\\udcfe': a class is named by its folder, which should be UTF-8 text "
        "without control characters"
    )


def test_a_damaged_or_unwritable_cache_costs_time_only(tmp_path: Path) -> None:
    """The images are decoded again, or not kept."""
    root = make_folder(tmp_path / "images")
    first = data.load(f"folder:{root}", data_dir=tmp_path / "cache")
    [file] = (tmp_path / "cache" / "decoded").iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert data.load(f"folder:{root}", data_dir=tmp_path / "cache").digest == first.digest
    (tmp_path / "file").write_text("")
    assert data.load(f"folder:{root}", data_dir=tmp_path / "file").digest == first.digest


def test_images_that_do_not_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused when the first is decoded, with what would fit."""
    root = make_folder(tmp_path / "images")
    monkeypatch.setattr(os, "sysconf", lambda _: 100)  # a machine of 100 pages of 100 bytes
    assert mistake(f"folder:{root}", tmp_path) == (
        "30 images of 3x12x12 need 0.0 GB decoded, more than half of this machine's 0.0 GB; ask "
        "for a smaller size, as in 'folder:PATH@3x64x64'"
    )


@pytest.mark.parametrize("seed", range(40))
def test_seeded_folders(tmp_path: Path, seed: int) -> None:
    """A few of those that `benchmarks/attacks/image_folders.py` loads by the hundred."""
    (tmp_path / "images").mkdir()
    name = hostile_folders.hostile(seed, tmp_path / "images")
    options = DataOptions(skip_broken=seed % 2 == 1)
    with contextlib.suppress(EdgebenchError):
        data.load(name, data_dir=tmp_path / "cache", options=options)


def test_what_a_data_set_holds_is_told_by_class(tmp_path: Path) -> None:
    """Counts and a digest of each class, whatever share, crop or resolution is made of it."""
    root = make_folder(tmp_path / "images")
    found = data.load(f"folder:{root}", data_dir=tmp_path, identify=True)
    assert {n: (c.training, c.test) for n, c in found.contents.items()} == {
        "ant": (10, 10), "bee": (10, 10), "cat": (10, 10),
    }  # fmt: skip
    options = DataOptions(train_images=9, crop=8, resolution=9)
    part = data.load(f"folder:{root}", data_dir=tmp_path, identify=True, options=options)
    assert part.contents == found.contents
    assert part.digest != found.digest
    image().save(root / "test" / "bee" / "3.png")
    after = data.load(f"folder:{root}", data_dir=tmp_path, identify=True).contents
    assert {name for name in after if after[name] != found.contents[name]} == {"bee"}


def test_names_are_checked_without_reading() -> None:
    """An unknown set, a location where none is taken, a missing location."""
    for name, message in [
        ("digit", "unknown data set 'digit'; did you mean 'digits'?"),
        ("digits:x", "'digits:x': the data set 'digits' takes no location; write 'digits'"),
        ("folder", "'folder': write the location after a colon, as in 'folder:PATH'"),
    ]:
        with pytest.raises(EdgebenchError) as caught:
            data.check_name(name)
        assert str(caught.value) == message


def test_an_archive_that_cannot_be_had_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network: the message names the file, the folder and what works instead."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # the discard port: refused at once
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(EdgebenchError) as caught:
        data.load("cifar10", data_dir=tmp_path / "data")
    text = str(caught.value)
    assert text.startswith("CIFAR10 could not be downloaded (https://")
    assert text.endswith(
        f"Put the original archive 'cifar-10-python.tar.gz' into '{tmp_path}/data', choose "
        "another folder with --data-dir, or use data that is here: --dataset digits or --dataset "
        "folder:PATH"
    )
    assert not (tmp_path / "data").exists()


def test_archives_are_split_as_published(tmp_path: Path) -> None:
    """A CIFAR-10 archive in the published layout is read, checksum rule included.

    The real archive cannot ship with the project, so one of the same layout is written here and
    its own checksum put in the place of the published one.
    """
    import hashlib
    import pickle

    from torchvision import datasets

    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    rng = np.random.default_rng(0)

    def write(name: str, content: object) -> list[str]:
        payload = pickle.dumps(content)
        (base / name).write_bytes(payload)
        return [name, hashlib.md5(payload).hexdigest()]  # noqa: S324 - torchvision's checksum

    def batch() -> dict[str, object]:
        pixels = rng.integers(0, 256, (20, 3072), np.uint8)
        return {"data": pixels, "labels": [i % 10 for i in range(20)]}

    before = {n: getattr(datasets.CIFAR10, n) for n in ("train_list", "test_list", "meta")}
    meta = {"label_names": [f"c{i}" for i in range(10)]}
    name, checksum = write("batches.meta", meta)
    try:
        datasets.CIFAR10.train_list = [write(f"data_batch_{i}", batch()) for i in range(1, 6)]
        datasets.CIFAR10.test_list = [write("test_batch", batch())]
        datasets.CIFAR10.meta = {"filename": name, "key": "label_names", "md5": checksum}
        dataset = data.load("cifar10", data_dir=tmp_path)
    finally:
        for attribute, value in before.items():
            setattr(datasets.CIFAR10, attribute, value)
    assert (len(dataset.train), len(dataset.validation), len(dataset._test)) == (90, 10, 20)
    assert dataset.input_shape == (3, 32, 32)
    assert dataset.classes[0] == "c0"


def test_every_set_names_its_source() -> None:
    """A data set that is listed says what it holds; a public one says where it comes from."""
    for name, reader in DATASETS.items():
        assert reader.__doc__, name
        if name in {"cifar10", "cifar100", "fashion_mnist", "mnist", "digits"}:
            assert "Source:" in reader.__doc__, name


def inputs_of(dataset: data.Dataset, split: Split) -> torch.Tensor:
    """Return images as the network's first layer hands them on."""
    std = torch.tensor(dataset.std).view(1, -1, 1, 1)
    mean = torch.tensor(dataset.mean).view(1, -1, 1, 1)
    layer = dataset.input_layer()
    assert layer is not None
    found: torch.Tensor = layer((split.images.float() / 255 - mean) / std)
    return found


def test_the_mean_image_is_that_of_the_training_split() -> None:
    """Each pixel's mean over the training images is taken off; NumPy says what is left."""
    dataset = loaded(normalization="mean_image", resolution=8)
    train, validation = (
        split.images.numpy().astype(np.float64) / 255 / np.array(dataset.std).reshape(1, -1, 1, 1)
        for split in (dataset.train, dataset.validation)
    )
    found = inputs_of(dataset, dataset.validation).numpy()
    np.testing.assert_allclose(found, validation - train.mean(0), atol=1e-5)


def test_zca_leaves_pixels_uncorrelated_and_in_their_places() -> None:
    """The covariance becomes S / (S + 0.1) in the eigenvectors of the training images' own."""
    dataset = loaded(normalization="zca", resolution=8)
    std = np.array(dataset.std).reshape(1, -1, 1, 1)
    pixels = (dataset.train.images.numpy() / 255 / std).reshape(len(dataset.train), -1)
    values, vectors = np.linalg.eigh(np.cov(pixels.T, bias=True))
    white = inputs_of(dataset, dataset.train).flatten(1).numpy().astype(np.float64)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-4)
    expected = (vectors * (values / (values + 0.1))) @ vectors.T
    np.testing.assert_allclose(np.cov(white.T, bias=True), expected, atol=2e-4)
    layer = dataset.input_layer()
    assert layer is not None
    weight = layer.state_dict()["weight"]
    torch.testing.assert_close(weight, weight.T, atol=1e-4, rtol=0)  # zero phase


def test_only_the_training_split_is_read() -> None:
    """Other validation images change nothing in the layer."""
    dataset = loaded(normalization="mean_image", resolution=8)
    images = dataset.validation.images
    changed = dataclasses.replace(
        dataset, validation=Split(255 - images, dataset.validation.labels)
    )
    mine, theirs = dataset.input_layer(), changed.input_layer()
    assert mine is not None
    assert theirs is not None
    assert torch.equal(mine.state_dict()["offset"], theirs.state_dict()["offset"])


def test_a_crop_shows_the_centre_elsewhere() -> None:
    """Training keeps whole images; the other splits hold the middle 20 of 32 pixels."""
    whole, cropped = loaded(), loaded(crop=20)
    assert cropped.input_shape == (1, 20, 20)
    assert torch.equal(cropped.train.images, whole.train.images)
    assert torch.equal(cropped.train_centre.images, whole.train.images[:, :, 6:26, 6:26])
    assert torch.equal(cropped.validation.images, whole.validation.images[:, :, 6:26, 6:26])
    assert cropped._test.images.shape[2:] == (20, 20)
    with pytest.raises(EdgebenchError) as caught:
        loaded(crop=33)
    message = "data.crop: 33 is more than the images have; the nearest valid value is 32"
    assert str(caught.value) == message
