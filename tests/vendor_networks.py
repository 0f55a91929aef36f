"""Rebuilds the networks of public vendor reports as ONNX graphs, from their figures alone.

The reports name no edges, but every node says where its input and output lie in the arena: the
producer of an input is the last node that wrote to that place. Weights have dimensions, no data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

GOLDEN = json.loads((Path(__file__).parent / "golden" / "st_networks.json").read_text("utf-8"))
Network = Mapping[str, Any]
NETWORKS: list[Network] = GOLDEN["networks"]
UNREADABLE = ("lstm", "lite", "gather", "transpose")
"""Kernels whose operands the reports do not say."""


def complete(network: Network) -> bool:
    """Tell whether every node is there and can be rebuilt."""
    kernels = [node["kernel"] for node in network["nodes"]]
    strange = any(word in kernel for kernel in kernels for word in UNREADABLE)
    return network["c_nodes"] == len(kernels) and not strange


class Rebuilt:
    """The ONNX graph of a network, written node by node."""

    def __init__(self, network: Network) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.written: list[tuple[int, int, str, list[int]]] = []
        self.quantized = any("sssa" in n["kernel"].lower() for n in network["nodes"])
        self.network = network

    def model(self) -> onnx.ModelProto:
        """Return the model."""
        first = self.network["nodes"][0]
        shape = _channels_first(first)
        self.written.append((first["at"][0], prod(first["in"]), "input", first["in"]))
        if self.quantized:
            self._pair("input")
        padded: Mapping[str, Any] | None = None
        for node in self.network["nodes"]:
            if node["kernel"] == "forward_pad" and node["name"].endswith("_pad_before"):
                padded = node
                self._note(node, self._source(node))
                continue
            self._add(node, padded)
            padded = None
        outputs = self._loose_ends()
        graph = helper.make_graph(
            self.nodes,
            "rebuilt",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])

    def _loose_ends(self) -> list[str]:
        read = {name for node in self.nodes for name in node.input}
        return [n for node in self.nodes for n in node.output if n not in read]

    def _source(self, node: Mapping[str, Any], size: int | None = None) -> str:
        wanted = size or prod(node["in"])
        for place, elements, name, _ in reversed(self.written):
            if place == node["at"][0] and elements == wanted:
                return name
        return self.written[-1][2]

    def _other(self, node: Mapping[str, Any], source: str) -> str:
        """Return the latest result of that shape that is whole and does not feed ``source``."""
        made = source.removesuffix(".dq")
        feeding = {i for one in self.nodes for i in one.input if made in one.output}
        spoiled: list[tuple[int, int]] = []
        for place, _, name, shape in reversed(self.written):
            end = place + prod(shape) * node["bits"] // 8
            whole = all(end <= low or place >= high for low, high in spoiled)
            if shape == node["in"] and name not in {source, *feeding} and whole:
                return name
            spoiled.append((place, end))
        return self._emit("Identity", [source], f"{source}.again")

    def _unread(self, node: Mapping[str, Any]) -> list[str]:
        """Return the results of the same height and width that nothing has read yet."""
        read = {name for one in self.nodes for name in one.input}
        return [
            name
            for _, _, name, shape in self.written
            if shape[:-1] == node["out"][:-1] and name not in read
        ]

    def _note(self, node: Mapping[str, Any], name: str) -> None:
        self.written.append((node["at"][1], prod(node["out"]), name, node["out"]))

    def _axes(self, name: str) -> str:
        self.weights.append(helper.make_tensor(f"{name}.axes", TensorProto.INT64, [1], [3]))
        return f"{name}.axes"

    def _weight(self, name: str, shape: list[int], code: int = TensorProto.FLOAT) -> str:
        self.weights.append(TensorProto(name=name, data_type=code, dims=shape))
        return name

    def _constant(self, name: str, shape: list[int], channels: int = 0) -> str:
        """Add a weight, in a quantized network as integers with a scale a channel."""
        if not self.quantized:
            return self._weight(name, shape)
        bias = name.endswith(".bias")
        code = TensorProto.INT32 if bias else TensorProto.INT8
        parts = [
            self._weight(f"{name}.q", shape, code),
            self._weight(f"{name}.s", [channels] if channels else []),
            self._weight(f"{name}.z", [channels] if channels else [], code),
        ]
        self._emit("DequantizeLinear", parts, name, axis=0)
        return name

    def _emit(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def _pair(self, value: str) -> str:
        """Quantize and dequantize ``value``; return what its readers read."""
        scale = self._weight(f"{value}.scale", [])
        zero = self._weight(f"{value}.zero", [], TensorProto.INT8)
        self._emit("QuantizeLinear", [value, scale, zero], f"{value}.q8")
        result = self._emit("DequantizeLinear", [f"{value}.q8", scale, zero], f"{value}.dq")
        self.written = [
            (place, size, result if name == value else name, shape)
            for place, size, name, shape in self.written
        ]
        return result

    def _add(self, node: Mapping[str, Any], padded: Mapping[str, Any] | None) -> None:
        kernel = node["kernel"]
        source = self._source(node)
        result = source if "convert" in kernel else self._result(node, source, padded)
        self._note(node, result)
        if self.quantized and "convert" not in kernel:
            self._pair(result)

    def _result(  # noqa: PLR0911 - one return a kind of node
        self, node: Mapping[str, Any], source: str, padded: Mapping[str, Any] | None
    ) -> str:
        """Add the operators of ``node``; return what it computes."""
        kernel, name = node["kernel"], node["name"]
        if "dense" in kernel:
            return self._dense(node, source)
        if "filter" in node:
            return self._conv(node, source, padded)
        if "pool" in node:
            return self._pool(node, source, name)
        if "eltwise" in kernel:
            op = {"add": "Add", "mul": "Mul"}[node["operation"]]
            other = (
                self._constant(f"{name}.operand", [node["out"][2], 1, 1])
                if "weights" in node
                else self._other(node, source)
            )
            return self._emit(op, [source, other], name)
        if kernel == "forward_bn":
            parts = [self._weight(f"{name}.{i}", [node["out"][-1]]) for i in range(4)]
            return self._emit("BatchNormalization", [source, *parts], name)
        if kernel == "forward_concat":
            parts = self._unread(node)
            return self._emit("Concat", parts if len(parts) > 1 else [source] * 2, name, axis=1)
        if kernel == "forward_upsample_nearest":
            self._weight(f"{name}.roi", [0])
            scales = [1.0, 1.0, *(b / a for a, b in zip(node["in"][:2], node["out"], strict=False))]
            self.weights.append(
                helper.make_tensor(f"{name}.scales", TensorProto.FLOAT, [4], scales)
            )
            return self._emit("Resize", [source, "", f"{name}.scales"], name)
        if kernel == "forward_pad":
            sides = node["pad"]
            pads = [0, 0, sides[0], sides[2], 0, 0, sides[1], sides[3]]
            self.weights.append(helper.make_tensor(f"{name}.pads", TensorProto.INT64, [8], pads))
            return self._emit("Pad", [source, f"{name}.pads"], name)
        return self._activation(node, source)

    def _activation(self, node: Mapping[str, Any], source: str) -> str:
        op = {"relu": "Relu", "clip": "Clip", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu",
              "softmax": "Softmax"}[node["nonlinearity"]]  # fmt: skip
        inputs = [source]
        if op == "Softmax" and len(node["in"]) > 1:
            inputs = [self._emit("Flatten", [source], f"{node['name']}.flat", axis=1)]
        return self._emit(op, inputs, node["name"])

    def _dense(self, node: Mapping[str, Any], source: str) -> str:
        name, shapes = node["name"], {one[0]: one[1] for one in node["weights"]}
        if prod(node["in"]) != node["in"][-1] or len(node["in"]) > 2:
            source = self._emit("Flatten", [source], f"{name}.flat", axis=1)
            if self.quantized:
                source = self._pair(source)
        channels = shapes["weights"][0] if node["kernel"].endswith("_ch") else 0
        parts = [
            self._constant(f"{name}.weight", shapes["weights"], channels),
            self._constant(f"{name}.bias", shapes["bias"], channels),
        ]
        return self._emit("Gemm", [source, *parts], name, transB=1)

    def _conv(self, node: Mapping[str, Any], source: str, padded: Mapping[str, Any] | None) -> str:
        name, shapes = node["name"], {one[0]: one[1] for one in node["weights"]}
        outputs, signal = node["out"][-1], len(node["filter"]) == 1
        if "nl_pool" in node["kernel"]:
            outputs = shapes["bias"][0]
        weight = [outputs, prod(shapes["weights"]) // outputs // prod(node["filter"])]
        if len(node["in"]) == 2 == len(node["filter"]):  # a signal under a kernel of two dimensions
            source = self._emit("Unsqueeze", [source, self._axes(name)], f"{name}.image")
            if self.quantized:
                source = self._pair(source)
        top, bottom, left, right = (padded or node)["pad"]
        parts = [
            self._constant(f"{name}.weight", [*weight, *node["filter"]], outputs),
            self._constant(f"{name}.bias", [outputs], outputs),
        ]
        result = self._emit(
            "Conv",
            [source, *parts],
            name,
            pads=[top, bottom] if signal else [top, left, bottom, right],
            strides=node["stride"],
            group=node.get("groups", 1),
        )
        if "nl_pool" not in node["kernel"]:
            return result
        if "nonlinearity" in node:
            result = self._emit("Relu", [result], f"{name}.relu")
        if self.quantized:
            result = self._pair(result)
        return self._pool(node, result, f"{name}.pool")

    def _pool(self, node: Mapping[str, Any], source: str, name: str) -> str:
        op = {"max": "MaxPool", "avg": "AveragePool"}[node["pool_function"]]
        return self._emit(
            op, [source], name, kernel_shape=node["pool"], strides=node["pool_stride"]
        )


def _channels_first(node: Mapping[str, Any]) -> list[int]:
    shape: list[int] = node["in"]
    if "filter" not in node and "pool" not in node and prod(shape) in shape and len(shape) < 3:
        return [prod(shape)]  # a vector, whatever it is called
    return [shape[-1], *shape[:-1]] if len(shape) > 1 else [1, *shape]


def rebuild(network: Network) -> onnx.ModelProto:
    """Return ``network`` as an ONNX model without weight data."""
    return Rebuilt(network).model()


def single(node: Mapping[str, Any]) -> onnx.ModelProto:
    """Return one node of a report as a model of its own."""
    channels = node["weights"][0][1][-1] if "weights" in node and "filter" in node else 0
    joined = len(node["in"]) == 3 and channels == node["in"][1] * node["in"][2]
    shape = [node["in"][0], channels] if joined else node["in"]
    return rebuild({"nodes": [node | {"in": shape, "name": node["name"] + "_alone"}]})


def overlap_of(pair: Mapping[str, Any]) -> int:
    """Return the distance that the rule gives for an overlapped pair of a report."""
    from edgebench.footprint import st
    from edgebench.footprint.kernels import schedule
    from edgebench.profiling.building import build
    from edgebench.profiling.counting import profile_of
    from edgebench.profiling.simplify import simplify

    groups = pair["in"][-1] if "dw" in pair["kernel"] else 1
    channels, filters = pair["in"][-1], pair["out"][-1]
    node = dict(pair) | {"name": "pair", "at": [0, 0], "groups": groups}
    node |= {"pool_function": "max", "nonlinearity": "relu"} if "pool" in pair else {}
    if "filter" in pair:
        shape = [filters, *pair["filter"], channels // groups]
        node["weights"] = [["weights", shape], ["bias", [filters]]]
    if len(pair["in"]) == 2 == len(pair.get("filter", ())):
        node["in"] = [pair["in"][0], 1, channels]
    if pair["kernel"] == "forward_lite_pad_constant":
        return prod(pair["out"]) - prod(pair["in"])
    found = profile_of(simplify(build(rebuild({"nodes": [node]}))))
    plan = schedule(found, pools=True, activations=False)
    kernel = plan.kernels[0]
    distance = st.overlap(plan, kernel, plan.reads(kernel)[0])
    assert distance is not None
    return distance // 4 if pair["kernel"] == "forward_pad" and pair["bits"] == 8 else distance
