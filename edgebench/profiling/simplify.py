"""Rewrites of the graph that every deployment tool makes before it counts or plans anything.

Each pass keeps the function of the graph: quantise/dequantise pairs become integer operators,
batch norms and per-channel factors fold into the convolution before them, zero pads into the
convolution after them, and transposes that only adapt the layout become free.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from edgebench.profiling.graph import Graph, Node, Value

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
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


def simplify(graph: Graph) -> Graph:
    """Apply every rewrite to ``graph``, in place, until none applies."""
    _absorb_quantisation(graph)
    _expand_fused(graph)
    while any([_merge_pads(graph), _fold_constants_into_linear(graph)]):
        pass
    _free_layout_transposes(graph)
    _free_identical(graph)
    return graph


# Quantise / dequantise -----------------------------------------------------------------------


def _absorb_quantisation(graph: Graph) -> None:
    """Turn ``dequantise -> operator -> quantise`` into an operator on integers.

    What remains of the pairs is executed: a float operator between integer ones, or a change of
    scale. At the model's edge they only describe its input and output, which are then integers
    (two vendor reports of QDQ models count no conversion there).
    """
    _drop_edges(graph)
    consumers, integer = graph.consumers(), _integer_nodes(graph)
    producers = graph.producers()
    for node in list(graph.nodes):
        if node.op == "DequantizeLinear":
            readers = consumers.get(node.outputs[0], [])
            if node.outputs[0] in graph.outputs or not all(id(r) in integer for r in readers):
                continue
            _describe(graph, node.inputs[0], node)
            graph.replace(node.outputs[0], node.inputs[0])
            graph.remove([node])
        elif node.op == "QuantizeLinear":
            writer = producers.get(node.inputs[0])
            if writer is not None and id(writer) in integer:
                _describe(graph, node.outputs[0], node)
                graph.replace(node.outputs[0], node.inputs[0])
                _retype(graph, node.inputs[0], graph.values[node.outputs[0]])
                graph.remove([node])
    for node in graph.nodes:
        if id(node) in integer:
            source = graph.values[graph.activations(node)[0]]
            for name in node.outputs:
                if graph.values[name].dtype not in ("int8", "uint8"):
                    _retype(graph, name, source)


def _integer_nodes(graph: Graph) -> set[int]:
    """Return the ids of the float operators that run in integers: all inputs and outputs do."""
    quantised = {n.outputs[0] for n in graph.nodes if n.op == "DequantizeLinear"}
    candidates: dict[int, Node] = {}
    for node in graph.nodes:
        inputs = graph.activations(node)
        if node.op in ("DequantizeLinear", "QuantizeLinear") or not inputs:
            continue
        if all(name in quantised for name in inputs):
            candidates[id(node)] = node
            quantised.update(node.outputs)
    consumers = graph.consumers()
    accepted: set[int] = set()
    for node in reversed(graph.nodes):
        readers = [reader for name in node.outputs for reader in consumers.get(name, [])]
        leaves = any(name in graph.outputs for name in node.outputs)
        if id(node) in candidates and readers and not leaves:
            ends = all(r.op == "QuantizeLinear" or id(r) in accepted for r in readers)
            if ends:
                accepted.add(id(node))
    # A node whose integer producer was rejected reads floats after all.
    changed = True
    while changed:
        changed = False
        produced = {name: n for n in graph.nodes for name in n.outputs}
        for node in graph.nodes:
            if id(node) not in accepted:
                continue
            writers = [produced.get(name) for name in graph.activations(node)]
            if any(
                w is None or (w.op != "DequantizeLinear" and id(w) not in accepted) for w in writers
            ):
                accepted.discard(id(node))
                changed = True
    return accepted


def _drop_edges(graph: Graph) -> None:
    """Read a quantised input and output as the integers that they describe."""
    consumers, producers = graph.consumers(), graph.producers()
    for name in graph.inputs:
        chain, current = [], name
        while len(readers := consumers.get(current, [])) == 1:
            node = readers[0]
            if node.op == "QuantizeLinear":
                for tensor in [name, *(n.outputs[0] for n in chain)]:
                    _retype(graph, tensor, graph.values[node.outputs[0]])
                _describe(graph, name, node)
                graph.replace(node.outputs[0], current)
                graph.remove([node])
                break
            if node.op not in ALIASES and node.op != "Transpose":
                break
            chain.append(node)
            current = node.outputs[0]
    for name in list(graph.outputs):
        current, chain = name, []
        while (writer := producers.get(current)) is not None:
            if writer.op == "DequantizeLinear":
                _describe(graph, writer.inputs[0], writer)
                for node in chain:
                    _retype(graph, node.outputs[0], graph.values[writer.inputs[0]])
                graph.replace(writer.outputs[0], writer.inputs[0])
                graph.remove([writer])
                break
            if (writer.op not in ALIASES and writer.op != "Transpose") or len(
                consumers.get(current, [])
            ) > (current != name):
                break
            chain.append(writer)
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


# Folding into linear operators ----------------------------------------------------------------


def _expand_fused(graph: Graph) -> None:
    """Give an activation that a contrib operator carries a node of its own again."""
    expanded = []
    for node in graph.nodes:
        expanded.append(node)
        activation = node.attributes.pop("_activation", None)
        if activation:
            inner = f"{node.outputs[0]}.before_{activation}"
            graph.values[inner] = replace(graph.values[node.outputs[0]], name=inner)
            outputs, node.outputs = node.outputs, [inner]
            expanded.append(Node(activation, f"{node.name}.{activation}", [inner], outputs))
    graph.nodes = expanded


def channel_axis(graph: Graph, node: Node) -> int:
    """Return the axis of the output channels of a linear operator."""
    rank = len(graph.values[node.outputs[0]].shape)
    return 1 if node.op in ("Conv", "ConvTranspose") else rank - 1


def _fold_constants_into_linear(graph: Graph) -> bool:
    """Fold one batch norm, bias or per-channel factor into the linear operator before it."""
    consumers, producers = graph.consumers(), graph.producers()
    for node in graph.nodes:
        if node.op not in ("BatchNormalization", "Add", "Sub", "Mul", "Div"):
            continue
        linear = _foldable(graph, node, producers, consumers)
        if linear is None:
            continue
        if node.op not in ("Mul", "Div") and len(linear.inputs) < 3:
            _give_bias(graph, linear, node)
        linear.folded.append(node.name)
        graph.values[linear.outputs[0]].dtype = graph.values[node.outputs[0]].dtype
        graph.replace(node.outputs[0], linear.outputs[0])
        graph.remove([node])
        return True
    return False


def _foldable(
    graph: Graph, node: Node, producers: dict[str, Node], consumers: dict[str, list[Node]]
) -> Node | None:
    """Return the linear operator that ``node`` can be folded into, or None."""
    inputs = graph.activations(node)
    if len(inputs) != 1 or (node.op == "Div" and node.inputs[0] != inputs[0]):
        return None
    linear = producers.get(inputs[0])
    if linear is None or linear.op not in LINEAR or len(consumers[inputs[0]]) != 1:
        return None
    if inputs[0] in graph.outputs or not graph.is_constant(linear.inputs[1]):
        return None
    if graph.values[inputs[0]].dtype in ("int8", "uint8"):
        return None  # the vendor's tools keep them apart once scales lie between
    if node.op == "Sub" and node.inputs[0] != inputs[0]:
        return None
    if node.op == "BatchNormalization":
        return linear
    operand = next(name for name in node.inputs if name != inputs[0])
    shape = graph.values[operand].shape
    output = graph.values[inputs[0]].shape
    if graph.values[node.outputs[0]].shape != output:
        return None
    axis = channel_axis(graph, linear)
    padded = (1,) * (len(output) - len(shape)) + shape
    per_channel = all(
        size == 1 or (index == axis and size == output[axis]) for index, size in enumerate(padded)
    )
    return linear if per_channel else None


def _give_bias(graph: Graph, linear: Node, node: Node) -> None:
    """Add a bias of one element a channel to ``linear``, by reference where a constant holds it."""
    channels = graph.values[linear.outputs[0]].shape[channel_axis(graph, linear)]
    operand = next((n for n in node.inputs if n and graph.is_constant(n)), "")
    stored = graph.values[operand] if node.op in ("Add", "Sub") else None
    if stored is not None and prod(stored.shape) == channels:
        linear.inputs = [*linear.inputs[:2], operand]
        return
    name = f"{linear.name}.bias"
    dtype = graph.values[linear.inputs[1]].dtype
    kept = dtype if dtype.startswith(("float", "bfloat")) else "int32"
    graph.values[name] = Value(name, (channels,), kept, constant=True)
    linear.inputs = [*linear.inputs[:2], name]


def _merge_pads(graph: Graph) -> bool:
    """Merge one zero pad of the image's sides into the convolution that alone reads it."""
    consumers = graph.consumers()
    for node in graph.nodes:
        readers = consumers.get(node.outputs[0], [])
        if node.op != "Pad" or len(readers) != 1 or node.outputs[0] in graph.outputs:
            continue
        conv = readers[0]
        pads = pad_amounts(graph, node)
        if conv.op != "Conv" or pads is None or not _is_zero_pad(graph, node):
            continue
        rank = len(graph.values[node.inputs[0]].shape)
        if any(pads[:2]) or any(pads[rank : rank + 2]) or min(pads) < 0:
            continue
        sides = rank - 2
        old = explicit_pads(graph, conv)
        merged = [
            old[index] + pads[(2 if index < sides else rank + 2) + index % sides]
            for index in range(2 * sides)
        ]
        conv.attributes.pop("auto_pad", None)
        conv.attributes["pads"] = merged
        conv.folded.append(node.name)
        graph.replace(node.outputs[0], node.inputs[0])
        graph.remove([node])
        return True
    return False


def pad_amounts(graph: Graph, node: Node) -> list[int] | None:
    """Return the amounts of a Pad (begins, then ends, one an axis), or None where not constant."""
    rank = len(graph.values[node.inputs[0]].shape)
    if "pads" in node.attributes:
        return [int(one) for one in node.attributes["pads"]]
    data = graph.data(node.inputs[1]) if len(node.inputs) > 1 else None
    if data is None:
        return None
    amounts = [int(one) for one in data.reshape(-1)]
    axes = graph.data(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else None
    if axes is None:
        return amounts
    full = [0] * (2 * rank)
    for index, axis in enumerate(int(a) % rank for a in axes.reshape(-1)):
        full[axis], full[axis + rank] = amounts[index], amounts[index + len(axes)]
    return full


def _is_zero_pad(graph: Graph, node: Node) -> bool:
    mode = node.attributes.get("mode", b"constant")
    if mode != b"constant":
        return False
    if "pads" in node.attributes:
        return float(node.attributes.get("value", 0.0)) == 0.0
    value = graph.values[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    if value is None or value.dtype in ("int8", "uint8"):
        return True  # quantised: the pad is the zero point
    data = value.data()
    return data is not None and not data.any()


def explicit_pads(graph: Graph, node: Node) -> list[int]:
    """Return the pads of a convolution or pool (begins, then ends), with ``auto_pad`` resolved."""
    shape = graph.values[node.inputs[0]].shape[2:]
    sides = len(shape)
    mode = node.attributes.get("auto_pad", b"NOTSET")
    if mode in (b"NOTSET", b""):
        return list(node.attributes.get("pads", [0] * 2 * sides))
    if mode == b"VALID":
        return [0] * 2 * sides
    begins, ends = [], []
    kernel, strides, dilations = window(graph, node)
    for size, span, stride, dilation in zip(shape, kernel, strides, dilations, strict=True):
        reach = (span - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if mode == b"SAME_UPPER" else large)
        ends.append(large if mode == b"SAME_UPPER" else small)
    return begins + ends


def window(graph: Graph, node: Node) -> tuple[list[int], list[int], list[int]]:
    """Return the kernel sizes, strides and dilations of a convolution or pool."""
    sides = len(graph.values[node.inputs[0]].shape) - 2
    if node.op in ("Conv", "ConvTranspose"):
        kernel = list(graph.values[node.inputs[1]].shape[2:])
    elif node.op.startswith("Global"):
        kernel = list(graph.values[node.inputs[0]].shape[2:])
        return kernel, list(kernel), [1] * sides
    else:
        kernel = list(node.attributes["kernel_shape"])
    strides = list(node.attributes.get("strides", [1] * sides))
    return kernel, strides, list(node.attributes.get("dilations", [1] * sides))


# Layout -----------------------------------------------------------------------------------------


def _free_layout_transposes(graph: Graph) -> None:
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


def _free_identical(graph: Graph) -> None:
    """Drop steps that change nothing: a pad, slice, expand or average of one element by one."""
    for node in graph.nodes:
        if node.op in ("Pad", "Slice", "Expand", "Tile", "Split") and len(node.outputs) == 1:
            source, result = graph.values[node.inputs[0]], graph.values[node.outputs[0]]
            if source.shape == result.shape:
                node.op = "Alias"
