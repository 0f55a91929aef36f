"""Convolutions, matrix products, norms and attention."""

from __future__ import annotations

import math
from typing import Any

from edgebench.export.untrained.shapes import conv_pads, many
from edgebench.export.untrained.trace import Call, NoRuleError, Value
from edgebench.export.untrained.writer import Rules, Writer, target_shape

RULES = Rules()


@RULES.rule("conv2d")
def _conv(writer: Writer, call: Call) -> None:
    """Conv, with the zero pad before it and the batch norm after it folded in."""
    weight, source = call["weight"], call["input"]
    before = writer.pads.get(source, [0, 0, 0, 0])
    own = conv_pads(call["padding"], weight.shape[2:], call["dilation"])
    pads = [one + other for one, other in zip(own, before, strict=True)]
    norm = _folded_norm(writer, call)
    weights = [weight, call["bias"]]
    if norm is not None:  # the folded constants are new ones
        weights = [Value(weight.shape, constant=True), Value(weight.shape[:1], constant=True)]
    writer.emit(
        call,
        "Conv",
        [source, *(one for one in weights if one is not None)],
        (norm or call).outputs,
        scope=(norm or call).scope,
        kernel_shape=list(weight.shape[2:]),
        strides=many(call["stride"]),
        pads=pads,
        dilations=many(call["dilation"]),
        group=call["groups"],
    )


def _folded_norm(writer: Writer, call: Call) -> Call | None:
    """Return the batch norm that alone reads ``call``, which the exporter folds into it."""
    norm = writer.only_reader(call.output)
    if norm is None or norm.op != "batch_norm" or norm["input"] is not call.output:
        return None
    writer.done.add(norm)
    return norm


@RULES.rule("batch_norm")
def _batch_norm(writer: Writer, call: Call) -> None:
    """Stands alone where no convolution or dense layer is before it to fold into."""
    width = call["input"].shape[1:2]
    parts = [call[name] for name in ("weight", "bias", "running_mean", "running_var")]
    if parts[2] is None:
        raise NoRuleError
    parts = [Value(width, constant=True) if part is None else part for part in parts]
    writer.emit(
        call, "BatchNormalization", [call["input"], *parts], call.outputs, epsilon=call["eps"]
    )


@RULES.rule("linear")
def _linear(writer: Writer, call: Call) -> None:
    """Gemm on ``[batch, features]``, elsewhere a matrix product and an addition."""
    source, weight, bias = call["input"], call["weight"], call["bias"]
    if len(source.shape) == 2:
        norm = _folded_norm(writer, call)
        if norm is not None:
            weight, bias = Value(weight.shape, True), Value(weight.shape[:1], True)
        operands = [source, weight, *([] if bias is None else [bias])]
        last = norm or call
        options: dict[str, Any] = {} if norm else {"beta": 1.0}
        writer.emit(
            call, "Gemm", operands, last.outputs,
            scope=last.scope, alpha=1.0, transA=0, transB=1, **options,
        )  # fmt: skip
        return
    turned = Value(weight.shape[::-1], constant=True)
    if bias is None:
        writer.emit(call, "MatMul", [source, turned], call.outputs)
        return
    product = writer.emit(call, "MatMul", [source, turned])
    writer.emit(call, "Add", [product, bias], call.outputs)


@RULES.rule("matmul", "mm", "bmm")
def _matmul(writer: Writer, call: Call) -> None:
    left = call.arguments.get("self")
    right = call.arguments.get("other", call.arguments.get("mat2"))
    writer.emit(call, "MatMul", [left, right], call.outputs)


@RULES.rule("layer_norm")
def _layer_norm(writer: Writer, call: Call) -> None:
    if call["weight"] is None or call["bias"] is None:
        raise NoRuleError
    operands = [call["input"], call["weight"], call["bias"]]
    axis = -len(call["normalized_shape"])
    options = {"axis": axis, "epsilon": call["eps"], "stash_type": 1}
    writer.emit(call, "LayerNormalization", operands, call.outputs, **options)


@RULES.rule("group_norm")
def _group_norm(writer: Writer, call: Call) -> None:
    """Opset 18 has none: an instance norm of the groups, then scale and shift of the channels."""
    source, groups = call["input"], call["num_groups"]
    if call["weight"] is None or call["bias"] is None:
        raise NoRuleError
    rows = writer.emit(call, "Reshape", [source, [0, groups, -1]])
    ones, zeros = [1.0] * groups, [0.0] * groups
    rows = writer.emit(call, "InstanceNormalization", [rows, ones, zeros], epsilon=call["eps"])
    image = writer.emit(call, "Reshape", [rows, target_shape(source)])
    shape = (source.shape[1], *[1] * (len(source.shape) - 2))
    scale, shift = Value(shape, constant=True), Value(shape, constant=True)
    image = writer.emit(call, "Mul", [image, scale])
    writer.emit(call, "Add", [image, shift], call.outputs)


@RULES.rule("instance_norm")
def _instance_norm(writer: Writer, call: Call) -> None:
    if not call["use_input_stats"] or call["weight"] is None or call["bias"] is None:
        raise NoRuleError
    operands = [call["input"], call["weight"], call["bias"]]
    writer.emit(call, "InstanceNormalization", operands, call.outputs, epsilon=call["eps"])


@RULES.rule("scaled_dot_product_attention")
def _attention(writer: Writer, call: Call) -> None:
    """softmax((q s) (k s)^T) v with s = scale ^ 1/2, as PyTorch computes it without fusing."""
    query, key, value = call["query"], call["key"], call["value"]
    if call["attn_mask"] is not None or call["is_causal"] or call["enable_gqa"]:
        raise NoRuleError
    rank = len(query.shape)
    scale = [math.sqrt(call["scale"] or 1 / math.sqrt(query.shape[-1]))]
    turned = Value(())
    writer.transpose(call, key, [*range(rank - 2), rank - 1, rank - 2], turned)
    query = writer.emit(call, "Mul", [query, scale])
    turned = writer.emit(call, "Mul", [turned, scale])
    scores = writer.emit(call, "MatMul", [query, turned])
    weights = writer.emit(call, "Softmax", [scores], axis=-1)
    writer.emit(call, "MatMul", [weights, value], call.outputs)


@RULES.rule("softmax")
def _softmax(writer: Writer, call: Call) -> None:
    writer.emit(call, "Softmax", [call["self"]], call.outputs, axis=call["dim"])
