"""The files of a hand-over from anybody: read within bounds, and nothing but files.

A folder may hold links to other folders, pipes that nobody writes to, or archives of a megabyte
that unfold to a thousand; each is refused by name before it is followed, waited for or unfolded.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebench.errors import EdgebenchError, nearest
from edgebench.export.handover.bundle import (
    CARD,
    FIRMWARE,
    INPUTS,
    OUTPUTS,
    PROOF,
    SIGNATURE,
)

MIB = 2**20
MOST_BYTES: Mapping[str, int] = {PROOF: 4 * MIB, CARD: 4 * MIB, SIGNATURE: 4096}
"""Of a file; the models and arrays may have `LARGEST`."""
LARGEST = 256 * MIB
"""Of a file, and of all arrays of an archive, unfolded: no device has as much memory."""
ARRAYS = {
    INPUTS: {"pixels": ("uint8", 4), "inputs": ("float32", 4), "labels": ("int64", 1)},
    OUTPUTS: {"torch": ("float32", 2), "onnx": ("float32", 2), "int8": ("float32", 2)},
}
"""The data type and the number of dimensions of each array."""

Arrays = dict[str, npt.NDArray[Any]]


def check_folder(folder: Path) -> None:
    """Raise EdgebenchError where ``folder`` is none, or holds no proof."""
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*/")] if folder.parent.is_dir() else []
        close = nearest(folder.name, beside)
        hint = f"; did you mean '{folder.parent / close}'?" if close else ""
        raise EdgebenchError(f"there is no folder '{folder}'{hint}")
    if not os.path.lexists(folder / PROOF):
        raise EdgebenchError(
            f"'{folder}' is no hand-over: it has no {PROOF}; "
            "'edgebench export RUN -o DIR/' makes one"
        )


def read_file(folder: Path, name: str) -> bytes:
    """Return the content of a file of ``folder`` itself, or of its folder ``firmware``.

    Raises:
        EdgebenchError: It is missing, no regular file, or too large.
    """
    most = MOST_BYTES.get(name, LARGEST)
    try:
        handle = _opened(folder, name)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise EdgebenchError(f"'{folder}': {name} is no file")
        with os.fdopen(handle, "rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        for path in (name, os.path.dirname(name)):  # noqa: PTH120 - a name, not a place
            if path and (folder / path).is_symlink():
                raise EdgebenchError(f"'{folder}': {path} is a link, not the file itself") from None
        reason = error.strerror or error
        raise EdgebenchError(f"'{folder}' is incomplete: {name}: {reason}") from None
    if len(content) > most:
        raise EdgebenchError(f"'{folder}': {name} has more than {most:,} bytes")
    return content


def _opened(folder: Path, name: str) -> int:
    """Return a descriptor: neither a link is followed, nor a pipe waited for."""
    within, _, last = name.rpartition("/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    if not within:
        return os.open(folder / last, flags)
    holder = os.open(folder / within, flags | os.O_DIRECTORY)
    try:
        return os.open(last, flags, dir_fd=holder)
    finally:
        os.close(holder)


def others(folder: Path, proven: Collection[str]) -> list[str]:
    """Return the names of what stands in ``folder`` and is none of the files ``proven``."""
    held = {path.name for path in folder.iterdir()}
    if any(name.startswith(f"{FIRMWARE}/") for name in proven):
        held.remove(FIRMWARE)
        held |= {f"{FIRMWARE}/{path.name}" for path in (folder / FIRMWARE).iterdir()}
    return sorted(held - {*proven, PROOF, SIGNATURE})


def read_arrays(name: str, content: bytes) -> Arrays:
    """Return the arrays of ``inputs.npz`` or ``outputs.npz``; the headers are judged first.

    Raises:
        EdgebenchError: It is no archive of these arrays, or they are damaged or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = {}
            for key, (dtype, dimensions) in ARRAYS[name].items():
                found[key] = _array(archive, f"{key}.npy", dtype, dimensions)
    except EdgebenchError as error:
        raise EdgebenchError(f"{name} cannot be read: {error}") from None
    except Exception as error:  # noqa: BLE001 - zipfile and zlib raise a dozen kinds on damage
        raise EdgebenchError(f"{name} cannot be read: {_line(error)}") from None
    return found


def _array(archive: zipfile.ZipFile, member: str, dtype: str, dimensions: int) -> npt.NDArray[Any]:
    held = [entry for entry in archive.infolist() if entry.filename == member]
    if len(held) != 1:
        raise EdgebenchError(f"it has {len(held)} arrays '{member}' and needs one")
    if held[0].file_size > LARGEST:
        raise EdgebenchError(f"'{member}' would have {held[0].file_size:,} bytes")
    with archive.open(held[0]) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise EdgebenchError(f"'{member}' is of another version of the format")
        shape, fortran, found = np.lib.format.read_array_header_1_0(stream)
        if str(found) != dtype or len(shape) != dimensions or fortran or min(shape, default=0) < 1:
            raise EdgebenchError(
                f"'{member}' is {found!s:.20} {shape!s:.60}; it should be {dtype} with "
                f"{dimensions} dimensions"
            )
        size = prod(shape) * found.itemsize
        if size > LARGEST:
            raise EdgebenchError(f"'{member}' would have {size:,} bytes")
        data = stream.read(size + 1)
    if len(data) != size:
        raise EdgebenchError(f"'{member}' has not the data of its shape")
    return np.frombuffer(data, found).reshape(shape)


def check_arrays(inputs: Arrays, outputs: Arrays) -> None:
    """Raise EdgebenchError where the arrays are not of the same images and classes."""
    count = len(inputs["labels"])
    shapes = {
        "inputs": (inputs["inputs"].shape, inputs["pixels"].shape),
        "labels": (inputs["pixels"].shape[0], count),
        **{name: (found.shape, (count, outputs["torch"].shape[1]))
           for name, found in outputs.items()},
    }  # fmt: skip
    for name, (found, expected) in shapes.items():
        if found != expected:
            raise EdgebenchError(
                f"the golden vectors do not belong together: '{name}' is {found} and should be "
                f"{expected}"
            )
    for name, values in (inputs | outputs).items():
        if not np.isfinite(values).all():
            raise EdgebenchError(f"the golden vectors '{name}' are not finite")
    labels, classes = inputs["labels"], outputs["torch"].shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise EdgebenchError(f"the golden vectors have a label that is none of {classes} classes")


def _line(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 120 else f"{said[:120]}…"
