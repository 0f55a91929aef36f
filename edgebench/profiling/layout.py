"""What moves nothing: other shapes of the same bytes, and transposes between image layouts."""

from __future__ import annotations

from math import prod

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


def means_are_pools(graph: Graph) -> None:
    """Mark the reductions over an image's sides: they are pools, whatever they are called.

    Keras' global pooling arrives as a ReduceMean over the sides of a channels-last image. Of rank
    3, the middle axis is a signal's length; the last one only where an image operator stands
    before it, otherwise it is the features that a normalisation averages.
    """
    consumers, producers = graph.consumers(), graph.producers()
    for node in graph.nodes:
        if node.op not in ("ReduceMean", "ReduceMax"):
            continue
        rank = len(graph.values[node.inputs[0]].shape)
        axes = reduced_axes(graph, node)
        shape = graph.values[node.inputs[0]].shape
        behind_image = axes == (2,) and _reaches_image(graph, node, producers, consumers, up=True)
        if (rank == 4 and axes in ((2, 3), (1, 2))) or (
            rank == 3 and (axes == (1,) or behind_image)
        ):
            node.attributes["_pools"] = [shape[axis] for axis in axes]


def reduced_axes(graph: Graph, node: Node) -> tuple[int, ...]:
    """Return the axes that a reduction removes or makes one."""
    rank = len(graph.values[node.inputs[0]].shape)
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1]:
        axes = graph.data(node.inputs[1])
    found = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    return tuple(sorted(found))


def free_identical(graph: Graph) -> None:
    """Make free what changes nothing, and the pieces of a vector, which lie where they lay."""
    for node in graph.nodes:
        if node.op not in ("Pad", "Slice", "Expand", "Tile", "Split"):
            continue
        shape = graph.values[node.inputs[0]].shape
        same = all(graph.values[name].shape == shape for name in node.outputs)
        vector = len(shape) <= 2 and prod(shape) == shape[-1]
        piece = node.op == "Split" or (node.op == "Slice" and _every_element(graph, node))
        if same or (vector and piece):
            node.op = "Alias"


def _every_element(graph: Graph, node: Node) -> bool:
    """Tell whether a slice takes neighbouring elements, none skipped."""
    if len(node.inputs) < 5 or not node.inputs[4]:
        return True
    steps = graph.data(node.inputs[4])
    return steps is not None and bool((steps == 1).all())
