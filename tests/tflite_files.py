"""Writes small TFLite files with the schema's own package, for the tests of their reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import tflite

RELU, RELU6 = 1, 3
SAME, VALID = 0, 1


class LiteFile:
    """Collects tensors and operators, then writes the file; images are batch, height, width, C."""

    def __init__(self) -> None:
        self.tensors: list[dict[str, Any]] = []
        self.operators: list[dict[str, Any]] = []

    def tensor(self, name: str, *shape: int, dtype: str = "int8", **more: Any) -> int:
        """Add a tensor; ``data`` makes it a constant, ``scales`` quantize it along ``axis``."""
        scales = more.pop("scales", (0.05,) if dtype in ("int8", "uint8") else ())
        self.tensors.append(
            {"name": name, "shape": shape, "dtype": dtype, "scales": scales, **more}
        )
        return len(self.tensors) - 1

    def weight(self, name: str, *shape: int, dtype: str = "int8", axis: int = 0) -> int:
        """Add a constant with random data, quantized a channel where it is of integers."""
        generator = np.random.default_rng(len(self.tensors))
        if dtype == "float32":
            data: Any = generator.normal(0, 0.3, shape).astype(dtype)
            return self.tensor(name, *shape, dtype=dtype, data=data)
        data = generator.integers(-100, 100, shape).astype(dtype)
        scales = tuple(0.01 + 0.001 * index for index in range(shape[axis]))
        return self.tensor(name, *shape, dtype=dtype, data=data, scales=scales, axis=axis)

    def integers(self, name: str, values: Any) -> int:
        """Add a constant of plain integers: a shape, axes, pads."""
        data = np.asarray(values, np.int32)
        return self.tensor(name, *data.shape, dtype="int32", data=data, scales=())

    def add(self, op: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        """Add an operator; ``kind`` names its table of options in the schema."""
        self.operators.append({"op": op, "inputs": inputs, "outputs": [output], "options": options})
        return output

    def write(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file."""
        build = flatbuffers.Builder(1024)
        buffers = [_buffer(build, None)]
        tensors = []
        for tensor in self.tensors:
            data = tensor.get("data")
            if data is not None:
                buffers.append(_buffer(build, data))
            tensors.append(_tensor(build, tensor, len(buffers) - 1 if data is not None else 0))
        names = sorted({one["op"] for one in self.operators})
        codes = [_code(build, name) for name in names]
        operators = [_operator(build, one, names.index(one["op"])) for one in self.operators]
        lists = [_offsets(build, one) for one in (tensors, operators)]
        ends = [_numbers(build, one) for one in (inputs, outputs)]
        tflite.SubGraphStart(build)
        tflite.SubGraphAddTensors(build, lists[0])
        tflite.SubGraphAddOperators(build, lists[1])
        tflite.SubGraphAddInputs(build, ends[0])
        tflite.SubGraphAddOutputs(build, ends[1])
        graph = tflite.SubGraphEnd(build)
        parts = [_offsets(build, one) for one in ([graph], codes, buffers)]
        tflite.ModelStart(build)
        tflite.ModelAddVersion(build, 3)
        tflite.ModelAddSubgraphs(build, parts[0])
        tflite.ModelAddOperatorCodes(build, parts[1])
        tflite.ModelAddBuffers(build, parts[2])
        build.Finish(tflite.ModelEnd(build), b"TFL3")
        return bytes(build.Output())


def _offsets(build: Any, offsets: Sequence[int]) -> int:
    build.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        build.PrependUOffsetTRelative(offset)
    return int(build.EndVector())


def _numbers(build: Any, values: Sequence[int], dtype: str = "int32") -> int:
    return int(build.CreateNumpyVector(np.asarray(values, dtype)))


def _buffer(build: Any, data: Any) -> int:
    content = (
        None
        if data is None
        else build.CreateNumpyVector(np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8))
    )
    tflite.BufferStart(build)
    if content is not None:
        tflite.BufferAddData(build, content)
    return int(tflite.BufferEnd(build))


def _tensor(build: Any, tensor: dict[str, Any], buffer: int) -> int:
    name, shape = build.CreateString(tensor["name"]), _numbers(build, tensor["shape"])
    quantization = None
    if tensor["scales"]:
        scales = _numbers(build, tensor["scales"], "float32")
        zeros = _numbers(build, [0] * len(tensor["scales"]), "int64")
        tflite.QuantizationParametersStart(build)
        tflite.QuantizationParametersAddScale(build, scales)
        tflite.QuantizationParametersAddZeroPoint(build, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(build, tensor.get("axis", 0))
        quantization = tflite.QuantizationParametersEnd(build)
    tflite.TensorStart(build)
    tflite.TensorAddName(build, name)
    tflite.TensorAddShape(build, shape)
    tflite.TensorAddType(build, getattr(tflite.TensorType, tensor["dtype"].upper()))
    tflite.TensorAddBuffer(build, buffer)
    if quantization is not None:
        tflite.TensorAddQuantization(build, quantization)
    return int(tflite.TensorEnd(build))


def _code(build: Any, name: str) -> int:
    number = getattr(tflite.BuiltinOperator, name, None)
    custom = build.CreateString(name) if number is None else None
    number = tflite.BuiltinOperator.CUSTOM if number is None else number
    tflite.OperatorCodeStart(build)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(build, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(build, number)
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(build, custom)
    return int(tflite.OperatorCodeEnd(build))


def _operator(build: Any, operator: dict[str, Any], code: int) -> int:
    options = dict(operator["options"])
    kind = options.pop("kind", None)
    table = None
    if kind:
        getattr(tflite, f"{kind}Start")(build)
        for name, value in options.items():
            getattr(tflite, f"{kind}Add{name}")(build, value)
        table = getattr(tflite, f"{kind}End")(build)
    inputs, outputs = (_numbers(build, operator[key]) for key in ("inputs", "outputs"))
    tflite.OperatorStart(build)
    tflite.OperatorAddOpcodeIndex(build, code)
    tflite.OperatorAddInputs(build, inputs)
    tflite.OperatorAddOutputs(build, outputs)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(build, getattr(tflite.BuiltinOptions, kind))
        tflite.OperatorAddBuiltinOptions(build, table)
    return int(tflite.OperatorEnd(build))
