"""Makes folders of images that nobody should have made: seeded, one after another.

Each has classes of small images in every form, some of them spoiled: cut off, with flipped bytes,
bombs of pixels, links into nowhere, pipes, names that are no text.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("png", "jpg", "bmp", "tif", "gif", "webp", "ppm", "tga", "ico", "jp2")
MODES = ("RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16", "F", "YCbCr", "HSV")
NAMES: Sequence[bytes] = (
    b"plain", b"with space", "\u00e9\u4f60".encode(), b"\xff\xfe", b"a\nb", b"<b>|`*", b"-rf",
    b"@3x8x8", b"." + b"h" * 20, b"x" * 200, b"\xe2\x80\xae", b"train", b"test",
)  # fmt: skip


def picture(chance: random.Random, path: Path) -> None:
    """Write a small image of any mode, turned by EXIF or not."""
    mode, size = chance.choice(MODES), (chance.choice((1, 8, 8, 8, 31)), 8)
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (size[1], size[0], 3))
    image = Image.fromarray(values.astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray((values[:, :, 0] * 257).astype(np.uint16))
    elif mode != "RGB":
        image = image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535))
    try:
        image.save(path, **({"exif": exif} if chance.random() < 0.5 else {}))
    except (OSError, ValueError, KeyError, SystemError):  # the format has no such mode
        image.convert("RGB").resize((16, 16)).save(path.with_suffix(".png"))


def _bomb(chance: random.Random, path: Path) -> None:
    """Write a PNG of a few hundred bytes that says that it has milliards of pixels."""
    side = chance.choice((9_000, 9_460, 20_000, 60_000, 2**31 - 1))

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.with_suffix(".png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000)))
    )


def _flipped(chance: random.Random, path: Path) -> None:
    picture(chance, path)
    for file in path.parent.glob(f"{path.stem}.*"):
        content = bytearray(file.read_bytes())
        for _ in range(chance.randint(1, 9)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        file.write_bytes(bytes(content))


def _cut(chance: random.Random, path: Path) -> None:
    picture(chance, path)
    for file in path.parent.glob(f"{path.stem}.*"):
        content = file.read_bytes()
        file.write_bytes(content[: chance.randrange(len(content))])


def _special(chance: random.Random, path: Path) -> None:
    """Make what is no file: a link to nothing, to itself, to a device; a pipe; a folder."""
    kind = chance.randrange(6)
    if kind == 0:
        path.symlink_to("nowhere")
    elif kind == 1:
        path.symlink_to(path.name)
    elif kind == 2:
        path.symlink_to("/dev/zero")
    elif kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        path.mkdir()
    else:
        path.symlink_to("..")


def _text(chance: random.Random, path: Path) -> None:
    content = chance.choice((b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", bytes(99)))
    path.with_suffix(chance.choice((path.suffix, ".txt", ".eps", ".db", ""))).write_bytes(content)


SPOILED: Sequence[Callable[[random.Random, Path], None]] = (_bomb, _flipped, _cut, _special, _text)


def hostile(seed: int, root: Path) -> str:
    """Make the folder of a seed in ``root``, and return the name of the data set."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    share = chance.choice((0.0, 0.0, 0.02, 0.1, 0.6))
    parts = ("train", "test") if chance.random() < 0.4 else (".",)
    names = [b"ant", b"bee"] if chance.random() < 0.7 else chance.sample(NAMES, 3)
    for part in parts:
        for name in names:
            _class(root / part / os.fsdecode(name), chance, share)
    if chance.random() < 0.2:
        for _ in range(2):
            place = root / chance.choice(parts) / chance.choice(("x.png", "y", "z.txt"))
            if not os.path.lexists(place):
                chance.choice(SPOILED)(chance, place)
    return f"folder:{root}" + chance.choice(("@3x8x8", "@3x8x8", "@1x4x9", "@3x0x8", "@x", ""))


def _class(folder: Path, chance: random.Random, share: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(chance.choice((6, 6, 6, 12, 1, 0) if share else (6, 9))):
        path = folder / f"{number}.{chance.choice(FORMATS)}"
        make = chance.choice(SPOILED) if chance.random() < share else picture
        make(chance, path)
