"""What gives values another shape, takes a part of them or puts them together."""

from __future__ import annotations

import math

from edgebench.export.untrained.trace import Call, NoRuleError
from edgebench.export.untrained.writer import Rules, Writer, target_shape

RULES = Rules()


@RULES.rule(
    "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "detach", "alias", "to"
)
def _nothing(writer: Writer, call: Call) -> None:
    """What evaluation leaves out, and what only moves memory."""
    source = call.arguments.get("self") or call["input"]
    writer.same(call.output, source)


@RULES.rule("view", "reshape", "flatten", "unflatten")
def _reshape(writer: Writer, call: Call) -> None:
    """Flatten where ``[batch, ...]`` becomes ``[batch, features]``, else a Reshape."""
    source, result = call["self"], call.output
    if source.shape == result.shape:
        writer.same(result, source)
        return
    shape = target_shape(result)
    if len(shape) == 2 and shape[0] == -1 and math.prod(source.shape[1:]) == shape[1]:
        writer.emit(call, "Flatten", [source], [result], axis=1)
    else:
        writer.emit(call, "Reshape", [source, shape], [result])


@RULES.rule("channel_shuffle")
def _channel_shuffle(writer: Writer, call: Call) -> None:
    """Turn groups of channels into channels of groups."""
    source, groups = call["self"], call["groups"]
    channels, *sides = source.shape[1:]
    order = [0, 2, 1, *range(3, 3 + len(sides))]
    split = writer.emit(call, "Reshape", [source, [-1, groups, channels // groups, *sides]])
    turned = writer.emit(call, "Transpose", [split], perm=order)
    writer.emit(call, "Reshape", [turned, [-1, channels, *sides]], call.outputs)


@RULES.rule("transpose", "permute", "t")
def _transpose(writer: Writer, call: Call) -> None:
    """One Transpose for several in a row."""
    rank = len(call["self"].shape)
    order = list(range(rank))
    if call.op == "permute":
        order = [axis % rank for axis in call["dims"]]
    else:
        one, other = (call.arguments.get(f"dim{side}", side) % rank for side in (0, 1))
        order[one], order[other] = other, one
    writer.transpose(call, call["self"], order, call.output)


@RULES.rule("unsqueeze")
def _unsqueeze(writer: Writer, call: Call) -> None:
    writer.emit(call, "Unsqueeze", [call["self"], [call["dim"]]], call.outputs)


@RULES.rule("squeeze")
def _squeeze(writer: Writer, call: Call) -> None:
    axes = call.arguments.get("dim")
    if axes is None:
        raise NoRuleError
    axes = list(axes) if isinstance(axes, (list, tuple)) else [axes]
    writer.emit(call, "Squeeze", [call["self"], axes], call.outputs)


@RULES.rule("select")
def _select(writer: Writer, call: Call) -> None:
    writer.emit(call, "Gather", [call["self"], call["index"]], call.outputs, axis=call["dim"])


@RULES.rule("unbind")
def _unbind(writer: Writer, call: Call) -> None:
    """One slice of one element and a squeeze for each part."""
    axis = call["dim"]
    for place, part in enumerate(call.outputs):
        if writer.readers[part]:
            piece = writer.emit(call, "Slice", [call["self"], [place], [place + 1], [axis]])
            writer.emit(call, "Squeeze", [piece, [axis]], [part])


@RULES.rule("slice")
def _slice(writer: Writer, call: Call) -> None:
    source, result = call["self"], call.output
    if source.shape == result.shape:
        writer.same(result, source)
        return
    last = 2**63 - 1
    bounds = [call["start"] or 0, last if call["end"] is None else call["end"]]
    lists = [[int(one)] for one in (*bounds, call["dim"], call["step"])]
    writer.emit(call, "Slice", [source, *lists], [result])


@RULES.rule("chunk", "split")
def _split(writer: Writer, call: Call) -> None:
    sizes = {part.shape for part in call.outputs}
    if len(sizes) != 1:
        raise NoRuleError
    writer.emit(
        call, "Split", [call["self"]], call.outputs, axis=call["dim"], num_outputs=len(call.outputs)
    )


@RULES.rule("cat")
def _concat(writer: Writer, call: Call) -> None:
    writer.emit(call, "Concat", call["tensors"], call.outputs, axis=call["dim"])


@RULES.rule("expand")
def _expand(writer: Writer, call: Call) -> None:
    """Repeat; of a constant (a class token), one image's share is a constant again."""
    source, shape = call["self"], target_shape(call.output)
    once = [1 if size == -1 else size for size in shape]
    if source.constant:
        writer.constant(call, "Expand", once)
    else:
        writer.emit(call, "Expand", [source, once], call.outputs)


@RULES.rule("pad", "constant_pad_nd")
def _pad(writer: Writer, call: Call) -> None:
    """A zero pad of an image is the convolution's that alone reads it."""
    amounts, reader = call["pad"], writer.only_reader(call.output)
    constant = call.op != "pad" or call["mode"] == "constant"
    if not constant or call["value"] or min(amounts) < 0:
        raise NoRuleError
    if len(amounts) == 4 and reader is not None and reader.op == "conv2d":
        left, right, top, bottom = amounts
        writer.pads[call.output] = [top, left, bottom, right]
        writer.same(call.output, call["self"])
        return
    rank = len(call["self"].shape)
    before = [0] * (rank - len(amounts) // 2) + amounts[0::2][::-1]
    after = [0] * (rank - len(amounts) // 2) + amounts[1::2][::-1]
    writer.emit(call, "Pad", [call["self"], [*before, *after]], call.outputs, mode="constant")
