"""What the exporter writes in a roundabout way, written as the one operator that it is.

Kernels of microcontrollers, int8 kernels and readers know a global pooling, a flatten and a
transpose; they do not know the reductions and the shape arithmetic that stand for them. Each
rewrite keeps the function of the graph, for every batch.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper


def write_plainly(graph: onnx.GraphProto) -> None:
    """Rewrite ``graph``, whose shapes are inferred, in place."""
    _pooling(graph)
    _flatten(graph)
    _transpose(graph)
    _one_transpose(graph)
    _known_shape(graph)
    _drop_unused_nodes(graph)


def _pooling(graph: onnx.GraphProto) -> None:
    """Write a mean over height and width as GlobalAveragePool, which int8 kernels exist for.

    ONNX Runtime leaves ReduceMean in float, so one global average pooling would break the chain.
    """
    constants, shapes = _constants(graph), _shapes(graph)
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        rank = len(shapes.get(node.input[0], ())) if node.input else 0
        axes = constants.get(node.input[1]) if len(node.input) == 2 else None
        if (
            node.op_type != "ReduceMean"
            or rank != 4
            or axes is None
            or sorted(int(axis) % 4 for axis in axes.ravel()) != [2, 3]
        ):
            graph.node.append(node)
            continue
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        pooled = node.output[0] if keeps else f"{node.output[0]}_pooled"
        make = onnx.helper.make_node
        graph.node.append(make("GlobalAveragePool", [node.input[0]], [pooled]))
        graph.node[-1].metadata_props.extend(node.metadata_props)
        if not keeps:
            graph.node.append(make("Flatten", [pooled], [node.output[0]], axis=1))
            graph.node[-1].metadata_props.extend(node.metadata_props)


def _flatten(graph: onnx.GraphProto) -> None:
    """Write a reshape of ``[batch, ...]`` to ``[-1, features]`` as Flatten, without a constant."""
    constants, shapes = _constants(graph), _shapes(graph)
    for node in graph.node:
        target = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or target.shape != (2,) or target[0] != -1:
            continue
        features = math.prod(shapes.get(node.input[0], (0,))[1:])
        if features == int(target[1]):
            node.op_type = "Flatten"
            del node.input[1:], node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("axis", 1))


def _transpose(graph: onnx.GraphProto) -> None:
    """Write the exchange of the last two dimensions as Transpose.

    For attention the exporter reshapes the keys to rank 3, transposes and reshapes back, with
    shapes that it computes while the model runs. That the three are an exchange is not assumed:
    they are run on an example.
    """
    shapes = _shapes(graph)
    maker = {value: node for node in graph.node for value in node.output}
    for last in graph.node:
        turn = _made(maker, last, "Reshape", "Transpose")
        first = _made(maker, turn, "Transpose", "Reshape")
        source = first.input[0] if first is not None else ""
        rank = len(shapes.get(source, ()))
        if rank < 4 or not _exchanges(graph, maker, source, last, rank):
            continue
        last.op_type = "Transpose"
        del last.input[:], last.attribute[:]
        last.input.append(source)
        order = [*range(rank - 2), rank - 1, rank - 2]
        last.attribute.append(onnx.helper.make_attribute("perm", order))


def _one_transpose(graph: onnx.GraphProto) -> None:
    """Write two transposes in a row as one, where nothing else reads what is between."""
    readers = Counter(value for node in graph.node for value in node.input)
    readers.update(value.name for value in graph.output)
    maker = {value: node for node in graph.node for value in node.output}
    for last in graph.node:
        first = _made(maker, last, "Transpose", "Transpose")
        if first is None or readers[first.output[0]] > 1:
            continue
        before, order = (list(node.attribute[0].ints) for node in (first, last))
        last.input[0] = first.input[0]
        del last.attribute[:]
        whole = [before[axis] for axis in order]
        last.attribute.append(onnx.helper.make_attribute("perm", whole))


def _made(
    maker: dict[str, onnx.NodeProto], node: onnx.NodeProto | None, op: str, before: str
) -> onnx.NodeProto | None:
    """Return the ``before`` node that makes the first input of ``node``, if that is an ``op``."""
    if node is None or node.op_type != op:
        return None
    found = maker.get(node.input[0])
    return found if found is not None and found.op_type == before else None


def _exchanges(
    graph: onnx.GraphProto,
    maker: dict[str, onnx.NodeProto],
    source: str,
    last: onnx.NodeProto,
    rank: int,
) -> bool:
    """Run what leads from ``source`` to ``last`` on an example of distinct dimensions."""
    from onnx.reference import ReferenceEvaluator

    needed, waiting = set(), [last.output[0]]
    while waiting:
        value = waiting.pop()
        if value == source or value in needed:
            continue
        needed.add(value)
        waiting += maker[value].input if value in maker else []
    nodes = [node for node in graph.node if needed & set(node.output)]
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    if len(nodes) + len(constants) < len(needed):
        return False  # it depends on more than its source
    example = np.arange(math.prod(range(2, rank + 2)), dtype=np.float32)
    example = example.reshape(range(2, rank + 2))
    make = onnx.helper.make_tensor_value_info
    ends = [make(name, onnx.TensorProto.FLOAT, None) for name in (source, last.output[0])]
    part = onnx.helper.make_graph(nodes, "part", ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(part, opset_imports=[onnx.helper.make_opsetid("", 18)])
    try:
        (found,) = ReferenceEvaluator(model).run(None, {source: example})
    except (ValueError, RuntimeError):  # shapes that are right for the model's own sizes only
        return False
    return np.array_equal(found, example.swapaxes(-1, -2))


def _known_shape(graph: onnx.GraphProto) -> None:
    """Write a reshape to the shape of a value with the sizes that are known: all but the batch."""
    shapes = _shapes(graph)
    maker = {value: node for node in graph.node for value in node.output}
    for node in graph.node:
        shape = _made_shape(maker, node, shapes)
        if shape:
            name = f"{node.output[0]}.shape"
            graph.initializer.append(numpy_helper.from_array(np.array([-1, *shape[1:]]), name))
            node.input[1] = name


def _made_shape(
    maker: dict[str, onnx.NodeProto], node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]
) -> tuple[int, ...]:
    """Return the shape that a Reshape takes from a value by Shape, () where it takes none."""
    made = maker.get(node.input[1]) if node.op_type == "Reshape" else None
    if made is None or made.op_type != "Shape" or any(a.i for a in made.attribute):
        return ()
    shape = shapes.get(made.input[0], ())
    return shape if all(shape[1:]) else ()


def _drop_unused_nodes(graph: onnx.GraphProto) -> None:
    """Leave out what no output depends on, as the shape arithmetic that was replaced."""
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used & set(node.output):
            kept.append(node)
            used |= set(node.input)
    nodes = kept[::-1]
    del graph.node[:]
    graph.node.extend(nodes)


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the graph states, a dynamic dimension as 0."""
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
