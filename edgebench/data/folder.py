"""Your own images: class folders ``train/<class>/*`` and ``test/<class>/*``, decoded once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from edgebench.data.dataset import DATASETS, Source, Split
from edgebench.errors import EdgebenchError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp"})
TEST_SHARE = 5  # where the folder has no test part, every fifth image of a class


@DATASETS.register
def folder(location: str, data_dir: Path) -> Source:
    """Read ``train/<class>/*`` and ``test/<class>/*`` under ``folder:PATH``.

    Without ``train`` and ``test``, the class folders stand in PATH itself and every fifth image
    of a class is kept for the test. Images must share one size, or ``folder:PATH@3x64x64`` asks
    for channels (3 colour, 1 grey), height and width. The decoded images are cached in
    ``data_dir``, keyed by the names, sizes and times of the files.

    Raises:
        EdgebenchError: No class folders, classes that differ, images of several sizes, a file
            that is no image.
    """
    path_text, _, size_text = location.partition("@")
    root, shape = Path(path_text), _parse_shape(size_text)
    training, test = _list_files(root)
    classes = tuple(sorted(training))
    cache = data_dir / "decoded" / f"{_fingerprint(root, [training, test], shape)}.pt"
    if cache.is_file():
        parts = torch.load(cache, weights_only=True, mmap=True)
        # Cloned: a mapped tensor would keep the file open and page from disk while training.
        splits = [Split(images.clone(), labels.clone()) for images, labels in parts]
        return Source(splits[0], splits[1], classes, "flip+crop")
    splits = [_decode(part, classes, shape) for part in (training, test)]
    if splits[0].images.shape[1:] != splits[1].images.shape[1:]:
        raise EdgebenchError(_sizes_differ(splits[0].images[0], splits[1].images[0], root))
    cache.parent.mkdir(parents=True, exist_ok=True)
    unfinished = cache.with_suffix(f".{os.getpid()}.part")
    torch.save([(split.images, split.labels) for split in splits], unfinished)
    unfinished.replace(cache)
    return Source(splits[0], splits[1], classes, "flip+crop")


def _parse_shape(text: str) -> tuple[int, int, int] | None:
    if not text:
        return None
    match = re.fullmatch(r"([13])x(\d+)x(\d+)", text)
    if not match or int(match[2]) == 0 or int(match[3]) == 0:
        raise EdgebenchError(
            f"'@{text}': write channels (1 or 3), height and width, as in '@3x64x64'"
        )
    return int(match[1]), int(match[2]), int(match[3])


Files = dict[str, list[Path]]


def _list_files(root: Path) -> tuple[Files, Files]:
    """Find the images of each class for training and test."""
    if (root / "train").is_dir():
        training = _by_class(root / "train")
        if not (root / "test").is_dir():
            raise EdgebenchError(f"'{root}' has a folder 'train' but none called 'test'")
        test = _by_class(root / "test")
        if set(training) != set(test):
            odd = ", ".join(sorted(set(training) ^ set(test)))
            raise EdgebenchError(f"'{root}': these classes are not in both train and test: {odd}")
        return training, test
    every = _by_class(root)
    few = [name for name, files in every.items() if len(files) < TEST_SHARE]
    if few:
        raise EdgebenchError(
            f"'{root}': class '{few[0]}' has {len(every[few[0]])} images; without a 'test' folder "
            f"each class needs at least {TEST_SHARE}"
        )
    test = {name: files[::TEST_SHARE] for name, files in every.items()}
    return {name: sorted(set(every[name]) - set(test[name])) for name in every}, test


def _by_class(root: Path) -> Files:
    classes = {
        entry.name: sorted(f for f in entry.iterdir() if f.suffix.lower() in SUFFIXES)
        for entry in sorted(root.iterdir())
        if entry.is_dir()
    }
    classes = {name: files for name, files in classes.items() if files}
    if len(classes) < 2:
        raise EdgebenchError(
            f"'{root}' holds {len(classes)} class folders with images "
            f"({', '.join(sorted(SUFFIXES))}); a classifier needs at least 2"
        )
    return classes


def _fingerprint(root: Path, parts: Sequence[Files], shape: tuple[int, int, int] | None) -> str:
    """Hash what decides the tensors: file names, sizes and times, and the asked shape."""
    sha = hashlib.sha256(repr(shape).encode())
    for part in parts:
        for name in sorted(part):
            for file in part[name]:
                status = file.stat()
                key = f"{file.relative_to(root)}|{status.st_size}|{status.st_mtime_ns}"
                sha.update(key.encode())
    return sha.hexdigest()[:32]


def _decode(part: Files, classes: Sequence[str], shape: tuple[int, int, int] | None) -> Split:
    files = [file for name in classes for file in part[name]]
    labels = [index for index, name in enumerate(classes) for _ in part[name]]
    with ThreadPoolExecutor() as pool:  # reading and decoding release the interpreter
        images = list(pool.map(lambda file: _decode_one(file, shape), files))
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise EdgebenchError(_sizes_differ(images[0], image, file))
    return Split(torch.stack(images), torch.tensor(labels))


def _decode_one(file: Path, shape: tuple[int, int, int] | None) -> Tensor:
    """Decode one image to uint8 [C, H, W]; a resize filters before it samples."""
    grey = shape is not None and shape[0] == 1
    try:
        with Image.open(file) as opened:
            image = opened.convert("L" if grey else "RGB")
    except (OSError, SyntaxError) as error:  # Pillow's plugins raise SyntaxError on broken files
        raise EdgebenchError(f"'{file}' cannot be read as an image: {error}") from None
    if shape is not None and (image.height, image.width) != shape[1:]:
        image = image.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if grey else pixels.permute(2, 0, 1)


def _sizes_differ(first: Tensor, other: Tensor, where: Path) -> str:
    sizes = " and ".join("x".join(map(str, image.shape)) for image in (first, other))
    asked = "x".join(map(str, first.shape))
    return f"'{where}': the images have sizes {sizes}; ask for one size with 'folder:PATH@{asked}'"
