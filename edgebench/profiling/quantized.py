"""Quantize/dequantize pairs become operators on integers, as a device runs them."""

from __future__ import annotations

from edgebench.profiling.constants import scale_of
from edgebench.profiling.graph import Graph, Node, Scale, Value
from edgebench.profiling.layout import ALIASES
from edgebench.profiling.operators import INTEGER_TYPES

MOVES = ALIASES | {"Transpose"}
"""Operators that only move elements: quantized before or behind them is the same."""

_SELECTS = MOVES | {"MaxPool", "GlobalMaxPool", "Slice", "Split", "Gather", "DepthToSpace",
                    "SpaceToDepth", "Expand", "Tile", "Relu"}  # fmt: skip
"""Operators whose results have the scale of their input, exactly."""

_MONOTONE = MOVES | {"MaxPool", "GlobalMaxPool", "Relu", "Clip"}
"""Operators that give the same whether their input was rounded to their result's scale before."""


def absorb_quantization(graph: Graph) -> None:
    """Turn ``dequantize -> operator -> quantize`` into an operator on integers.

    What remains of the pairs is executed: a float operator between integer ones, or a change of
    scale. At the model's edge they only describe its input and output, which are then integers
    (two vendor reports of QDQ models count no conversion there).
    """
    _describe_integer_operators(graph)
    for name in graph.inputs:
        declared = graph.values[name].dtype
        _drop_input_pair(graph, name)
        if graph.values[name].dtype != declared:
            graph.input_types[name] = declared
    for name in list(graph.outputs):
        _drop_output_pair(graph, name)
    rescales = _join_rescales(graph)
    integer = _integer_nodes(graph)
    for node in graph.nodes:
        if node.op == "DequantizeLinear" and not graph.is_output(node.outputs[0]):
            if all(id(reader) in integer for reader in graph.readers(node.outputs[0])):
                _absorb_dequantize(graph, node)
        elif node.op == "QuantizeLinear":
            writer = graph.writer(node.inputs[0])
            _describe(graph.values[node.outputs[0]], scale_of(node))
            absorbed = id(node) not in rescales and _feeds_only(graph, node)
            if writer is not None and id(writer) in integer and absorbed:
                _hold_like(graph.values[node.inputs[0]], graph.values[node.outputs[0]])
                graph.bypass(node)
    _hold_in_integers(graph, integer)


def _describe_integer_operators(graph: Graph) -> None:
    """Note what operators that carry scales between their operands say of their tensors."""
    for node in graph.nodes:
        for position, scale in node.scales.items():
            if position < len(node.inputs) and node.inputs[position]:
                _describe(graph.values[node.inputs[position]], scale)
        if node.output_scale is not None:
            _describe(graph.values[node.outputs[0]], node.output_scale)


def _describe(value: Value, scale: Scale) -> None:
    """Note the scale and zero point that a value is held with, where none are known yet."""
    if value.quantization is None:
        value.quantization = scale


def _hold_like(value: Value, like: Value) -> None:
    value.dtype, value.quantization = like.dtype, like.quantization


def _feeds_only(graph: Graph, node: Node) -> bool:
    """Tell whether ``node`` alone reads its input: another reader would see it unrounded."""
    source = node.inputs[0]
    others = [reader for reader in graph.readers(source) if reader is not node]
    return not graph.is_output(source) and all(
        other.op == "QuantizeLinear" and other.inputs[1:] == node.inputs[1:] for other in others
    )


def _absorb_dequantize(graph: Graph, node: Node) -> None:
    """Let the readers of a dequantize read its integers, each with the scale that it applied."""
    source, scale = graph.values[node.inputs[0]], scale_of(node)
    _describe(source, scale)
    if source.quantization != scale:
        for reader in graph.readers(node.outputs[0]):
            for position, name in enumerate(reader.inputs):
                if name == node.outputs[0]:
                    reader.scales[position] = scale
    graph.bypass(node)


def _join_rescales(graph: Graph) -> set[int]:
    """Make one step of a dequantize that only quantizes again, to another scale or sign.

    Returns the ids of the quantize nodes that are such a step.
    """
    found: set[int] = set()
    for node in graph.nodes:
        if node.op != "DequantizeLinear" or graph.is_output(node.outputs[0]):
            continue
        readers = graph.readers(node.outputs[0])
        if readers and all(
            reader.op == "QuantizeLinear" and reader.inputs[0] == node.outputs[0]
            for reader in readers
        ):
            found.update(id(reader) for reader in readers)
            _absorb_dequantize(graph, node)
    return found


def _hold_in_integers(graph: Graph, integer: set[int]) -> None:
    """Give results that no pair describes, between integer operators, their input's type.

    Their scale follows where it is certain: that of the input behind what selects elements, that
    of the result before what rounds the same. Elsewhere there is none: the operator behind such a
    result belongs to the same step.
    """
    inside = [node for node in graph.nodes if id(node) in integer]
    open_: set[str] = set()
    for node in inside:
        source = graph.values[graph.activations(node)[0]]
        for name in node.outputs:
            value = graph.values[name]
            if value.dtype not in INTEGER_TYPES:
                value.dtype = source.dtype
                value.quantization = source.quantization if node.op in _SELECTS else None
                open_.add(name)
    for node in reversed(inside):
        name, result = graph.activations(node)[0], graph.values[node.outputs[0]]
        if name in open_ and node.op in _MONOTONE and graph.only_reader(name) is node:
            value = graph.values[name]
            if value.quantization is None:
                _hold_like(value, result)


def _integer_nodes(graph: Graph) -> set[int]:
    """Return the ids of the float operators that run in integers: all inputs and outputs do."""
    accepted = _between_pairs(graph)
    waiting = [node for node in graph.nodes if id(node) in accepted]
    while waiting:  # one whose integer producer was rejected reads floats after all
        node = waiting.pop()
        if id(node) not in accepted or all(
            writer is not None and (writer.op == "DequantizeLinear" or id(writer) in accepted)
            for writer in map(graph.writer, graph.activations(node))
        ):
            continue
        accepted.discard(id(node))
        waiting += [reader for name in node.outputs for reader in graph.readers(name)]
    return accepted


def _between_pairs(graph: Graph) -> set[int]:
    """Return the ids of the nodes that read dequantized values and whose results are quantized."""
    quantized = {n.outputs[0] for n in graph.nodes if n.op == "DequantizeLinear"}
    candidates: list[Node] = []
    for node in graph.nodes:
        inputs = graph.activations(node)
        if node.op in ("DequantizeLinear", "QuantizeLinear") or not inputs:
            continue
        if quantized.issuperset(inputs):
            candidates.append(node)
            quantized.update(node.outputs)
    accepted: set[int] = set()
    for node in reversed(candidates):
        readers = [reader for name in node.outputs for reader in graph.readers(name)]
        leaves = not readers or any(graph.is_output(name) for name in node.outputs)
        if not leaves and all(r.op == "QuantizeLinear" or id(r) in accepted for r in readers):
            accepted.add(id(node))
    return accepted


def _drop_input_pair(graph: Graph, name: str) -> None:
    """Read the graph's input as the integers that it is turned into first."""
    moved, current = [name], name
    while len(readers := graph.readers(current)) == 1 and not graph.is_output(current):
        node = readers[0]
        if node.op == "QuantizeLinear":
            held = graph.values[node.outputs[0]]
            _describe(held, scale_of(node))
            for tensor in moved:
                _hold_like(graph.values[tensor], held)
            graph.bypass(node)
            return
        if node.op not in MOVES or node.inputs[0] != current:
            return
        current = node.outputs[0]
        moved.append(current)


def _drop_output_pair(graph: Graph, name: str) -> None:
    """Write the graph's output as the integers that it is made from last."""
    moved: list[str] = []
    current = name
    while (writer := graph.writer(current)) is not None:
        if len(graph.readers(current)) > (current != name):
            return
        if writer.op == "DequantizeLinear":
            source = graph.values[writer.inputs[0]]
            _describe(source, scale_of(writer))
            for tensor in moved:
                _hold_like(graph.values[tensor], source)
            graph.bypass(writer)
            return
        if writer.op not in MOVES:
            return
        moved.append(current)
        current = writer.inputs[0]
