"""Spoils hand-overs: seeded, one after another, as a stranger who hands one over could.

Files become links, pipes, bombs or other models; the proof says anything; arrays are of any type
and shape. Half of the time the digests are made to agree.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hostile_onnx
import numpy as np
from handover_case import bundle, restate

from edgebench.export.handover import write
from edgebench.export.handover.bundle import NAMES

VALUES: Sequence[Any] = (
    None, True, False, 0, 1, -1, 1e308, 2**70, "", "x", "a" * 64, "../../etc/passwd", [], {}, [[]],
    {"a": 1}, float("nan"), float("inf"), 0.5, "é\n\u202e",
)  # fmt: skip


def _files(folder: Path, chance: random.Random) -> None:
    """Make one of the files something else."""
    path = folder / chance.choice(NAMES)
    content = path.read_bytes() if path.is_file() else b""
    kind = chance.randrange(8)
    if kind < 5:
        path.unlink(missing_ok=True)
    if kind == 1:
        path.symlink_to(chance.choice(("/etc/passwd", "/dev/zero", "nowhere", path.name, "..")))
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        path.mkdir()
    elif kind == 4:
        with path.open("wb") as stream:
            stream.truncate(chance.choice((0, 5 * 2**20, 300 * 2**20)))  # sparse
    elif kind == 5:
        path.write_bytes(content[: chance.randrange(len(content) + 1)])
    elif kind == 6:
        path.write_bytes(_flipped(content or b"\0", chance))
    else:
        (folder / chance.choice(("notes.txt", "\u202e", "a\nb"))).write_text("x")


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 9)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _proof(folder: Path, chance: random.Random) -> None:
    """Change a value somewhere in the proof."""
    path = folder / "proof.json"
    content = json.loads(path.read_bytes())
    holder: Any = content
    key: Any = chance.choice(["files", "ladder", "ladder", "format", "run", "footprint"])
    while isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.85:
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
    change = chance.randrange(3)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[chance.choice(("x", "../up", "sha256", "max_abs_diff"))] = holder[key]
    else:
        holder[key] = chance.choice(VALUES)
    path.write_text(json.dumps(content))


def _text(folder: Path, chance: random.Random) -> None:
    """Write another text as the proof."""
    (folder / "proof.json").write_bytes(
        chance.choice(
            (b"", b"{", b"[" * 100_000, b'{"format": ' + b"9" * 5_000 + b"}", b"\xff\xfe", b"null",
             b'{"format": 2}', b'{"format": 2, "files": []}', b"{" + b'"a": {' * 90_000)
        )
    )  # fmt: skip


def _arrays(folder: Path, chance: random.Random) -> None:
    """Write vectors of other types, shapes and sizes."""
    name = chance.choice(("inputs.npz", "outputs.npz"))
    try:
        arrays = dict(np.load(folder / name))
    except (OSError, ValueError, zipfile.BadZipFile):
        return  # spoiled already
    key = chance.choice(list(arrays))
    held = arrays[key]
    other = (
        held.astype(np.float64), held[:3], held[:0], np.zeros((), np.uint8), held.reshape(-1),
        np.full_like(held, np.nan if held.dtype == np.float32 else 255), np.asfortranarray(held),
        np.array([{"a": 1}], dtype=object), held + 1, np.array(["x"]), held.astype(">f4"),
    )  # fmt: skip
    arrays[key] = chance.choice(other)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (folder / name).write_bytes(buffer.getvalue())


def _bomb(folder: Path, chance: random.Random) -> None:
    """Write an archive that unfolds to far more than it is, or says so."""
    shape = chance.choice(
        ((40_000, 4, 100, 100), (2**40, 1, 1, 1), (2**31, 2**31, 2**31, 4), (16,))
    )
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile(folder / "inputs.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pixels.npy", head + bytes(chance.choice((16, 2**22, 2**28 + 2**20))))


def _model(folder: Path, chance: random.Random) -> None:
    """Put another model in the place of one."""
    name = chance.choice(("model.onnx", "model.int8.onnx"))
    kind = chance.random()
    if kind < 0.3:
        content = chance.choice(hostile_onnx.NAMED)().SerializeToString()
    elif kind < 0.6:
        content = hostile_onnx.hostile(chance.randrange(10_000))
    else:
        content = (
            _flipped((folder / name).read_bytes(), chance) if (folder / name).is_file() else b""
        )
    if (folder / name).is_file() or not os.path.lexists(folder / name):
        (folder / name).write_bytes(content)


SPOILED: Sequence[Callable[[Path, random.Random], None]] = (
    _files, _files, _proof, _proof, _proof, _text, _arrays, _arrays, _bomb, _model, _model, _model,
)  # fmt: skip


def hostile(seed: int, folder: Path) -> bool:
    """Make the spoiled hand-over of a seed; tell whether its files are still what was proven."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    write(folder, bundle())
    whole = {name: (folder / name).read_bytes() for name in NAMES}
    for _ in range(chance.choice((1, 1, 2))):
        try:
            chance.choice(SPOILED)(folder, chance)
        except (OSError, ValueError, KeyError, IndexError):
            continue  # the place was spoiled already
    if chance.random() < 0.5 and all((folder / name).is_file() for name in NAMES):
        # Suppressed where the proof says nothing any more that could be made to agree.
        odd = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
        with contextlib.suppress(*odd):
            restate(folder)
    names = [name for name in NAMES if name != "proof.json"]
    return all(
        (folder / name).is_file()
        and not (folder / name).is_symlink()
        and (folder / name).read_bytes() == whole[name]
        for name in names
    )
