"""Plan and constants -> C99: one source file and one header, readable, without a library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.firmware.activations import expression, table
from edgebench.firmware.clamps import leading
from edgebench.firmware.header import header
from edgebench.firmware.layer import Layer, Source, ctype, identifier, pad_name
from edgebench.firmware.operators import GENERATORS
from edgebench.firmware.templates import kernels
from edgebench.firmware.values import Array, Unsupported
from edgebench.footprint import FirmwarePlan, Group, firmware_plan
from edgebench.profiling import Operator, Profile

_COMPILERS = """\
#if defined(__clang__)
#define STAGE static __attribute__((noinline)) void
#elif defined(__GNUC__) /* 12.2 computed wrong sums where it saw two stages' addresses at once */
#define STAGE static __attribute__((noipa)) void
#else
#define STAGE static void
#endif
#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned(4)))
#define KERNEL static __attribute__((noinline)) void /* a function of its own */
#else
#define ALIGNED
#define KERNEL static void
#endif"""


@dataclass(frozen=True)
class Program:
    """The C of a model: its files, the plan behind it, and the function of each stage."""

    name: str
    plan: FirmwarePlan
    constants: Mapping[str, Array]
    source: str
    header: str
    functions: tuple[str, ...]

    @property
    def arena_bytes(self) -> int:
        """Return the bytes of the arena: all the memory that the model has of its own."""
        return self.plan.arena.peak


def write_program(
    profile: Profile,
    constants: Mapping[str, Array],
    *,
    plan: str = "streaming",
    name: str = "model",
) -> Program:
    """Return the C of ``profile``.

    Args:
        profile: The operators in order.
        constants: Their data, as `edgebench.profiling.constant_data` returns it.
        plan: ``layerwise`` or ``streaming``.
        name: What files, functions and types begin with.

    Raises:
        CheckFailed: An operator has no generator, or is used as its generator cannot write it;
            every such operator is named.
        EdgebenchError: No such plan, a name that C does not take, or not one input and output.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise EdgebenchError(f"'{name}' is no name for C; use small letters, digits and _")
    _check_ends(profile)
    missing = _missing(profile)
    if missing:
        raise CheckFailed(*missing)
    chosen = firmware_plan(profile, plan)
    source = Source()
    functions, names, mistakes = [], [], []
    for number, stage in enumerate(chosen.network.stages):
        layer = Layer(chosen, stage, number, constants, source)
        try:
            functions.append(_function(layer))
        except Unsupported as reason:
            mistakes.append(
                f"the firmware cannot write the operator {stage.main.op} ({stage.main.name}): "
                f"{reason}"
            )
        names.append(_function_name(layer))
    if mistakes:
        raise CheckFailed(*mistakes)
    program = Program(name, chosen, constants, "", header(name, chosen, constants), tuple(names))
    text = _assembled(program, source, functions)
    return Program(name, chosen, constants, text, program.header, program.functions)


def fitting_plan(profile: Profile, ram_bytes: int | None) -> str:
    """Return the plan with the least work that fits so many bytes of RAM.

    A layer after the other has less to do than rows in rings, by a few instructions a row, and
    takes more memory. Without a limit memory comes first.
    """
    if ram_bytes is None or firmware_plan(profile, "layerwise").arena.peak > ram_bytes:
        return "streaming"
    return "layerwise"


def _check_ends(profile: Profile) -> None:
    for what, names in (("input", profile.inputs), ("output", profile.outputs)):
        if len(names) != 1 or profile.constant_outputs:
            raise EdgebenchError(
                f"the firmware has one {what}, but the model has {len(names)}: {', '.join(names)}"
            )


def _missing(profile: Profile) -> list[str]:
    """Name the operators that no generator writes."""
    return [
        f"no generator writes the operator {one.op} ({one.name})"
        for one in profile.operators
        if one.kind != "alias" and one.op not in GENERATORS
    ]


def _function_name(layer: Layer) -> str:
    return f"layer_{layer.number}_{identifier(layer.main.op)}"


def _describe(layer: Layer, operators: tuple[Operator, ...]) -> str:
    """Return the comment of a stage: its operators, names and shapes."""
    ops = " + ".join(one.op for one in operators)
    shapes = [layer.tensor(name).shape for name in layer.names]
    inputs = ", ".join("x".join(map(str, shape)) for shape in shapes) or "constants"
    output = "x".join(map(str, layer.target.shape))
    text = f"{ops}: {inputs} -> {output} ({layer.main.name})"
    return re.sub(r"[^ -~]|\*/|\\", "?", text)


def _function(layer: Layer) -> str:
    generator = GENERATORS[layer.main.op]
    body = generator.write(layer)
    done = leading(layer) if generator.limits else ()
    body += _fused(layer, layer.stage.fused[len(done) :])
    parameters = [f"const {ctype(layer.tensor(name))} *{layer.pointer(name)}"
                  for name in layer.names]  # fmt: skip
    parameters.append(f"{ctype(layer.target)} *y")
    if layer.stage.window is not None:
        parameters.append("int step")
        if not re.search(r"\bstep\b", body):
            body = f"(void)step; /* it has one */\n{body}"
    inside = "\n".join(f"    {line}" if line else "" for line in body.split("\n"))
    return (
        f"/* {_describe(layer, layer.stage.operators)} */\n"
        f"STAGE {_function_name(layer)}({', '.join(parameters)})\n{{\n{inside}\n}}"
    )


def _fused(layer: Layer, operators: tuple[Operator, ...]) -> str:
    """Return the statements that compute activations on the result where it lies."""
    if not operators:
        return ""
    window = layer.stage.window
    height = 1 if window is None else layer.plan.network.height(layer.stage.target)
    count = layer.target.elements // height
    place, when = "0", ""
    if window is not None:
        row = "step" if window.per_row == 1 else f"step / {window.per_row}"
        place = layer.row(layer.stage.target, f"({row})", count)
        if window.per_row > 1:
            when = f"if (step % {window.per_row} == {window.per_row - 1}) "
    at = "i" if place == "0" else f"{place} + i"
    if layer.result.quantized:
        name = table(layer, operators)
        least = " + 128" if layer.result.dtype == "int8" else ""
        lines = [f"y[{at}] = {name}[y[{at}]{least}];"]
    else:
        lines = [f"float v = y[{at}];"]
        lines += [f"v = {expression(layer, one)};" for one in operators]
        lines.append(f"y[{at}] = v;")
    inside = "\n".join(f"    {line}" for line in lines)
    ops = ", ".join(one.op for one in operators)
    return f"\n/* {ops} */\n{when}for (int i = 0; i < {count}; ++i) {{\n{inside}\n}}"


def _assembled(program: Program, source: Source, functions: list[str]) -> str:
    """Return the source file: constants, kernels, stages and the function that runs them."""
    called = kernels(functions)
    support = []
    if source.zeros:
        support.append(f"static const float zeros_f32[{source.zeros}] = {{0.0f}};")
    for (kind, zero), count in sorted(source.pads.items()):
        values = ", ".join([str(zero)] * count)
        support.append(f"static const {kind} {pad_name(kind, zero)}[{count}] = {{{values}}};")
    support += [
        f"#define {name} {most}"
        for name, most in source.most.items()
        if any(name in kernel for kernel in called)
    ]
    parts = [
        _opening(program),
        f'#include "{program.name}.h"',
        _COMPILERS,
        _arena(program.name),
        *support,
        *called,
        *source.arrays,
        *functions,
        _run(program),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(program: Program) -> str:
    model = _plain(program.plan.network.profile.name)
    return (
        f"/* Written by edgebench from the operators of '{model}': {program.plan.style} plan,\n"
        f"   {program.arena_bytes} bytes of memory. How to use it stands in {program.name}.h. */"
    )


def _arena(name: str) -> str:
    """Return the definition of the arena, which the caller may place elsewhere."""
    upper = name.upper()
    return (
        f"#ifndef {upper}_ARENA_ELSEWHERE\n"
        f"unsigned char {name}_arena[{upper}_ARENA_BYTES] ALIGNED;\n#endif"
    )


def _plain(text: str) -> str:
    return re.sub(r"[^ -~]|\*/|\\", "?", text)


def _run(program: Program) -> str:
    """Return the function that runs the stages."""
    name = program.name
    lines = [f"void {name}_run(const {name}_input_t *input, {name}_output_t *output)", "{"]
    for group in program.plan.groups:
        lines += _chain(program, group) if group.last - group.first > 1 else _alone(program, group)
    return "\n".join([*lines, "}"])


def _call(program: Program, number: int, step: str | None) -> str:
    """Return the call of a stage: where its tensors lie is the memory plan."""
    stage = program.plan.network.stages[number]
    arguments = [_place(program, name, constant=True) for name in dict.fromkeys(stage.main.inputs)]
    arguments.append(_place(program, stage.target, constant=False))
    if step is not None:
        arguments.append(step)
    return f"{program.functions[number]}({', '.join(arguments)});"


def _place(program: Program, name: str, *, constant: bool) -> str:
    """Return where a tensor lies: the caller's input or output, or an offset in the arena."""
    plan = program.plan
    root = plan.network.root(name)
    profile = plan.network.profile
    if root == plan.network.root(profile.outputs[0]):
        return "output"
    if constant and root == plan.network.root(profile.inputs[0]):
        return "input"
    kind = ctype(profile.tensors[name])
    held = f"const {kind}" if constant else kind
    return f"({held} *)(void *)({program.name}_arena + {plan.arena.offsets[root]})"


def _alone(program: Program, group: Group) -> list[str]:
    """Return the statements of a stage that runs by itself."""
    window = program.plan.network.stages[group.first].window
    if window is None:
        return [f"    {_call(program, group.first, None)}"]
    if window.steps == 1:
        return [f"    {_call(program, group.first, '0')}"]
    return [
        f"    for (int step = 0; step < {window.steps}; ++step) {{",
        f"        {_call(program, group.first, 'step')}",
        "    }",
    ]


def _chain(program: Program, group: Group) -> list[str]:
    """Return the loop of a chain: of the stages that can run, the one nearest to the end does."""
    stages = program.plan.network.stages
    made = {stages[number].target: number for number in range(group.first, group.last)}
    rings = ", ".join(
        f"{rows} of {program.plan.network.height(name)}" for name, rows in group.rings.items()
    )
    counters = ", ".join(f"done_{number} = 0" for number in range(group.first, group.last))
    goals = [f"done_{number} < {_steps(program, number)}" for number in group.ends]
    lines = [
        f"    {{   /* a chain, row by row; rows kept of its tensors: {rings or 'all'} */",
        f"        int {counters};",
        f"        while ({' || '.join(goals)}) {{",
    ]
    for number in range(group.last - 1, group.first - 1, -1):
        conditions = _conditions(program, number, made, alone=group.ends == (number,))
        opening = "if" if number == group.last - 1 else "} else if"
        head = f"{opening} ({conditions}) {{"
        if number == group.first:
            head = "} else {"
        lines.append(f"            {head}")
        lines.append(f"                {_call(program, number, f'done_{number}')}")
        lines.append(f"                ++done_{number};")
    return [*lines, "            }", "        }", "    }"]


def _steps(program: Program, number: int) -> int:
    """Return the steps of a stage of a chain, each of which writes a row or a part of one."""
    window = program.plan.network.stages[number].window
    assert window is not None  # noqa: S101 - a chain is made of stages that have one
    return window.steps


def _conditions(program: Program, number: int, made: Mapping[str, int], *, alone: bool) -> str:
    """Return the C expression that tells whether the rows of a stage's next step are there.

    ``alone`` says that the loop goes on until this stage is done, and no longer.
    """
    network = program.plan.network
    stage = network.stages[number]
    window = stage.window
    assert window is not None  # noqa: S101 - a chain is made of stages that have one
    parts = []
    if not alone:
        parts.append(f"done_{number} < {window.steps}")
    for name in dict.fromkeys(stage.sources):
        if name not in made:
            continue
        height = network.height(name)
        before = network.stages[made[name]].window
        assert before is not None  # noqa: S101 - the same
        done = f"done_{made[name]}"
        rows = done if before.per_row == 1 else f"{done} / {before.per_row}"
        ahead = window.span - window.pad
        scaled = f"done_{number}" if window.stride == 1 else f"done_{number} * {window.stride}"
        needed = f"{scaled} + {ahead}" if ahead >= 0 else f"{scaled} - {-ahead}"
        parts.append(f"({rows} >= {needed} || {rows} == {height})")
    return " && ".join(parts) or "1"
