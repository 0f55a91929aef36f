"""What moves nothing: other shapes of the same bytes, and transposes between image layouts."""

from __future__ import annotations

from edgebench.profiling.graph import Graph, Node

ALIASES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Alias"})
"""Operators that give the same bytes another shape."""

SPATIAL = frozenset(
    {
        "Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool",
        "GlobalMaxPool", "BatchNormalization", "InstanceNormalization", "LRN", "DepthToSpace",
        "SpaceToDepth", "Resize", "Upsample",
    }
)  # fmt: skip
"""Operators that take channels first in ONNX and, on a device, channels last in memory."""

_TO_LAST_OR_FIRST = ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1), (0, 2, 3, 4, 1), (0, 4, 1, 2, 3))
_MIXING = SPATIAL | {"Gemm", "MatMul", "Softmax", "ReduceMean", "LayerNormalization", "Transpose"}


def free_layout_transposes(graph: Graph) -> None:
    """Make a transpose between channels first and channels last an alias.

    On a device an image lies channels last whatever ONNX calls it, so the transposes that adapt a
    Keras graph to ONNX's convolutions move nothing. One of rank 3 counts as such only where an
    image operator stands on either side of it; otherwise it is a real move (attention).
    """
    consumers, producers = graph.consumers(), graph.producers()
    for node in graph.nodes:
        if node.op != "Transpose":
            continue
        rank = len(graph.values[node.inputs[0]].shape)
        order = tuple(node.attributes.get("perm", range(rank)[::-1]))
        shape = graph.values[node.inputs[0]].shape
        moved = [axis for axis in order if shape[axis] != 1]
        if moved == sorted(moved):
            node.op = "Alias"  # only dimensions of one element change place
        elif order in _TO_LAST_OR_FIRST and (
            _reaches_image(graph, node, producers, consumers, up=True)
            or _reaches_image(graph, node, producers, consumers, up=False)
        ):
            node.op = "Alias"


def _reaches_image(
    graph: Graph,
    start: Node,
    producers: dict[str, Node],
    consumers: dict[str, list[Node]],
    *,
    up: bool,
) -> bool:
    """Tell whether only element-wise steps lie between ``start`` and an image operator."""
    waiting, seen = [start], {id(start)}
    while waiting:
        node = waiting.pop()
        if up:
            found = [producers[name] for name in graph.activations(node) if name in producers]
        else:
            found = [reader for name in node.outputs for reader in consumers.get(name, [])]
        for other in found:
            if other.op in SPATIAL:
                return True
            if other.op not in _MIXING and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return False


def free_identical(graph: Graph) -> None:
    """Drop steps that change nothing: a pad, slice, expand or average of one element by one."""
    for node in graph.nodes:
        if node.op in ("Pad", "Slice", "Expand", "Tile", "Split") and len(node.outputs) == 1:
            source, result = graph.values[node.inputs[0]], graph.values[node.outputs[0]]
            if source.shape == result.shape:
                node.op = "Alias"
