"""Conventions: each a value that says what a footprint counts, how, and which way it errs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgebench.footprint import arena, st
from edgebench.footprint.kernels import Schedule, schedule
from edgebench.footprint.planning import Plan
from edgebench.profiling import Profile
from edgebench.registry import Registry


@dataclass(frozen=True)
class Memory:
    """What a convention's planner found: the arena, the plan behind it, and how sure it is."""

    activations: int
    plan: Plan | None
    exact: bool = True


@dataclass(frozen=True)
class Convention:
    """A way of turning operators into bytes.

    ``counts`` says what the figures include, ``errs`` in which direction they are wrong. ``lower``
    fuses the operators into kernels, ``memory`` plans them; ``code`` and ``runtime`` are bytes.
    """

    name: str
    title: str
    counts: str
    errs: str
    lower: Callable[[Profile], Schedule]
    memory: Callable[[Schedule], Memory]
    scratch: Callable[[Schedule], dict[int, int]]
    code: Callable[[Schedule], int]
    runtime: Callable[[Schedule], int]
    tags: tuple[str, ...] = field(default=())


def _vendor_scratch(plan: Schedule) -> dict[int, int]:
    found = {step: st.scratch(plan.profile, kernel) for step, kernel in enumerate(plan.kernels)}
    return {step: size for step, size in found.items() if size}


def _vendor_memory(plan: Schedule) -> Memory:
    distances: dict[tuple[int, str], int] = {}
    extra: dict[str, int] = {}
    for step, kernel in enumerate(plan.kernels):
        for name in plan.reads(kernel):
            distance = st.overlap(plan, kernel, name)
            if distance is not None:
                distances[step, name] = distance
            if st.reads_beyond(plan.profile, kernel):
                extra[name] = 1
    alone = {step for step, one in enumerate(plan.kernels) if plan.profile.is_quantised(one.main)}
    found = arena.overlapped(plan, _vendor_scratch(plan), distances, extra, alone)
    return Memory(found.peak, found)


def _least_memory(plan: Schedule) -> Memory:
    fused, fused_exact = arena.least(plan)
    single = schedule(plan.profile, pools=False, activations=True)
    whole, whole_exact = arena.least(single)
    return Memory(min(fused, whole), None, fused_exact and whole_exact)


def _apart_memory(plan: Schedule) -> Memory:
    found = arena.apart(plan)
    return Memory(found.peak, found)


def _static_memory(plan: Schedule) -> Memory:
    found = arena.static_buffers(plan, _integer_scratch(plan))
    return Memory(found.peak, found)


def _integer_scratch(plan: Schedule) -> dict[int, int]:
    """Integer kernels need their working memory whoever plans it; float loops need none."""
    return {
        step: size
        for step, size in _vendor_scratch(plan).items()
        if plan.profile.is_quantised(plan.kernels[step].main)
    }


def _nothing(plan: Schedule) -> int:  # noqa: ARG001 - a rule that needs no kernel
    return 0


def _no_scratch(plan: Schedule) -> dict[int, int]:  # noqa: ARG001 - the same
    return {}


CONVENTIONS: Registry[Convention] = Registry("convention")

for _convention in (
    Convention(
        "st",
        "ST Edge AI Core 1.0-2.2",
        "arena with inputs, outputs and scratch; convolution + activation + max pool fused; "
        "outputs grow into consumed inputs; runtime objects; code looked up by kernel",
        "exact for chains of the reports; optimistic for branchy int8 graphs; code within a fifth",
        lambda profile: schedule(st.with_padded_buffers(profile), pools=True, activations=False),
        _vendor_memory,
        _vendor_scratch,
        st.code,
        st.runtime_ram,
    ),
    Convention(
        "st-core3",
        "ST Edge AI Core 3.0 and newer",
        "as st, but no pool is fused; runtime objects a flat 287 B (float) or 1,290 B (int8)",
        "rests on few reports: either way",
        lambda profile: schedule(st.with_padded_buffers(profile), pools=False, activations=False),
        _vendor_memory,
        _vendor_scratch,
        st.code,
        lambda plan: 1_290 if plan.profile.dtype == "int8" else 287,
    ),
    Convention(
        "tflm",
        "TensorFlow Lite Micro",
        "arena head: tensors placed greedily by size, 16-byte aligned, activations fused, no "
        "overlap; the interpreter's code as 50 kB",
        "reads low: the arena's tail (about 6 kB of tensor and node objects) and kernel scratch "
        "are not counted",
        lambda profile: schedule(profile, pools=False, activations=True),
        _apart_memory,
        _no_scratch,
        lambda plan: 50_000,  # noqa: ARG005 - the interpreter is linked whole
        _nothing,
    ),
    Convention(
        "static-c",
        "generated C (onnx2c)",
        "one static buffer a live tensor, the first free one reused, nothing fused or in place; "
        "inputs and outputs included; the padded inputs and the scratch of integer kernels too; "
        "code as 2.5 kB",
        "reads high for a planner, exact for what such generators emit",
        lambda profile: schedule(st.with_padded_buffers(profile), pools=False, activations=False),
        _static_memory,
        _integer_scratch,
        lambda plan: 2_500,  # noqa: ARG005 - loops in plain C, whatever the graph
        _nothing,
    ),
    Convention(
        "bound",
        "lower bound",
        "the tensors that exist at once between any two operators, in the best order; no scratch, "
        "no code, no runtime",
        "never above what a layer-by-layer runtime needs; a schedule that splits operators into "
        "patches or streams rows can use less",
        lambda profile: schedule(profile, pools=True, activations=True),
        _least_memory,
        _no_scratch,
        _nothing,
        _nothing,
    ),
):
    CONVENTIONS.add(_convention.name, _convention)
