"""Writes ONNX files that nobody should have written: seeded, one after another.

Each is a small sound model after a few changes: numbers become extreme, names empty, operators
others, operands go missing, bytes flip. `profile` must give figures or one message for each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import QuantizedPad, Sketchpad

NUMBERS = (0, -1, 1, 2, 3, 7, 255, 2**20, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63), 10**9)
OPERATORS = (
    "Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvTranspose", "Dropout",
    "Expand", "Flatten", "Gather", "Gemm", "Identity", "If", "Loop", "MatMul", "MaxPool", "NonZero",
    "Pad", "QLinearAdd", "QLinearConcat", "QuantizeLinear", "Range", "ReduceMean", "Reshape",
    "Resize", "Scan", "Sequence", "Shape", "Slice", "Softmax", "Split", "Squeeze", "StringConcat",
    "Tile", "TopK", "Transpose", "Unsqueeze", "Upsample", "Where", "DequantizeLinear", "LSTM",
)  # fmt: skip
ATTRIBUTES = ("auto_pad", "axes", "axis", "dilations", "group", "kernel_shape", "pads", "perm",
              "strides", "to", "value")  # fmt: skip
NAMES = ("", "input", "out", "nobody", "x" * 300, "a\nb", "../../etc/passwd", "é")


def plain() -> onnx.ModelProto:
    """Return a CNN with shape arithmetic, a slice, a pad, a resize and a softmax."""
    pad = Sketchpad()
    value = pad.add("Relu", [pad.conv("input", 4, 3, pads=[1, 1, 1, 1])])
    value = pad.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
    value = pad.add("Pad", [value, pad.data("p", [0, 0, 1, 1, 0, 0, 1, 1])])
    value = pad.conv(value, 4, 4, group=4)
    value = pad.add("Slice", [value, pad.data("s", [0]), pad.data("e", [3]), pad.data("a", [2])])
    scales = pad.data("k", [1, 1, 2, 2], np.float32)
    value = pad.add("Resize", [value, "", scales], mode="nearest")
    shape = pad.add("Shape", [value])
    batch = pad.add("Gather", [shape, pad.data("z", 0)])
    batch = pad.add("Unsqueeze", [batch, pad.data("u", [0])])
    shape = pad.add("Concat", [batch, pad.data("r", [-1])], axis=0)
    steps = [pad.data(f"n{n}", n) for n in (0, 5, 1)]
    pad.add("Range", steps, "range")
    pad.add("Cast", ["range"], "cast", to=TensorProto.FLOAT)
    pad.add("ConstantOfShape", [pad.data("c", [2, 3])], "filled")
    value = pad.add("Reshape", [value, shape])
    value = pad.add("Softmax", [pad.dense(value, 5, 4 * 6 * 8)])
    return pad.model(value, "cast", "filled")


def quantized() -> onnx.ModelProto:
    """Return an integer CNN between pairs, with a residual."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 4, 3, (3, 3), pads=[1, 1, 1, 1])
    other = pad.conv8(value, 4, 4, (3, 3), group=4, pads=[1, 1, 1, 1])
    value = pad.quantized(pad.add("Add", [value, other]))
    return pad.model(pad.dense8(pad.quantized(pad.add("Flatten", [value])), 10, 256))


def functional() -> onnx.ModelProto:
    """Return a model whose convolution stands in a function that a function calls."""
    pad = Sketchpad()
    pad.nodes.append(helper.make_node("outer", ["input", pad.weight("w", 4, 3, 3, 3)], ["out"],
                                      domain="own"))  # fmt: skip
    model = pad.model("out", domains=["own"])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    for name, inner in (("outer", "inner"), ("inner", "Conv")):
        domain = "own" if inner == "inner" else ""
        node = helper.make_node(inner, ["a", "b"], ["c"], domain=domain)
        model.functions.append(
            helper.make_function("own", name, ["a", "b"], ["c"], [node], imports)
        )
    return model


def endless_loop() -> onnx.ModelProto:
    """Return a model with a loop of 10^15 steps over constants."""
    names = ("step", "going", "state")
    types = (TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT)
    inputs = [
        helper.make_tensor_value_info(name, code, [])
        for name, code in zip(names, types, strict=True)
    ]
    outputs = [
        helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("sum", TensorProto.FLOAT, []),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["on"]),
            helper.make_node("Add", ["state", "state"], ["sum"]),
        ],
        "body",
        inputs,
        outputs,
    )
    pad = Sketchpad()
    parts = [pad.data("n", 10**15), pad.data("c", True, bool), pad.data("v", 1.0, np.float32)]
    value = pad.add("Loop", parts, body=body)
    return pad.model(pad.add("Add", [pad.conv("input", 4, 3), value]))


def endless_range() -> onnx.ModelProto:
    """Return a model that adds up a constant range of 300 million numbers."""
    pad = Sketchpad()
    parts = [pad.data("a", 0.0, np.float32), pad.data("b", 3e8, np.float32)]
    value = pad.add("Range", [*parts, pad.data("s", 1.0, np.float32)])
    total = pad.add("ReduceMean", [value, pad.data("axis", [0])], keepdims=0)
    return pad.model(pad.add("Add", [pad.conv("input", 4, 3), total]))


def outer_products() -> onnx.ModelProto:
    """Return a model whose constants grow by broadcasting, and again."""
    pad = Sketchpad()
    column = pad.data("column", np.zeros((16_384, 1)), np.float32)
    row = pad.data("row", np.zeros((1, 16_384)), np.float32)
    total = pad.add("ReduceMean", [pad.add("Mul", [column, row])], keepdims=0)
    return pad.model(pad.add("Add", [pad.conv("input", 4, 3), total]))


def nested_functions() -> onnx.ModelProto:
    """Return a model of 24 functions, each of which calls the one below it twice."""
    pad = Sketchpad()
    pad.nodes.append(helper.make_node("f24", ["input"], ["out"], domain="own"))
    model = pad.model("out", domains=["own"])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    for level in range(25):
        name, domain = (f"f{level - 1}", "own") if level else ("Relu", "")
        nodes = [
            helper.make_node(name, ["a"], ["b"], domain=domain),
            helper.make_node(name, ["b"], ["c"], domain=domain),
        ]
        model.functions.append(
            helper.make_function("own", f"f{level}", ["a"], ["c"], nodes, imports)
        )
    return model


def recursive_function() -> onnx.ModelProto:
    """Return a model with a function that calls itself."""
    pad = Sketchpad()
    pad.nodes.append(helper.make_node("f", ["input"], ["out"], domain="own"))
    model = pad.model("out", domains=["own"])
    node = helper.make_node("f", ["a"], ["b"], domain="own")
    imports = [helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], [node], imports))
    return model


def enormous_input() -> onnx.ModelProto:
    """Return a convolution over an image of 10^9 x 10^9 pixels."""
    pad = Sketchpad()
    return pad.model(pad.conv("input", 4, 3), shape=(1, 3, 10**9, 10**9))


def reversed_chain(length: int = 4_000) -> onnx.ModelProto:
    """Return a chain of activations behind a convolution, the last one first in the file."""
    pad = Sketchpad()
    value = pad.conv("input", 4, 3)
    for _ in range(length):
        value = pad.add("Relu", [value])
    pad.nodes.reverse()
    return pad.model(value)


NAMED: Sequence[Callable[[], onnx.ModelProto]] = (
    endless_loop, endless_range, outer_products, nested_functions, recursive_function,
    enormous_input, reversed_chain,
)  # fmt: skip
"""Attacks that are written on purpose."""

BASES: Sequence[Callable[[], onnx.ModelProto]] = (plain, quantized, functional)


def hostile(seed: int) -> bytes:
    """Return the bytes of one changed model."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    model = chance.choice(BASES)()
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(CHANGES)(model, chance)
    found = model.SerializeToString()
    if chance.random() < 0.15:
        found = _bytes_changed(found, chance)
    return found


def _bytes_changed(found: bytes, chance: random.Random) -> bytes:
    changed = bytearray(found)
    for _ in range(chance.randint(1, 5)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed[: chance.randrange(1, len(changed) + 1)] if chance.random() < 0.2
                 else changed)  # fmt: skip


def _a_node(model: onnx.ModelProto, chance: random.Random) -> onnx.NodeProto:
    return chance.choice(model.graph.node)


def _attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change, retype or remove an attribute, or add one of another operator."""
    node = _a_node(model, chance)
    name = chance.choice([*(one.name for one in node.attribute), *ATTRIBUTES])
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if chance.random() < 0.15:
        return
    values: tuple[Any, ...] = (
        chance.choice(NUMBERS),
        [chance.choice(NUMBERS) for _ in range(chance.choice((1, 2, 4, 8)))],
        [chance.choice((0, 1, 2, 3)) for _ in range(chance.choice((2, 4)))],
        chance.choice((0.5, float("nan"), -1.0)),
        chance.choice(("XX", "SAME_UPPER", "VALID", "reflect", "linear", "")),
        TensorProto(
            name="t", data_type=chance.choice((1, 7, 8, 99)), dims=[chance.choice(NUMBERS)]
        ),
    )
    node.attribute.append(helper.make_attribute(name, chance.choice(values)))


def _operands(model: onnx.ModelProto, chance: random.Random) -> None:
    """Remove, rename, add or exchange what a node reads or writes."""
    node = _a_node(model, chance)
    names = [name for one in model.graph.node for name in (*one.input, *one.output)]
    where = node.output if chance.random() < 0.3 else node.input
    change = chance.randrange(4)
    if change == 0 and where:
        del where[chance.randrange(len(where))]
    elif change == 1 and where:
        where[chance.randrange(len(where))] = chance.choice((*NAMES, *names))
    elif change == 2:
        where.append(chance.choice((*NAMES, *names)))
    else:
        del where[:]


def _operator(model: onnx.ModelProto, chance: random.Random) -> None:
    """Make a node another operator, or of another domain."""
    node = _a_node(model, chance)
    if chance.random() < 0.2:
        node.domain = chance.choice(("com.microsoft", "own", "nowhere", "ai.onnx.ml"))
    else:
        node.op_type = chance.choice(OPERATORS)


def _dimensions(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change the dimensions of a weight, the input or an output."""
    number = chance.choice(NUMBERS)
    if chance.random() < 0.6:
        tensor = chance.choice(model.graph.initializer)
        if tensor.dims and chance.random() < 0.7:
            tensor.dims[chance.randrange(len(tensor.dims))] = number
        else:
            tensor.dims.append(number)
        return
    info = chance.choice([*model.graph.input, *model.graph.output])
    dims = info.type.tensor_type.shape.dim
    if dims and chance.random() < 0.7:
        chance.choice(dims).dim_value = number
    else:
        dims.add().dim_value = number


def _types(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change the element type of a weight or the input."""
    code = chance.choice((0, 1, 2, 3, 7, 8, 9, 10, 11, 16, 17, 21, 22, 23, 99, 2**31 - 1))
    if chance.random() < 0.6:
        chance.choice(model.graph.initializer).data_type = code
    else:
        chance.choice(model.graph.input).type.tensor_type.elem_type = code


def _values(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change the numbers of a small constant, such as the bounds of a range."""
    tensor = chance.choice(model.graph.initializer)
    array = np.asarray([chance.choice(NUMBERS) for _ in range(chance.choice((1, 2, 4, 8)))])
    shape = () if chance.random() < 0.3 else (-1,)
    array = array[:1].reshape(()) if shape == () else array
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _storage(model: onnx.ModelProto, chance: random.Random) -> None:
    """Say that a weight lies in another file."""
    tensor = chance.choice(model.graph.initializer)
    tensor.data_location = TensorProto.EXTERNAL
    for key in ("location", "offset", "length"):
        if chance.random() < 0.7:
            value = chance.choice(("/etc/passwd", "../up", "", "weights.bin", "-1", "x", "9" * 30))
            tensor.external_data.add(key=key, value=value)


def _graph(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change what the graph reads and writes, the order of its nodes, or its versions."""
    change = chance.randrange(7)
    graph = model.graph
    if change == 0:
        names = [*(i.name for i in graph.initializer), *(n for o in graph.node for n in o.output)]
        graph.output.add().name = chance.choice([*names, "input", "nobody"])
    elif change == 1:
        graph.input.append(helper.make_tensor_value_info("more", chance.choice((1, 8)), [1]))
    elif change == 2:
        nodes = list(graph.node)
        chance.shuffle(nodes)
        del graph.node[:]
        graph.node.extend(nodes)
    elif change == 3:
        model.opset_import[0].version = chance.choice((1, 5, 7, 11, 13, 22, 0, 10**6, -1))
    elif change == 4:
        model.ir_version = chance.choice((0, 1, 3, 10**9, -1))
    elif change == 5:
        graph.node.append(_a_node(model, chance))
    else:
        del graph.node[chance.randrange(len(graph.node))]
    if not graph.node:
        graph.node.add().op_type = "Relu"


def _functions(model: onnx.ModelProto, chance: random.Random) -> None:
    """Let a function call another, itself, or many."""
    if not model.functions:
        _operator(model, chance)
        return
    function = chance.choice(model.functions)
    node = chance.choice(function.node)
    node.op_type = chance.choice(("outer", "inner", "Conv", "nobody"))
    node.domain = chance.choice(("own", ""))
    if chance.random() < 0.3:
        function.node.extend([node] * 20)
    if chance.random() < 0.3:
        del function.input[:]


CHANGES: Sequence[Callable[[onnx.ModelProto, random.Random], None]] = (
    _attribute, _attribute, _attribute, _operands, _operands, _operator, _dimensions, _types,
    _values, _storage, _graph, _functions,
)  # fmt: skip
