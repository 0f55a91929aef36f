"""The one form in which edgebench writes a graph, whatever the exporter made of it.

Plain operators (`plain`), names after the modules, no path or stack trace of the machine. Two
exports of the same weights have the same bytes, and a graph does not depend on weight values.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from edgebench.export.plain import write_plainly

if TYPE_CHECKING:
    import torch

IR_VERSION = 10  # what ONNX Runtime 1.22 and newer read at opsets 18 to 22


def canonical(
    raw: onnx.ModelProto, origin: torch.nn.Module, *, softmax: bool, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Return ``raw``, the export of ``origin``, in canonical form, checked and with all shapes."""
    clean = onnx.shape_inference.infer_shapes(raw, strict_mode=True)
    graph = clean.graph
    write_plainly(graph)
    _keep_zero_biases(graph, origin)
    _name_by_module(graph)
    if softmax:
        _append_softmax(graph)
    return tidy(clean, metadata)


def tidy(model: onnx.ModelProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return a checked copy without litter, that carries ``metadata`` and nothing else.

    The exporter leaves source paths and stack traces in the metadata of nodes and values; they
    would leak the machine and change the bytes with the folder.
    """
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    graph = clean.graph
    _drop_unused_constants(graph)
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        part.doc_string = ""
        part.ClearField("metadata_props")
    del graph.value_info[:]
    graph.name = "edgebench"
    opset = next(entry.version for entry in clean.opset_import if entry.domain in ("", "ai.onnx"))
    del clean.opset_import[:], clean.functions[:], clean.metadata_props[:]
    clean.opset_import.add(domain="", version=opset)
    clean.ir_version = IR_VERSION
    clean.producer_name, clean.producer_version = "edgebench", ""
    clean.doc_string = ""
    for key in sorted(metadata):
        clean.metadata_props.add(key=key, value=metadata[key])
    inferred = onnx.shape_inference.infer_shapes(clean, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def _module_of(node: onnx.NodeProto) -> str:
    """Return the path of the module that ``node`` came from, as the exporter recorded it."""
    recorded = {entry.key: entry.value for entry in node.metadata_props}
    scopes = ast.literal_eval(recorded.get("pkg.torch.onnx.name_scopes", "['', '']"))
    path = str(scopes[-2]) if len(scopes) > 1 else ""
    return "" if path.startswith("_") else path  # the exporter's own shape arithmetic


def _keep_zero_biases(graph: onnx.GraphProto, model: torch.nn.Module) -> None:
    """Give a bias back to the layers that lost theirs because it happened to be zero.

    The exporter drops a bias of zeros, which an untrained network has everywhere; a graph that
    shrinks with the values of its weights would have another footprint before training than after.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    widths = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) != 2:
            continue
        module = model.get_submodule(_module_of(node))
        if isinstance(module, _BatchNorm) or getattr(module, "bias", None) is not None:
            zeros = np.zeros(widths[node.input[1]], np.float32)
            name = f"{node.input[1]}.zero_bias"
            graph.initializer.append(numpy_helper.from_array(zeros, name))
            node.input.append(name)


def _name_by_module(graph: onnx.GraphProto) -> None:
    """Name every operator and its output after its module, as ``0.4/Conv``, for messages to use.

    The names that the exporter makes up (``val_71``, ``getitem_3``) change with its version.
    """
    outputs = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    taken: Counter[str] = Counter()
    integers = {
        value.name
        for value in graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64
    }
    # Shape arithmetic is named last: how much of it there is, no name of a layer should tell.
    for node in sorted(graph.node, key=lambda node: node.output[0] in integers):
        plain = "/".join(filter(None, (_module_of(node), node.op_type)))
        taken[plain] += 1
        node.name = plain if taken[plain] == 1 else f"{plain}_{taken[plain]}"
        for place, value in enumerate(node.output):
            suffix = f":{place}" if place else ""
            renamed[value] = value if value in outputs else f"{node.name}{suffix}"
            node.output[place] = renamed[value]
    weights = [tensor.name for tensor in graph.initializer]
    for node in graph.node:
        for place, value in enumerate(node.input):
            if value in weights and value not in renamed:
                part = {1: "weight", 2: "bias"}.get(place) if _weighted(node) else None
                renamed[value] = f"{node.name}.{part or f'constant{place}'}"
            node.input[place] = renamed.get(value, value)
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)


def _weighted(node: onnx.NodeProto) -> bool:
    return node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")


def _append_softmax(graph: onnx.GraphProto) -> None:
    logits = graph.output[0]
    graph.node.append(
        onnx.helper.make_node("Softmax", [logits.name], ["probabilities"], "Softmax", axis=1)
    )
    logits.name = "probabilities"


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
