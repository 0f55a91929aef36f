"""A TFLite graph as an ONNX one, so that both become the same operator rows.

Images are written channels first, as ONNX has them, from the start: no transposes stand between.
Where TFLite reads an image as its bytes (a reshape, a matrix product) it is turned back, which is
free on a device. Quantized tensors stand between a quantize and a dequantize. What has no ONNX
operator here keeps its TFLite name in the domain ``tflite``, and counts as unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgebench.errors import EdgebenchError
from edgebench.profiling.tflite_reading import TfGraph, TfOperator, TfTensor

OPSET = 21  # the first that quantizes to 16 bits and 4
KEPT_ELEMENTS = 4_096  # of a constant whose data may be a shape or an axis
FIRST = (0, 3, 1, 2)
"""Which axis of a TFLite image stands where in ONNX."""
LAST = (0, 2, 3, 1)
_TYPES = {
    "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE,
    "int4": TensorProto.INT4, "int8": TensorProto.INT8, "int16": TensorProto.INT16,
    "int32": TensorProto.INT32, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16, "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL, "string": TensorProto.STRING, "bfloat16": TensorProto.BFLOAT16,
}  # fmt: skip


class GraphWriter:
    """Collects the nodes and constants of the ONNX graph.

    A tensor of the file is named as there; ``.real`` is behind its name where it is read as the
    numbers that its integers stand for.
    """

    def __init__(self, graph: TfGraph, *, weights: bool) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.infos: list[onnx.ValueInfoProto] = []
        self._weights = weights
        self._names = _unique([tensor.name for tensor in graph.tensors])
        self._read: dict[int, str] = {}
        self.inputs = [self._input(one) for one in graph.inputs]

    def tensor(self, index: int) -> TfTensor:
        """Return a tensor by its index."""
        return self.graph.tensors[index]

    def name(self, index: int) -> str:
        """Return the name of a tensor."""
        return self._names[index]

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor as the ONNX graph has it."""
        return first(self.tensor(index).shape)

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node that is named after its result; return the result."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Add a constant with its data."""
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def read(self, index: int) -> str:
        """Return the name of what an operator reads: numbers, an image channels first."""
        if index not in self._read:
            tensor = self.tensor(index)
            if not tensor.constant:
                raise EdgebenchError(f"the tensor '{tensor.name}' is read before it is written")
            self._read[index] = self.weight(index, _order(len(tensor.shape)))
        return self._read[index]

    def operand(self, index: int, rank: int) -> str:
        """Return what an element-wise operator reads beside a tensor of ``rank``."""
        tensor = self.tensor(index)
        missing = rank - len(tensor.shape)
        if missing <= 0 or rank != 4 or not tensor.shape:
            return self.read(index)
        shape = first((1,) * missing + tensor.shape)
        order = [axis for axis, size in enumerate(shape) if size > 1]
        if len(order) > 1 and order != sorted(order, key=lambda axis: FIRST[axis]):
            return self.moved(self.reshaped(self.read(index), (1,) * missing + tensor.shape), FIRST)
        return self.reshaped(self.read(index), shape)

    def weight(self, index: int, order: Sequence[int], shape: Sequence[int] = ()) -> str:
        """Add a constant of the file with its axes in another order, and dequantize it.

        ``shape`` is what it is reshaped to first.
        """
        tensor, name = self.tensor(index), self.name(index)
        dims = tuple(shape) or tensor.shape
        turned = tuple(dims[axis] for axis in order)
        if name not in self.constants:
            small = prod(dims) <= KEPT_ELEMENTS
            if (small or self._weights) and tensor.dtype not in ("int4", "string"):
                self.constant(name, tensor.array().reshape(dims).transpose(order))
            else:
                self.constants[name] = TensorProto(
                    name=name, dims=turned, data_type=_type(tensor.dtype, name)
                )
        if not tensor.scales:
            return name
        axis = order.index(len(dims) - 1 if tensor.axis == len(tensor.shape) - 1 else tensor.axis)
        return self.dequantized(index, name, axis)

    def dequantized(self, index: int, name: str, axis: int) -> str:
        """Add what turns the integers ``name`` of a tensor into numbers."""
        return self.add("DequantizeLinear", [name, *self._scale(index)], f"{name}.real", axis=axis)

    def _scale(self, index: int) -> tuple[str, str]:
        tensor, name = self.tensor(index), self.name(index)
        single = len(tensor.scales) == 1
        shape = () if single else (len(tensor.scales),)
        scale = np.asarray(tensor.scales, np.float32).reshape(shape)
        zero = f"{name}.zero_point"
        if tensor.dtype == "int4":
            self.constants[zero] = helper.make_tensor(
                zero, TensorProto.INT4, shape, list(tensor.zero_points)
            )
        else:
            zeros = np.asarray(tensor.zero_points).astype(tensor.dtype).reshape(shape)
            self.constant(zero, zeros)
        return self.constant(f"{name}.scale", scale), zero

    def _input(self, index: int) -> onnx.ValueInfoProto:
        """Return an input of the graph, and let it be read as numbers."""
        tensor, name = self.tensor(index), self.name(index)
        self._written(index, name)
        return helper.make_tensor_value_info(name, _type(tensor.dtype, name), self.shape(index))

    def _written(self, index: int, name: str) -> None:
        quantized = bool(self.tensor(index).scales)
        axis = 1 if len(self.tensor(index).shape) > 1 else 0
        self._read[index] = self.dequantized(index, name, axis) if quantized else name

    def result(
        self, index: int, op: str, inputs: Sequence[str], *, fused: int = 0, **attributes: Any
    ) -> None:
        """Add the operator that writes a tensor, with its fused activation and its integers."""
        name = self.name(index)
        written = f"{name}.float" if self.tensor(index).scales else name
        if fused:
            inner = self.add(op, inputs, f"{name}.linear", **attributes)
            self.activation(fused, inner, written)
        else:
            self.add(op, inputs, written, **attributes)
        self.keep(index, written)

    def keep(self, index: int, written: str) -> None:
        """Let a tensor hold the numbers ``written``, quantized where the file says so."""
        name = self.name(index)
        if self.tensor(index).scales:
            self.add("QuantizeLinear", [written, *self._scale(index)], name)
        elif written != name:
            self.add("Identity", [written], name)
        self._written(index, name)

    def activation(self, number: int, source: str, output: str) -> None:
        """Add the activation that an option names by its number in the schema."""
        if number == 1:
            self.add("Relu", [source], output)
        elif number in (2, 3):
            self.clip(source, output, *((-1.0, 1.0) if number == 2 else (0.0, 6.0)))
        elif number == 4:
            self.add("Tanh", [source], output)
        else:
            raise EdgebenchError(f"the fused activation {number} of '{output}' is not known")

    def clip(self, source: str, output: str, low: float, high: float) -> None:
        """Add a clamp."""
        bounds = [
            self.constant(f"clip.{one:g}", np.asarray(one, np.float32)) for one in (low, high)
        ]
        self.add("Clip", [source, *bounds], output)

    def moved(self, source: str, order: Sequence[int]) -> str:
        """Return ``source`` with its axes in another order."""
        return self.add("Transpose", [source], f"{source}.moved{len(self.nodes)}", perm=list(order))

    def reshaped(self, source: str, shape: Sequence[int]) -> str:
        """Return ``source`` in another shape."""
        asked = self.constant("shape." + "x".join(map(str, shape)), np.asarray(shape, np.int64))
        return self.add("Reshape", [source, asked], f"{source}.shaped{len(self.nodes)}")

    def last(self, index: int) -> str:
        """Return a tensor in the order of its bytes: an image channels last."""
        name, shape = self.read(index), self.tensor(index).shape
        if len(shape) != 4 or shape[3] == 1:
            return name
        return self.moved(name, LAST)

    def flat(self, index: int) -> str:
        """Return a tensor whose elements stand in the order of its bytes, in whatever shape."""
        shape = self.tensor(index).shape
        plain = len(shape) == 4 and prod(shape[1:3]) == 1
        return self.read(index) if plain else self.last(index)

    def reshape(self, index: int, source: str) -> None:
        """Let a tensor hold the elements of ``source``, which stand in the order of its bytes."""
        shape = self.tensor(index).shape
        if len(shape) != 4 or shape[3] == 1 or prod(shape[1:3]) == 1:
            self.keep(index, self.reshaped(source, first(shape)))
        else:
            self.keep(index, self.moved(self.reshaped(source, shape), FIRST))

    def unknown(self, operator: TfOperator) -> None:
        """Keep an operator without a rule under its own name; the file has its results' shapes."""
        inputs = [self.read(one) if one >= 0 else "" for one in operator.inputs]
        outputs = []
        for index in operator.outputs:
            name = self.name(index)
            quantized = bool(self.tensor(index).scales)
            outputs.append(f"{name}.float" if quantized else name)
            dtype = TensorProto.FLOAT if quantized else _type(self.tensor(index).dtype, name)
            self.infos.append(helper.make_tensor_value_info(outputs[-1], dtype, self.shape(index)))
        label = outputs[0] if outputs else operator.op
        node = helper.make_node(operator.op, inputs, outputs, label, domain="tflite")
        self.nodes.append(node)
        for index, written in zip(operator.outputs, outputs, strict=True):
            self.keep(index, written)

    def model(self) -> onnx.ModelProto:
        """Return the graph of all that was added, with the file's inputs and outputs."""
        outputs = [
            helper.make_tensor_value_info(
                self.name(one), _type(self.tensor(one).dtype, self.name(one)), self.shape(one)
            )
            for one in self.graph.outputs
        ]
        graph = helper.make_graph(
            self.nodes, "tflite", self.inputs, outputs, list(self.constants.values()),
            value_info=self.infos,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("tflite", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="tflite")


def first(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape as ONNX has it: that of an image channels first."""
    return tuple(shape[axis] for axis in _order(len(shape)))


def _order(rank: int) -> tuple[int, ...]:
    return FIRST if rank == 4 else tuple(range(rank))


def _type(dtype: str, name: str) -> int:
    if dtype not in _TYPES:
        raise EdgebenchError(f"the type '{dtype}' of the tensor '{name}' is not known")
    return _TYPES[dtype]


def _unique(names: Sequence[str]) -> list[str]:
    """Return names that are not empty and differ: those that repeat get their index."""
    counts = Counter(names)
    return [
        name if name and counts[name] == 1 else f"{name or 'tensor'}:{index}"
        for index, name in enumerate(names)
    ]
