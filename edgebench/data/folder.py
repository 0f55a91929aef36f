"""Your own images: class folders ``train/<class>/*`` and ``test/<class>/*``, decoded once."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pickle
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgebench.data.dataset import DATASETS, Source, Split
from edgebench.data.images import Shape, decode_all, suffixes
from edgebench.errors import NAMED, EdgebenchError, more

LOG = logging.getLogger(__name__)
CACHE_VERSION = 2
"""Raised where the same files are decoded otherwise than before."""
TEST_SHARE = 5  # where the folder has no test part, every fifth image of a class


@DATASETS.register
def folder(location: str, data_dir: Path, skip_broken: bool) -> Source:
    """Read ``folder:PATH``: class folders in train/ and test/, in RGB; ``@1x28x28``: grey, resized.

    They are ``PATH/train/<class>/*`` and ``PATH/test/<class>/*``; without ``train`` and ``test``,
    ``PATH/<class>/*``, and every fifth image of a class is kept for the test. Images must share one
    size unless they are resized, to channels (3 colour, 1 grey), height and width. They are turned
    as their EXIF data say. Files that are no images are counted; broken images are a mistake, all
    named at once, or with ``skip_broken`` left out and recorded. The decoded images are cached in
    ``data_dir``, keyed by the names, sizes and times of the files.

    Raises:
        EdgebenchError: No class folders, a class without images, classes that differ, images of
            several sizes, a file that is no image.
    """
    path_text, _, size_text = location.partition("@")
    root, shape = Path(path_text), _parse_shape(size_text)
    try:
        found = _list_files(root)
        cache = data_dir / "decoded" / f"{_fingerprint(root, found, shape, skip_broken)}.pt"
    except OSError as error:
        raise EdgebenchError(f"'{_shown(root)}' cannot be read: {error.strerror}") from None
    held = _cached(cache)
    if held is None:
        held = _decoded(root, found, shape, skip_broken=skip_broken)
        _keep(cache, held)
    splits = [Split(images, labels) for images, labels in held["splits"]]
    omitted = (*_skipped(found.other), *held["broken"])
    return Source(splits[0], splits[1], found.classes, "flip+crop", omitted)


def _parse_shape(text: str) -> Shape | None:
    if not text:
        return None
    match = re.fullmatch(r"([13])x(\d{1,5})x(\d{1,5})", text)
    if not match or int(match[2]) == 0 or int(match[3]) == 0:
        raise EdgebenchError(
            f"'@{text}': write channels (1 or 3), height and width, as in '@3x64x64'"
        )
    return int(match[1]), int(match[2]), int(match[3])


# What is there -----------------------------------------------------------------------------------

Files = dict[str, list[Path]]


@dataclass
class _Found:
    """The images of each class for training and test, and how many other files, by their kind."""

    training: Files = field(default_factory=dict)
    test: Files = field(default_factory=dict)
    other: Counter[str] = field(default_factory=Counter)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of their labels."""
        return tuple(sorted(self.training))


def _list_files(root: Path) -> _Found:
    """Find the images of each class for training and test."""
    found = _Found()
    if (root / "train").is_dir():
        if not (root / "test").is_dir():
            raise EdgebenchError(f"'{_shown(root)}' has a folder 'train' but none called 'test'")
        found.training = _by_class(root / "train", found.other)
        found.test = _by_class(root / "test", found.other)
        if set(found.training) != set(found.test):
            odd = ", ".join(sorted(set(found.training) ^ set(found.test)))
            raise EdgebenchError(
                f"'{_shown(root)}': these classes are not in both train and test: {odd}"
            )
        return found
    every = _by_class(root, found.other)
    few = [name for name, files in every.items() if len(files) < TEST_SHARE]
    if few:
        raise EdgebenchError(
            f"'{_shown(root)}': class '{few[0]}' has {len(every[few[0]])} images; without a 'test' "
            f"folder each class needs at least {TEST_SHARE}"
        )
    found.test = {name: files[::TEST_SHARE] for name, files in every.items()}
    found.training = {name: sorted(set(every[name]) - set(found.test[name])) for name in every}
    return found


def _by_class(root: Path, other: Counter[str]) -> Files:
    """Return the images of each class folder under ``root``; other entries are counted."""
    found: Files = {}
    mistakes: list[str] = []
    for entry in sorted(root.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            if entry.is_symlink() and not entry.is_file():
                mistakes.append(f"'{_shown(entry)}' is a link to nothing, or to itself")
            other[_kind(entry)] += 1
            continue
        if not _is_text(entry.name):
            mistakes.append(
                f"'{_shown(entry)}': a class is named by its folder, which should be UTF-8 text "
                "without control characters"
            )
            continue
        files, beside = _images_of(entry)
        other += beside
        found[entry.name] = files
        if not files:
            held = f": {_counted(beside)}" if beside else ""
            mistakes.append(
                f"'{_shown(entry)}': the class has no image{held}; add some, or remove the folder"
            )
    if mistakes:
        raise EdgebenchError(*mistakes[:NAMED], *more(len(mistakes), "folders"))
    if len(found) < 2:
        raise EdgebenchError(
            f"'{_shown(root)}' holds {len(found)} class folders with images; a classifier needs at "
            "least 2"
        )
    return found


def _images_of(folder_: Path) -> tuple[list[Path], Counter[str]]:
    """Return the files of a class that should be images, and count the others."""
    files, other = [], Counter[str]()
    for entry in sorted(folder_.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.suffix.lower() in suffixes() and not entry.is_dir():
            files.append(entry)
        else:
            other[_kind(entry)] += 1
    return files, other


def _kind(entry: Path) -> str:
    """Name the kind of an entry that is no image: its ending, or that it is a folder."""
    if entry.is_dir():
        return "folder"
    ending = entry.suffix.lower()
    return ending if ending and _is_text(ending) else "no ending"


def _is_text(name: str) -> bool:
    """Tell whether a name is UTF-8 and shows; other bytes come as lone surrogates."""
    return name.isprintable()


def _shown(path: Path) -> str:
    """Return a path for a message, with what is no text escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def _skipped(other: Mapping[str, int]) -> list[str]:
    """Say that files were passed over; nothing where none was."""
    return [f"{sum(other.values()):,} skipped, no images: {_counted(other)}"] if other else []


def _counted(other: Mapping[str, int]) -> str:
    kinds = sorted(other.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"{count:,} {kind}" for kind, count in kinds[:NAMED]]
    return ", ".join([*shown, *(["…"] if len(kinds) > NAMED else [])])


# What is in them ---------------------------------------------------------------------------------


def _fingerprint(root: Path, found: _Found, shape: Shape | None, skip_broken: bool) -> str:
    """Hash what decides the tensors: file names, sizes and times, and what is asked for."""
    sha = hashlib.sha256(repr((CACHE_VERSION, shape, skip_broken)).encode())
    for part in (found.training, found.test):
        for name in sorted(part):
            for file in part[name]:
                try:
                    status = file.stat()
                except OSError:  # a link to nothing, or to itself
                    status = file.lstat()
                times = f"|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"
                sha.update(os.fsencode(file.relative_to(root)) + times.encode())
    return sha.hexdigest()[:32]


def _cached(cache: Path) -> dict[str, Any] | None:
    """Return what was decoded before, or None where it was not, or its file is damaged."""
    try:
        held = torch.load(cache, weights_only=True, mmap=True)
        # Cloned: a mapped tensor would keep the file open and page from disk while training.
        splits = [(images.clone(), labels.clone()) for images, labels in held["splits"]]
        return {"splits": splits, "broken": [str(one) for one in held["broken"]]}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
        return None


def _keep(cache: Path, held: Mapping[str, Any]) -> None:
    """Write what was decoded; a disk that refuses costs the next start its time, no more."""
    unfinished = cache.with_suffix(f".{os.getpid()}.part")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        torch.save(dict(held), unfinished)
        unfinished.replace(cache)
    except (OSError, RuntimeError) as error:  # PyTorch's own writer raises RuntimeError
        with contextlib.suppress(OSError):
            unfinished.unlink()
        LOG.warning("the decoded images are not kept in '%s': %s", cache.parent, error)


def _decoded(
    root: Path, found: _Found, shape: Shape | None, *, skip_broken: bool
) -> dict[str, Any]:
    """Decode both parts; ``broken`` names the files that were left out."""
    parts = [_decode(part, found.classes, shape) for part in (found.training, found.test)]
    broken = [f"'{_shown(file)}' {why}" for part in parts for file, why in part.broken.items()]
    if broken and not skip_broken:
        raise EdgebenchError(
            *broken[:NAMED],
            *more(len(broken), "broken files"),
            f"{len(broken):,} broken: mend or remove them, or go on without them by "
            "data.skip_broken: true",
        )
    for part in parts:
        _check_whole(root, part, found.classes)
    first, second = (part.split.images.shape[1:] for part in parts)
    if first != second:
        raise EdgebenchError(f"'{_shown(root)}': {_sizes_differ(first, second)}")
    left_out = [f"left out, {line.replace(f'{_shown(root)}/', '', 1)}" for line in broken]
    return {"splits": [(part.split.images, part.split.labels) for part in parts],
            "broken": left_out}  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """One part decoded: the images of one size, the broken files, and those of another size."""

    split: Split
    broken: Mapping[Path, str]
    other: Mapping[Path, Shape]


def _decode(part: Files, classes: Sequence[str], shape: Shape | None) -> _Part:
    files = [file for name in classes for file in part[name]]
    labels = torch.tensor([index for index, name in enumerate(classes) for _ in part[name]])
    images, broken, other = decode_all(files, shape)
    split = Split(images, labels)
    if broken:
        whole = torch.ones(len(files), dtype=torch.bool)
        whole[list(broken)] = False
        split = split[whole]
    return _Part(
        split,
        {files[index]: why for index, why in broken.items()},
        {files[index]: size for index, size in other.items()},
    )


def _check_whole(root: Path, part: _Part, classes: Sequence[str]) -> None:
    """Refuse images of several sizes, and a class of which nothing could be read."""
    if part.other:
        where, size = next(iter(part.other.items()))
        raise EdgebenchError(
            f"'{_shown(where)}': {_sizes_differ(part.split.images.shape[1:], size)}"
        )
    counts = torch.bincount(part.split.labels, minlength=len(classes)).tolist()
    if 0 in counts:
        raise EdgebenchError(
            f"'{_shown(root)}': no image of the class '{classes[counts.index(0)]}' can be read"
        )


def _sizes_differ(first: Sequence[int], other: Sequence[int]) -> str:
    asked, found = ("x".join(map(str, size)) for size in (first, other))
    return f"the images have sizes {asked} and {found}; ask for one size with 'folder:PATH@{asked}'"
