"""The header of a model: how it is called, its types and scales, its memory."""

from __future__ import annotations

from collections.abc import Mapping

from edgebench.firmware.layer import ctype, number
from edgebench.firmware.values import Array, Unsupported, scale_of
from edgebench.footprint import FirmwarePlan
from edgebench.profiling import Tensor


def header(name: str, plan: FirmwarePlan, constants: Mapping[str, Array]) -> str:
    """Return the text of ``name``.h; raises Unsupported on an input or output of another type."""
    upper = name.upper()
    profile = plan.network.profile
    source = profile.tensors[profile.inputs[0]]
    target = profile.tensors[profile.outputs[0]]
    layout = plan.network.layouts[source.name]
    shape = [layout.shape[axis] for axis in layout.order]
    axes = [_axis(axis, len(shape)) for axis in layout.order]
    lines = [
        f"/* {name}: {plan.style} plan, {plan.arena.peak} bytes of memory, input and output in it.",
        "",
        f"   {name}_run({upper}_INPUT, {upper}_OUTPUT) uses no memory but the arena and the stack.",
        "   The input may lie elsewhere (it is not changed then), and so may the output; in the",
        f"   arena {upper}_INPUT is overwritten by each run.",
        "",
        f"   Input:  {' x '.join(map(str, shape))} ({', '.join(axes)}; the last is the fastest),",
        f"           {_held(source, constants)}",
        f"   Output: {' x '.join(map(str, target.shape))},",
        f"           {_held(target, constants)} */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdint.h> /* a part of every compiler, not of a library */",
        "",
        f"typedef {ctype(source)} {name}_input_t;",
        f"typedef {ctype(target)} {name}_output_t;",
        "",
        f"#define {upper}_INPUT_ELEMENTS {source.elements}",
        f"#define {upper}_OUTPUT_ELEMENTS {target.elements}",
        f"#define {upper}_ARENA_BYTES {plan.arena.peak}",
        *_scale(f"{upper}_INPUT", source, constants),
        *_scale(f"{upper}_OUTPUT", target, constants),
        "",
        f"/* Define {upper}_ARENA_ELSEWHERE to place the arena yourself, aligned to 4 bytes. */",
        f"extern unsigned char {name}_arena[{upper}_ARENA_BYTES];",
        "",
        _pointer(name, "INPUT", plan.arena.offsets[plan.network.root(source.name)]),
        _pointer(name, "OUTPUT", plan.arena.offsets[plan.network.root(target.name)]),
        "",
        f"void {name}_run(const {name}_input_t *input, {name}_output_t *output);",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _axis(axis: int, rank: int) -> str:
    names = {4: ("batch", "channel", "row", "column"), 3: ("batch", "channel", "place"),
             2: ("batch", "feature")}  # fmt: skip
    return names[rank][axis] if rank in names else f"axis {axis}"


def _held(tensor: Tensor, constants: Mapping[str, Array]) -> str:
    if not tensor.quantized:
        return f"{ctype(tensor)}, real numbers as the model was trained on"
    scale, zero = scale_of(tensor, constants).one
    return f"{ctype(tensor)}, real = {number(scale)} * (held - ({zero}))"


def _scale(prefix: str, tensor: Tensor, constants: Mapping[str, Array]) -> list[str]:
    if not tensor.quantized:
        return []
    try:
        scale, zero = scale_of(tensor, constants).one
    except Unsupported:
        return []
    return [f"#define {prefix}_SCALE {number(scale)}", f"#define {prefix}_ZERO ({zero})"]


def _pointer(name: str, which: str, offset: int) -> str:
    kind = f"{name}_{which.lower()}_t"
    return f"#define {name.upper()}_{which} (({kind} *)(void *)({name}_arena + {offset}))"
