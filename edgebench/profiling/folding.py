"""Constants that fold into the convolution or dense layer beside them: norms, biases, pads."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from edgebench.profiling.graph import Graph, Node, Value
from edgebench.profiling.operators import INTEGER_TYPES

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def expand_fused(graph: Graph) -> None:
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


def fold_constants_into_linear(graph: Graph) -> bool:
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
    """Return the linear operator that ``node`` can be folded into, or None.

    Once scales lie between the two, the vendor's tools keep them apart, and so does this.
    """
    inputs = graph.activations(node)
    if len(inputs) != 1 or (node.op in ("Sub", "Div") and node.inputs[0] != inputs[0]):
        return None
    linear = producers.get(inputs[0])
    value = graph.values[inputs[0]]
    alone = len(consumers[inputs[0]]) == 1 and inputs[0] not in graph.outputs
    if linear is None or linear.op not in LINEAR or not alone or value.dtype in INTEGER_TYPES:
        return None
    if not graph.is_constant(linear.inputs[1]):
        return None
    fits = node.op == "BatchNormalization" or _per_channel(graph, node, linear)
    return linear if fits else None


def _per_channel(graph: Graph, node: Node, linear: Node) -> bool:
    """Tell whether the constant operand of ``node`` has one element, or one a channel."""
    result = linear.outputs[0]
    operand = next(name for name in node.inputs if name != result)
    output, shape = graph.values[result].shape, graph.values[operand].shape
    if graph.values[node.outputs[0]].shape != output:
        return False
    axis = channel_axis(graph, linear)
    padded = (1,) * (len(output) - len(shape)) + shape
    return all(
        size == 1 or (index == axis and size == output[axis]) for index, size in enumerate(padded)
    )


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


def merge_pads(graph: Graph) -> bool:
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
        conv.attributes.setdefault("own_pads", old)
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


def fold_norm_into_next(graph: Graph) -> bool:
    """Fold one batch norm into the convolution that alone reads it, where that one pads nothing.

    Its factors go into the weights and its shifts into the bias; a padded convolution would see
    its zeros shifted too, so there the norm stays.
    """
    consumers = graph.consumers()
    for node in graph.nodes:
        if node.op != "BatchNormalization":
            continue
        conv = _only_reader(graph, node, consumers)
        if conv is None or conv.op != "Conv" or not graph.is_constant(conv.inputs[1]):
            continue
        if any(explicit_pads(graph, conv)):
            continue
        if len(conv.inputs) < 3:
            _give_bias(graph, conv, conv)
        conv.folded.append(node.name)
        graph.replace(node.outputs[0], node.inputs[0])
        graph.remove([node])
        return True
    return False


def _only_reader(graph: Graph, node: Node, consumers: dict[str, list[Node]]) -> Node | None:
    """Return the one node that reads ``node``, past reshapes that change no shape, or None."""
    name = node.outputs[0]
    while name not in graph.outputs and len(consumers.get(name, ())) == 1:
        reader = consumers[name][0]
        if reader.op != "Reshape":
            return reader
        if graph.values[reader.outputs[0]].shape != graph.values[name].shape:
            return None
        name = reader.outputs[0]
    return None
