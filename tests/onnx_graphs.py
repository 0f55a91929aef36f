"""Small ONNX graphs for the tests, written one line a node; weights have dimensions, no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Sketchpad:
    """Collects nodes; every method returns the name of the value that it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def weight(self, name: str, *dims: int, code: int = TensorProto.FLOAT) -> str:
        """Add an initializer without data."""
        self.weights.append(TensorProto(name=name, data_type=code, dims=dims))
        return name

    def data(self, name: str, values: Any, dtype: Any = np.int64) -> str:
        """Add an initializer with data."""
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node named after its output; a ``domain`` attribute is its domain."""
        output = output or f"{op.lower()}{len(self.nodes)}"
        node = helper.make_node(op, list(inputs), [output], output, **attributes)
        self.nodes.append(node)
        return output

    def conv(
        self, source: str, outputs: int, inputs: int, kernel: int = 3, name: str = "", **more: Any
    ) -> str:
        """Add a convolution with a bias."""
        name = name or f"conv{len(self.nodes)}"
        group = more.get("group", 1)
        weight = self.weight(f"{name}.w", outputs, inputs // group, kernel, kernel)
        return self.add("Conv", [source, weight, self.weight(f"{name}.b", outputs)], name, **more)

    def dense(self, source: str, outputs: int, inputs: int, name: str = "") -> str:
        """Add a dense layer with a bias."""
        name = name or f"dense{len(self.nodes)}"
        parts = [self.weight(f"{name}.w", outputs, inputs), self.weight(f"{name}.b", outputs)]
        return self.add("Gemm", [source, *parts], name, transB=1)

    def quantized(self, source: str, code: int = TensorProto.INT8) -> str:
        """Quantize and dequantize a value, or dequantize a weight that was added as integers."""
        scale, zero = self.weight(f"{source}.s"), self.weight(f"{source}.z", code=code)
        if any(one.name == source for one in self.weights):
            return self.add("DequantizeLinear", [source, scale, zero], f"{source}.f")
        held = self.add("QuantizeLinear", [source, scale, zero], f"{source}.q")
        return self.add("DequantizeLinear", [held, scale, zero], f"{source}.dq")

    def model(
        self,
        *outputs: str,
        shape: Sequence[int | str] = ("N", 3, 8, 8),
        opset: int = 18,
        code: int = TensorProto.FLOAT,
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """Return the model; its input is called ``input``."""
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("input", code, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)


class QuantizedPad(Sketchpad):
    """Writes QDQ layers as TFLite models are converted: scales a channel, every result a pair."""

    def integers(self, name: str, *dims: int, code: int = TensorProto.INT8) -> str:
        """Add a weight held in integers with a scale a channel; return its dequantized value."""
        parts = [self.weight(name, *dims, code=code), self.weight(f"{name}.s", dims[0])]
        zero = self.weight(f"{name}.z", dims[0], code=code)
        return self.add("DequantizeLinear", [*parts, zero], f"{name}.f", axis=0)

    def conv8(
        self, source: str, outputs: int, inputs: int, kernel: tuple[int, int], **more: Any
    ) -> str:
        """Add an integer convolution with a bias and a ReLU."""
        name = f"conv{len(self.nodes)}"
        weight = self.integers(f"{name}.w", outputs, inputs // more.get("group", 1), *kernel)
        bias = self.integers(f"{name}.b", outputs, code=TensorProto.INT32)
        conv = self.add("Conv", [source, weight, bias], name, **more)
        return self.quantized(self.add("Relu", [conv]))

    def dense8(self, source: str, outputs: int, inputs: int) -> str:
        """Add an integer dense layer with a bias."""
        name = f"dense{len(self.nodes)}"
        weight = self.integers(f"{name}.w", outputs, inputs)
        bias = self.integers(f"{name}.b", outputs, code=TensorProto.INT32)
        return self.quantized(self.add("Gemm", [source, weight, bias], name, transB=1))
