"""Reads an ONNX file without its weights: a model of any size costs its graph's few kilobytes.

Only the dimensions of large initializers matter here, so their bytes are skipped in the file and
never parsed; small ones (shapes, axes, scales) are kept.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
from onnx.external_data_helper import load_external_data_for_tensor

from edgebench.errors import EdgebenchError
from edgebench.profiling.tflite_reading import is_tflite

KEPT_BYTES = 16_384  # an initializer up to this size is kept whole: it may be a shape or a scale

# Field numbers of onnx.proto3 on the way to the bytes of an initializer.
_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TENSOR_DATA = frozenset({4, 5, 6, 7, 9, 10, 11})  # float, int32, string, int64, raw, double, ...


def read(model: onnx.ModelProto | Path | str | bytes, *, weights: bool = False) -> onnx.ModelProto:
    """Return the graph of ``model``; raises EdgebenchError where it is no readable ONNX model.

    A model already in memory is taken as it is. Files are mapped, not loaded; weights in external
    files are checked for being there and long enough, and stay unread unless ``weights`` is set.
    """
    if isinstance(model, onnx.ModelProto):
        return _checked(model, "the model")
    if isinstance(model, bytes):
        if is_tflite(model):
            return _from_tflite(model, "the model", weights)
        return _checked(_parsed(memoryview(model), "the model", weights), "the model")
    path = Path(model)
    try:
        if not path.is_file():
            raise EdgebenchError(f"no such file: {path}")
        if path.stat().st_size == 0:
            raise EdgebenchError(f"{path} is empty, not an ONNX model")
        with path.open("rb") as file:
            # Closed with its last view: a parsing error still holds one.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise EdgebenchError(f"{path} cannot be read: {error}") from error
    if path.suffix == ".tflite" or is_tflite(mapped[:8]):
        return _from_tflite(bytes(mapped), str(path), weights)
    found = _checked(_parsed(memoryview(mapped), str(path), weights), str(path))
    _check_external(found, path, weights)
    return found


def _from_tflite(content: bytes, source: str, weights: bool) -> onnx.ModelProto:
    from edgebench.profiling.tflite_operators import to_onnx

    if not is_tflite(content):
        raise EdgebenchError(f"{source} is not a TFLite model, or it is truncated")
    return _checked(to_onnx(content, source, weights=weights), source)


def _parsed(view: memoryview, source: str, weights: bool) -> onnx.ModelProto:
    try:
        model = onnx.ModelProto()
        model.ParseFromString(bytes(view) if weights else b"".join(_without_weights(view)))
    except (DecodeError, _BrokenWireError) as error:
        raise EdgebenchError(f"{source} is not an ONNX model, or it is truncated") from error
    return model


def _checked(model: onnx.ModelProto, source: str) -> onnx.ModelProto:
    if not model.graph.node or not model.opset_import:
        raise EdgebenchError(f"{source} is not an ONNX model, or it is truncated: it has no graph")
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= newest:
            raise EdgebenchError(
                f"{source} uses opset {opset.version}; opsets 1 to {newest} are known"
            )
    return model


def _check_external(model: onnx.ModelProto, path: Path, weights: bool) -> None:
    """Check the weights in files beside the model, and load those that are small or asked for."""
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entry = {one.key: one.value for one in tensor.external_data}
        length = _check_external_file(tensor.name, entry, path)
        if weights or 0 < length <= KEPT_BYTES:  # it may be a shape
            try:
                load_external_data_for_tensor(tensor, str(path.parent))
            except (OSError, ValueError, onnx.checker.ValidationError) as error:
                raise EdgebenchError(
                    f"{path}: the weights '{tensor.name}' cannot be read: {error}"
                ) from error
            tensor.data_location = onnx.TensorProto.DEFAULT


def _check_external_file(name: str, entry: dict[str, str], path: Path) -> int:
    """Return the bytes of a tensor in an external file; it must lie there, beside the model."""
    location = entry.get("location", "")
    inside = Path(location)
    if not location or inside.is_absolute() or ".." in inside.parts or "\0" in location:
        raise EdgebenchError(
            f"{path}: the weights '{name}' are in the external file '{location}', which does not "
            "lie in the model's folder"
        )
    file = path.parent / inside
    if not file.is_file():
        raise EdgebenchError(
            f"{path}: the weights '{name}' are in the external file '{location}', which is missing"
        )
    offset, length = entry.get("offset", "0"), entry.get("length", "0")
    if not (_is_count(offset) and _is_count(length)):
        raise EdgebenchError(
            f"{path}: the weights '{name}' begin at byte '{offset[:20]}' and are '{length[:20]}' "
            "long, which are no numbers"
        )
    end = int(offset) + int(length)
    if file.stat().st_size < end:
        raise EdgebenchError(
            f"{path}: the external file '{file.name}' is truncated: '{name}' ends at byte {end:,} "
            f"of {file.stat().st_size:,}"
        )
    return int(length)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


class _BrokenWireError(Exception):
    """The bytes do not follow the protobuf wire format."""


def _without_weights(view: memoryview) -> Iterator[bytes]:
    for number, field in _fields(view):
        yield _edited(field, _graph_without_weights) if number == _MODEL_GRAPH else bytes(field)


def _graph_without_weights(view: memoryview) -> Iterator[bytes]:
    for number, field in _fields(view):
        large = number == _GRAPH_INITIALIZER and len(field) > KEPT_BYTES
        yield _edited(field, _tensor_without_data) if large else bytes(field)


def _tensor_without_data(view: memoryview) -> Iterator[bytes]:
    for number, field in _fields(view):
        if number not in _TENSOR_DATA:
            yield bytes(field)


def _edited(field: memoryview, edit: Callable[[memoryview], Iterator[bytes]]) -> bytes:
    """Return a length-delimited field with its payload passed through ``edit``."""
    _, start = _varint(field, 0)
    tag = bytes(field[:start])
    _, start = _varint(field, start)
    payload = b"".join(edit(field[start:]))
    return tag + _encoded(len(payload)) + payload


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the whole bytes (tag, length, payload) of each field of a message."""
    position = 0
    while position < len(view):
        begin = position
        tag, position = _varint(view, position)
        kind = tag & 7
        if kind == 0:
            _, position = _varint(view, position)
        elif kind == 2:
            length, position = _varint(view, position)
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise _BrokenWireError
        if position > len(view) or tag >> 3 == 0:
            raise _BrokenWireError
        yield tag >> 3, view[begin:position]


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    """Return a base-128 number and the position after it."""
    value = shift = 0
    while position < len(view) and shift < 64:
        byte = view[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
    raise _BrokenWireError


def _encoded(value: int) -> bytes:
    """Return ``value`` as a base-128 number."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
