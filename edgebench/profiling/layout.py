"""What moves nothing: other shapes of the same bytes, and transposes between image layouts."""

from __future__ import annotations

from math import prod

from edgebench.profiling.graph import Graph, Node

ALIASES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
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
    """Mark a transpose between channels first and channels last as free.

    On a device an image lies channels last whatever ONNX calls it, so the transposes that adapt a
    Keras graph to ONNX's convolutions move nothing. One of rank 3 counts as such only where an
    image operator stands on either side of it; otherwise it is a real move (attention).
    """
    behind: set[int] = set()  # nodes with an image operator before them, element-wise steps between
    before = _before_images(graph)
    for node in graph.nodes:
        if _reached(graph, node, behind):
            behind.add(id(node))
        if node.op != "Transpose":
            continue
        shape = graph.values[node.inputs[0]].shape
        order = transpose_order(graph, node)
        moved = [axis for axis in order if shape[axis] != 1]
        beside_image = id(node) in behind or id(node) in before
        node.free = moved == sorted(moved) or (order in _TO_LAST_OR_FIRST and beside_image)


def transpose_order(graph: Graph, node: Node) -> tuple[int, ...]:
    """Return the axes of the input in the order of the output."""
    rank = len(graph.values[node.inputs[0]].shape)
    return tuple(node.attributes.get("perm", range(rank)[::-1]))


def _lets_through(node: Node) -> bool:
    """Tell whether ``node`` leaves an image's layout as it is."""
    return node.free or node.op not in _MIXING


def _before_images(graph: Graph) -> set[int]:
    """Return the ids of the nodes behind which, after element-wise steps, an image operator is."""
    found: set[int] = set()
    for node in reversed(graph.nodes):
        readers = [reader for name in node.outputs for reader in graph.readers(name)]
        if any(r.op in SPATIAL or (_lets_through(r) and id(r) in found) for r in readers):
            found.add(id(node))
    return found


def _behind_images(graph: Graph) -> set[int]:
    """Return the ids of the nodes before which, up to element-wise steps, an image operator is."""
    found: set[int] = set()
    for node in graph.nodes:
        if _reached(graph, node, found):
            found.add(id(node))
    return found


def _reached(graph: Graph, node: Node, behind: set[int]) -> bool:
    """Tell whether an image operator, or a node of ``behind`` that lets through, feeds ``node``."""
    writers = [graph.writer(name) for name in graph.activations(node)]
    return any(
        writer.op in SPATIAL or (_lets_through(writer) and id(writer) in behind)
        for writer in writers
        if writer is not None
    )


def means_are_pools(graph: Graph) -> None:
    """Mark the reductions over an image's sides: they are pools, whatever they are called.

    Keras' global pooling arrives as a ReduceMean over the sides of a channels-last image. Of rank
    3, the middle axis is a signal's length; the last one only where an image operator stands
    before it, otherwise it is the features that a normalization averages.
    """
    behind = _behind_images(graph)
    for node in graph.nodes:
        if node.op not in ("ReduceMean", "ReduceMax"):
            continue
        rank = len(graph.values[node.inputs[0]].shape)
        axes = reduced_axes(graph, node)
        shape = graph.values[node.inputs[0]].shape
        behind_image = axes == (2,) and id(node) in behind
        if (rank == 4 and axes in ((2, 3), (1, 2))) or (
            rank == 3 and (axes == (1,) or behind_image)
        ):
            node.pooled = tuple(shape[axis] for axis in axes)


def reduced_axes(graph: Graph, node: Node) -> tuple[int, ...]:
    """Return the axes that a reduction removes or makes one."""
    rank = len(graph.values[node.inputs[0]].shape)
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1]:
        axes = graph.data(node.inputs[1])
    if axes is None or len(axes) == 0:
        keeps = axes is not None or len(node.inputs) > 1
        return () if keeps and node.attributes.get("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted({int(axis) % max(rank, 1) for axis in axes}))


def free_identical(graph: Graph) -> None:
    """Make free what changes nothing, and the pieces of a vector, which lie where they lay."""
    for node in graph.nodes:
        if node.op not in ("Pad", "Slice", "Expand", "Tile", "Split"):
            continue
        shape = graph.values[node.inputs[0]].shape
        neighbours = node.op != "Slice" or _every_element(graph, node)
        same = all(graph.values[name].shape == shape for name in node.outputs)
        vector = 1 <= len(shape) <= 2 and prod(shape) == shape[-1]
        if neighbours and (same or (vector and node.op in ("Split", "Slice"))):
            node.free = True


def _every_element(graph: Graph, node: Node) -> bool:
    """Tell whether a slice takes neighbouring elements, none skipped."""
    if len(node.inputs) < 5 or not node.inputs[4]:
        return True
    steps = graph.data(node.inputs[4])
    return steps is not None and bool((steps == 1).all())
