"""The bytes of a model, and files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from edgebench.errors import EdgebenchError, nearest


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the bytes of ``model``; equal models give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def load(path: Path) -> onnx.ModelProto:
    """Read an ONNX file; raises EdgebenchError where there is none, or it is none."""
    try:
        model = onnx.load_from_string(path.read_bytes())
    except FileNotFoundError as error:
        raise EdgebenchError(missing(path)) from error
    except OSError as error:
        raise EdgebenchError(f"cannot read '{path}': {error.strerror or error}") from error
    except DecodeError as error:
        raise EdgebenchError(f"'{path}' is no ONNX file, or a truncated one") from error
    if not model.graph.node:
        raise EdgebenchError(f"'{path}' is no ONNX model: it holds no operator")
    return model


def missing(path: Path) -> str:
    """Say that there is no such file, with the model beside it that was most likely meant."""
    close = nearest(path.name, [one.name for one in path.parent.glob(f"*{path.suffix}")])
    return f"no such file: {path}" + (f"; did you mean '{path.parent / close}'?" if close else "")


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write ``model`` to ``path``, which holds either the whole file or what it held before.

    Raises:
        EdgebenchError: the folder is missing or the disk refuses the bytes.
    """
    write_atomically(path, serialize(model))


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path`` and rename, so that a killed process leaves no half file under it."""
    handle, name = None, ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise EdgebenchError(f"cannot write '{path}': {error.strerror or error}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
