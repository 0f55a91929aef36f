"""Quantise/dequantise pairs become operators on integers, as a device runs them."""

from __future__ import annotations

from edgebench.profiling.graph import Graph, Node, Value
from edgebench.profiling.layout import ALIASES
from edgebench.profiling.operators import INTEGER_TYPES

MOVES = ALIASES | {"Transpose"}
"""Operators that only move elements: quantised before or behind them is the same."""


def absorb_quantisation(graph: Graph) -> None:
    """Turn ``dequantise -> operator -> quantise`` into an operator on integers.

    What remains of the pairs is executed: a float operator between integer ones, or a change of
    scale. At the model's edge they only describe its input and output, which are then integers
    (two vendor reports of QDQ models count no conversion there).
    """
    for name in graph.inputs:
        _drop_input_pair(graph, name)
    for name in list(graph.outputs):
        _drop_output_pair(graph, name)
    _join_rescales(graph)
    integer = _integer_nodes(graph)
    consumers, producers = graph.consumers(), graph.producers()
    for node in list(graph.nodes):
        source, result = node.inputs[0] if node.inputs else "", node.outputs[0]
        if node.op == "DequantizeLinear" and result not in graph.outputs:
            if all(id(reader) in integer for reader in consumers.get(result, [])):
                _describe(graph, source, node)
                _bypass(graph, node)
        elif node.op == "QuantizeLinear":
            writer = producers.get(source)
            if writer is not None and id(writer) in integer:
                _describe(graph, result, node)
                _retype(graph, source, graph.values[result])
                _bypass(graph, node)
    _hold_in_integers(graph, integer)


def _join_rescales(graph: Graph) -> None:
    """Make one step of a dequantise that only quantises again, to another scale or sign."""
    consumers = graph.consumers()
    for node in list(graph.nodes):
        readers = consumers.get(node.outputs[0], [])
        alone = node.op == "DequantizeLinear" and node.outputs[0] not in graph.outputs
        if alone and readers and all(reader.op == "QuantizeLinear" for reader in readers):
            _describe(graph, node.inputs[0], node)
            _bypass(graph, node)


def _hold_in_integers(graph: Graph, integer: set[int]) -> None:
    """Give results that no pair describes, between integer operators, their input's type."""
    for node in graph.nodes:
        if id(node) in integer:
            source = graph.values[graph.activations(node)[0]]
            for name in node.outputs:
                if graph.values[name].dtype not in INTEGER_TYPES:
                    _retype(graph, name, source)


def _bypass(graph: Graph, node: Node) -> None:
    """Let the readers of ``node`` read its input, and drop it."""
    graph.replace(node.outputs[0], node.inputs[0])
    graph.remove([node])


def _integer_nodes(graph: Graph) -> set[int]:
    """Return the ids of the float operators that run in integers: all inputs and outputs do."""
    accepted = _between_pairs(graph)
    producers = graph.producers()
    while True:  # one whose integer producer was rejected reads floats after all
        rejected = {
            id(node)
            for node in graph.nodes
            if id(node) in accepted
            and not all(
                writer is not None and (writer.op == "DequantizeLinear" or id(writer) in accepted)
                for writer in (producers.get(name) for name in graph.activations(node))
            )
        }
        if not rejected:
            return accepted
        accepted -= rejected


def _between_pairs(graph: Graph) -> set[int]:
    """Return the ids of the nodes that read dequantised values and whose results are quantised."""
    quantised = {n.outputs[0] for n in graph.nodes if n.op == "DequantizeLinear"}
    candidates: list[Node] = []
    for node in graph.nodes:
        inputs = graph.activations(node)
        if node.op in ("DequantizeLinear", "QuantizeLinear") or not inputs:
            continue
        if quantised.issuperset(inputs):
            candidates.append(node)
            quantised.update(node.outputs)
    consumers = graph.consumers()
    accepted: set[int] = set()
    for node in reversed(candidates):
        readers = [reader for name in node.outputs for reader in consumers.get(name, [])]
        leaves = not readers or any(name in graph.outputs for name in node.outputs)
        if not leaves and all(r.op == "QuantizeLinear" or id(r) in accepted for r in readers):
            accepted.add(id(node))
    return accepted


def _drop_input_pair(graph: Graph, name: str) -> None:
    """Read the graph's input as the integers that it is turned into first."""
    consumers = graph.consumers()
    moved, current = [name], name
    while len(readers := consumers.get(current, [])) == 1:
        node = readers[0]
        if node.op == "QuantizeLinear":
            for tensor in moved:
                _retype(graph, tensor, graph.values[node.outputs[0]])
            _describe(graph, name, node)
            graph.replace(node.outputs[0], current)
            graph.remove([node])
            return
        if node.op not in MOVES:
            return
        current = node.outputs[0]
        moved.append(current)


def _drop_output_pair(graph: Graph, name: str) -> None:
    """Write the graph's output as the integers that it is made from last."""
    consumers, producers = graph.consumers(), graph.producers()
    moved: list[str] = []
    current = name
    while (writer := producers.get(current)) is not None:
        if len(consumers.get(current, [])) > (current != name):
            return
        if writer.op == "DequantizeLinear":
            _describe(graph, writer.inputs[0], writer)
            for tensor in moved:
                _retype(graph, tensor, graph.values[writer.inputs[0]])
            graph.replace(writer.outputs[0], writer.inputs[0])
            graph.remove([writer])
            return
        if writer.op not in MOVES:
            return
        moved.append(current)
        current = writer.inputs[0]


def _describe(graph: Graph, name: str, node: Node) -> None:
    """Note on the value ``name`` the scale and zero point that ``node`` applies."""
    value = graph.values[name]
    value.scale = node.inputs[1]
    value.zero_point = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None


def _retype(graph: Graph, name: str, like: Value) -> None:
    value = graph.values[name]
    value.dtype = like.dtype
    value.scale, value.zero_point = like.scale, like.zero_point
