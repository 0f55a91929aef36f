"""Image files as uint8 pixels: whatever Pillow reads without another program, from anybody.

A file may be anything: no image, a bomb of pixels, a pipe that nobody writes to, a link into
nowhere. Each gives its pixels or one reason why not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from edgebench.errors import EdgebenchError

Shape = tuple[int, int, int]
"""Channels (3 colour, 1 grey), height, width."""
MOST_PIXELS = 89_478_485
"""Of one file: Pillow's own line between photographs and bombs (a quarter of a GiB as RGB)."""
LARGE_PIXELS = 8_000_000
"""Files with more are decoded one at a time, so that memory does not grow with the cores."""
THREADS = 4
ELSEWHERE = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow names and leaves to other programs, or runs one for (Ghostscript)."""
_ORIENTATION = 0x0112
"""The tag of EXIF 2.3 that says how the camera was held (section 4.6.4, A)."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_one_large = threading.Lock()


@functools.cache
def suffixes() -> frozenset[str]:
    """Return the endings of the files that are read, in lower case, with their dot."""
    registered = Image.registered_extensions()  # imports every format of Pillow
    return frozenset(
        suffix for suffix, kind in registered.items() if kind in Image.OPEN.keys() - ELSEWHERE
    )


def decode_all(
    files: Sequence[Path], shape: Shape | None
) -> tuple[Tensor, dict[int, str], dict[int, Shape]]:
    """Decode ``files``, resized to ``shape`` where one is asked for.

    Returns:
        uint8 ``[N, C, H, W]``; why some of the N have no pixels; and which have another size than
        the first that has. What stands in the tensor at those places has no meaning.

    Raises:
        EdgebenchError: Decoded, all of them would not fit into this machine's memory.
    """
    broken: dict[int, str] = {}
    other: dict[int, Shape] = {}
    found: Tensor | None = None

    def fill(index: int) -> None:
        nonlocal found
        try:
            image = decode(files[index], shape)
        except UnreadableError as error:
            broken[index] = str(error)
            return
        if found is None:
            found = _room(len(files), image)
        if image.shape == found.shape[1:]:
            found[index] = image
        else:
            other[index] = _shape(image)

    with warnings.catch_warnings():
        # Of what Pillow mends and of sizes that are judged here, in all threads.
        warnings.simplefilter("ignore")
        begun = 0
        while found is None and begun < len(files):  # the first image says how large all are
            fill(begun)
            begun += 1
        with ThreadPoolExecutor(THREADS) as pool:  # decoding releases the interpreter
            list(pool.map(fill, range(begun, len(files))))
    if found is None:
        found = torch.empty((len(files), *(shape or (3, 1, 1))), dtype=torch.uint8)
    return found, dict(sorted(broken.items())), dict(sorted(other.items()))


class UnreadableError(Exception):
    """A file gives no pixels; the message says why."""


def decode(file: Path, shape: Shape | None) -> Tensor:
    """Decode one file to uint8 ``[C, H, W]``, upright; a resize filters before it samples.

    Raises:
        UnreadableError: It is no image that can be read.
    """
    grey = shape is not None and shape[0] == 1
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116 - Path.stat follows alike
            raise UnreadableError("is no file")  # a pipe would be waited for
        # Opened here: Pillow maps a file that it opens, and then turns some TIFF files wrongly.
        with file.open("rb") as stream, Image.open(stream) as opened:
            if opened.format in ELSEWHERE:
                raise UnreadableError(f"is {opened.format}, which needs another program")
            if opened.width * opened.height > MOST_PIXELS:
                raise UnreadableError(
                    f"has {opened.width:,} x {opened.height:,} pixels; {MOST_PIXELS:,} are read"
                )
            image = _prepared(opened, shape, grey=grey)
    except UnreadableError:
        raise
    except FileNotFoundError:
        raise UnreadableError("is a link to nothing") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"has more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:  # noqa: BLE001 - Pillow's plugins raise whatever they run into
        raise UnreadableError(f"cannot be read as an image: {_reason(error)}") from None
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if grey else pixels.permute(2, 0, 1)


def _prepared(opened: Image.Image, shape: Shape | None, *, grey: bool) -> Image.Image:
    large = opened.width * opened.height > LARGE_PIXELS
    with _one_large if large else contextlib.nullcontext():
        opened.load()
        turn = _turn(opened)  # after loading: Pillow turns a TIFF file by itself
        image = _eight_bits(opened).convert("L" if grey else "RGB")
        if turn is not None:
            image = image.transpose(turn)
        if shape is not None and (image.height, image.width) != shape[1:]:
            image = image.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of bytes: 16 bits lose their lower half."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableError("has 32 bits a pixel, and no format says what they range over")
    return image


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that EXIF data ask for; none where they are broken."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow's parsers raise anything; the pixels are no worse for it
        return None


def _room(count: int, image: Tensor) -> Tensor:
    """Return a tensor for ``count`` images like this one."""
    needed = count * image.numel()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory // 2:
        sizes = "x".join(map(str, image.shape))
        raise EdgebenchError(
            f"{count:,} images of {sizes} need {needed / 1e9:,.1f} GB decoded, more than half of "
            f"this machine's {memory / 1e9:,.1f} GB; ask for a smaller size, as in "
            "'folder:PATH@3x64x64'"
        )
    return torch.empty((count, *image.shape), dtype=torch.uint8)


def _shape(image: Tensor) -> Shape:
    channels, height, width = image.shape
    return int(channels), int(height), int(width)


def _reason(error: Exception) -> str:
    """Return what an exception says in one short line, without the path that stands before it."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(said.split()) or type(error).__name__
    if line.startswith("cannot identify image file"):
        return "it has no image's beginning"
    return line if len(line) <= 120 else f"{line[:120]}…"
