"""Reads a TFLite file: its tensors and operators as plain records.

The flatbuffer schema is that of the ``tflite`` package (the extra ``tflite``), which is generated
from TensorFlow's. A file is untrusted: what lies outside of it, or counts more than it can hold, is
a broken file.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebench.errors import EdgebenchError

MAGIC = b"TFL3"
"""At bytes 4 to 8 of a file."""
_OPTIONS = (
    "Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FilterHeight",
    "FilterWidth", "FusedActivationFunction", "Axis", "KeepDims", "Alpha", "BlockSize",
    "BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "AdjX", "AdjY",
)  # fmt: skip
"""The options that are read, by the names of the schema; an operator has some of them."""
_BROKEN = (
    struct.error, IndexError, ValueError, TypeError, KeyError, AttributeError, OverflowError,
    MemoryError,
)  # fmt: skip
"""What the readers of the schema raise where a file is not what it says."""


@dataclass(frozen=True)
class TfTensor:
    """A tensor of the file.

    Attributes:
        name: As the file has it, or "" where it has none.
        shape: In the file's layout: an image is batch, height, width, channels.
        dtype: As ONNX calls the type: ``float32``, ``int8``.
        scales: Of its quantization, one or one a channel; () where it is not quantized.
        zero_points: As many.
        axis: Along which the scales lie.
        data: The bytes of a constant, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    data: npt.NDArray[np.uint8] | None = None

    @property
    def constant(self) -> bool:
        """Tell whether its data stand in the file."""
        return self.data is not None

    def array(self) -> npt.NDArray[Any]:
        """Return the values of a constant; raises EdgebenchError where its bytes do not suffice."""
        kind = np.dtype(self.dtype)
        size = int(np.prod(self.shape, dtype=np.int64)) * kind.itemsize
        if self.data is None or self.data.size < size:
            raise EdgebenchError(f"the constant '{self.name}' has not the data of its shape")
        return self.data[:size].view(kind).reshape(self.shape)


@dataclass(frozen=True)
class TfOperator:
    """One step: the schema's name of the operator, tensors by index (-1: left out), its options."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int | float] = field(default_factory=dict)

    def option(self, name: str, default: int = 0) -> int:
        """Return a whole option."""
        return int(self.options.get(name, default))


@dataclass(frozen=True)
class TfGraph:
    """The first graph of a file: its tensors by index, its operators in the order they run."""

    tensors: tuple[TfTensor, ...]
    operators: tuple[TfOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def is_tflite(content: bytes | memoryview) -> bool:
    """Tell whether a file says that it is a TFLite model."""
    return bytes(content[4:8]) == MAGIC


def read_graph(content: bytes, source: str) -> TfGraph:
    """Return the graph of a TFLite file.

    Raises:
        EdgebenchError: The extra is not installed, or the file is broken.
    """
    schema = _schema()
    try:
        return _graph(schema, content)
    except EdgebenchError as error:
        raise EdgebenchError(f"{source}: {error}") from error
    except _BROKEN as error:
        raise EdgebenchError(f"{source} is not a TFLite model, or it is truncated") from error


def _schema() -> ModuleType:
    try:
        import tflite
    except ImportError as error:
        raise EdgebenchError(
            "a .tflite file needs the extra 'tflite': pip install 'edgebench[tflite]'"
        ) from error
    return tflite  # type: ignore[no-any-return]  # it ships no type information


def _graph(schema: ModuleType, content: bytes) -> TfGraph:
    model = schema.Model.GetRootAsModel(content, 0)
    if model.SubgraphsLength() < 1:
        raise EdgebenchError("the file holds no graph")
    graph = model.Subgraphs(0)
    most = len(content) // 4  # nothing that is listed takes less than an offset
    counts = (
        graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength(),
        graph.InputsLength(), graph.OutputsLength(), model.OperatorCodesLength(),
    )  # fmt: skip
    if max(counts) > most or counts[1] < 1:
        raise EdgebenchError("the graph has no operators, or more than the file can hold")
    names = _enum(schema.TensorType)
    tensors = tuple(_tensor(model, graph.Tensors(i), names) for i in range(counts[0]))
    operators = tuple(_operators(schema, model, graph, counts[1]))
    inputs, outputs = (
        _places([int(one) for one in found], len(tensors))
        for found in (_vector(graph.InputsAsNumpy()), _vector(graph.OutputsAsNumpy()))
    )
    return TfGraph(tensors, operators, inputs, outputs)


def _tensor(model: Any, tensor: Any, names: Mapping[int, str]) -> TfTensor:
    name = (tensor.Name() or b"").decode("utf-8", errors="replace")
    shape = tuple(int(size) for size in _vector(tensor.ShapeAsNumpy()))
    if min(shape, default=1) < 0:
        raise EdgebenchError(f"the tensor '{name}' has the shape {shape}")
    dtype = names.get(tensor.Type(), "UNKNOWN").lower()
    buffer = model.Buffers(tensor.Buffer()) if tensor.Buffer() < model.BuffersLength() else None
    data = None if buffer is None else _vector(buffer.DataAsNumpy())
    found = tensor.Quantization()
    scales = () if found is None else tuple(float(one) for one in _vector(found.ScaleAsNumpy()))
    zeros = () if found is None else tuple(int(one) for one in _vector(found.ZeroPointAsNumpy()))
    return TfTensor(
        name,
        shape,
        dtype,
        scales,
        zeros if len(zeros) == len(scales) else (0,) * len(scales),
        0 if found is None else int(found.QuantizedDimension()),
        data if data is not None and len(data) else None,
    )


def _operators(schema: ModuleType, model: Any, graph: Any, count: int) -> Iterator[TfOperator]:
    names, kinds = _enum(schema.BuiltinOperator), _enum(schema.BuiltinOptions)
    tensors = graph.TensorsLength()
    for index in range(count):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names.get(number, f"OPERATOR_{number}")
        if name == "CUSTOM":
            name = (code.CustomCode() or b"CUSTOM").decode("utf-8", errors="replace")
        inputs = [int(one) for one in _vector(operator.InputsAsNumpy())]
        outputs = [int(one) for one in _vector(operator.OutputsAsNumpy())]
        yield TfOperator(
            name,
            tuple(one if one == -1 else _places([one], tensors)[0] for one in inputs),
            _places(outputs, tensors),
            _options(schema, operator, kinds),
        )


def _options(schema: ModuleType, operator: Any, kinds: Mapping[int, str]) -> dict[str, float]:
    table = operator.BuiltinOptions()
    kind = getattr(schema, kinds.get(operator.BuiltinOptionsType(), ""), None)
    if table is None or kind is None:
        return {}
    found = kind()
    found.Init(table.Bytes, table.Pos)
    return {name: getattr(found, name)() for name in _OPTIONS if hasattr(found, name)}


def _vector(found: Any) -> npt.NDArray[Any]:
    """Return a vector of the file; the schema's readers say 0 where there is none."""
    return found if isinstance(found, np.ndarray) else np.zeros(0, np.uint8)


def _places(found: list[int], count: int) -> tuple[int, ...]:
    if any(not 0 <= one < count for one in found):
        raise EdgebenchError("an operator reads or writes a tensor that the file does not have")
    return tuple(found)


@functools.cache
def _enum(kind: type) -> dict[int, str]:
    """Return the names of an enumeration of the schema by their numbers."""
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}
