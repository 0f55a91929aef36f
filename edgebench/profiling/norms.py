"""A batch norm before a convolution that pads nothing folds into it: factors and shifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgebench.profiling.folding import explicit_pads
from edgebench.profiling.graph import Array, Graph, Node, Value


def fold_norm_into_next(graph: Graph) -> None:
    """Fold each batch norm into the convolution that alone reads it, where that one pads nothing.

    Its factors go into the weights along their input channels and its shifts into the bias; a
    padded convolution would see its zeros shifted too, so there the norm stays.
    """
    for node in graph.nodes:
        if node.op != "BatchNormalization":
            continue
        conv = _reader(graph, node)
        if conv is None or conv.op != "Conv" or conv.inputs[0] == "":
            continue
        weight = graph.values[conv.inputs[1]]
        if not weight.constant or weight.quantization is not None:
            continue
        if not any(explicit_pads(graph, conv)):
            _fold(graph, node, conv, weight)
            conv.folded.append(node.name)
            graph.bypass(node)


def _reader(graph: Graph, node: Node) -> Node | None:
    """Return the one node that reads ``node``, past reshapes that change no shape, or None."""
    name = node.outputs[0]
    while (reader := graph.only_reader(name)) is not None and reader.op == "Reshape":
        if graph.values[reader.outputs[0]].shape != graph.values[name].shape:
            return None
        name = reader.outputs[0]
    return reader


def _fold(graph: Graph, node: Node, conv: Node, weight: Value) -> None:
    """Let ``conv`` read its weight and bias with the norm in them."""
    scale, shift, mean, variance = (graph.values[name] for name in node.inputs[1:5])
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    old = graph.values[conv.inputs[2]] if len(conv.inputs) > 2 and conv.inputs[2] else None
    channels, group = weight.shape[0], int(conv.attributes.get("group", 1))

    def factors() -> Array:
        found: Array = scale.real() / np.sqrt(variance.real().astype(np.float64) + epsilon)
        return found

    def along(vector: Array) -> Array:
        """Lay one value an input channel out as the weight has them: [outputs, inputs a group]."""
        each = vector.reshape(group, 1, -1)
        spread = np.broadcast_to(each, (group, channels // group, each.shape[2]))
        return spread.reshape(channels, each.shape[2], *[1] * (len(weight.shape) - 2))

    def scaled() -> Array:
        result: Array = (weight.real() * along(factors())).astype(weight.real().dtype)
        return result

    def shifted() -> Array:
        offsets = shift.real() - mean.real() * factors()
        axes = tuple(range(1, len(weight.shape)))
        total = (weight.real() * along(offsets)).sum(axis=axes)
        base = 0 if old is None else old.real().reshape(-1)
        result: Array = (total + base).astype(np.float32)
        return result

    name = graph.fresh(f"{conv.name}.weight")
    reference = weight.reference or weight.name
    graph.values[name] = replace(
        weight, name=name, reference=reference, tensor=None, array=None, compute=scaled
    )
    graph.set_input(conv, 1, name)
    bias = graph.fresh(f"{conv.name}.bias")
    origin = None if old is None else old.reference or old.name
    graph.values[bias] = Value(
        bias, (channels,), "float32", constant=True, reference=origin, compute=shifted
    )
    graph.set_input(conv, 2, bias)
