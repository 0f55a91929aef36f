"""A convention of the vendor's tools at one range of versions."""

from __future__ import annotations

import math
from dataclasses import replace

from edgebench.footprint import arena
from edgebench.footprint.conventions import Convention, Estimate, MeasuredError, Memory
from edgebench.footprint.kernels import CONVOLUTIONS, Schedule, schedule
from edgebench.footprint.st import graph, memory, resources
from edgebench.footprint.st.complexity import COMPLEXITY
from edgebench.footprint.st.versions import Margins, Version
from edgebench.profiling import Profile


def convention(
    name: str,
    title: str,
    version: Version,
    *,
    counts: str,
    errs: str,
    errors: tuple[MeasuredError, ...],
) -> Convention:
    """Return the convention of the vendor's tools at ``version``."""

    def lower(profile: Profile) -> Schedule:
        return schedule(
            graph.deployed(profile),
            pools=version.fuses_float_pools,
            integer_pools=version.fuses_integer_pools,
            activations=version.fuses_activations and profile.dtype == "float32",
        )

    return Convention(
        name,
        title,
        counts,
        errs,
        lower=lower,
        memory=lambda plan: _memory(plan, version),
        scratch=lambda plan: memory.scratches(plan, version),
        code=lambda plan: _upwards(resources.code(plan, version), _margins(plan, version).code),
        runtime=lambda plan: _upwards(
            resources.runtime_ram(plan, version), _margins(plan, version).runtime
        ),
        complexity=COMPLEXITY,
        errors=errors,
    )


def _margins(plan: Schedule, version: Version) -> Margins:
    integer = plan.profile.dtype == "int8"
    return version.integer_margins if integer else version.float_margins


def _upwards(figure: int, factor: float) -> Estimate:
    return Estimate(figure, math.ceil(figure * factor))


def _memory(plan: Schedule, version: Version) -> Memory:
    """Plan the arena, and the upper plan, in which no convolution grows into its input.

    The upper plan is what the tools make with ``-O time``, with room for kernels that no report
    shows; the margins on it are stated in `versions`, with the rows that they rest on.
    """
    rules = _rules(plan, version)
    found = arena.overlapped(plan, rules)
    margins, largest = _margins(plan, version), max(rules.scratch.values(), default=0)
    upper, unsettled = found.peak, memory.unsettled(plan)
    if unsettled or not margins.growing:
        wide = dict(rules.scratch)
        for step, size in unsettled.items():
            wide[step] = wide.get(step, 0) + size
        wider = replace(rules, scratch=wide)
        upper = max(upper, arena.peak(plan, wider if margins.growing else _still(plan, wider)))
    joins = any(len(plan.reads(kernel)) > 1 for kernel in plan.kernels)
    factor = margins.joined if joins and margins.joined is not None else margins.plan
    return Memory(found.peak, found, math.ceil(upper * factor + largest * margins.scratch))


def _still(plan: Schedule, rules: arena.Rules) -> arena.Rules:
    """Return ``rules`` without the overlaps of convolutions."""
    moving = {step for step, one in enumerate(plan.kernels) if one.kind in CONVOLUTIONS}
    kept = {key: value for key, value in rules.distances.items() if key[0] not in moving}
    return replace(rules, distances=kept, standing=frozenset())


def _rules(plan: Schedule, version: Version) -> arena.Rules:
    """Return what each kernel needs beside its tensors, and where it may overlap them."""
    distances: dict[tuple[int, str], int] = {}
    extra: dict[str, int] = {}
    integer = {step for step, one in enumerate(plan.kernels) if plan.profile.is_quantized(one.main)}
    converted = {step for step, one in enumerate(plan.kernels) if one.kind == "convert"}
    for step, kernel in enumerate(plan.kernels):
        for name in plan.reads(kernel):
            distance = memory.overlap(plan, kernel, name, version)
            if distance is not None:
                distances[step, name] = distance
            if memory.reads_beyond(plan.profile, kernel):
                extra[name] = 1
    return arena.Rules(
        memory.scratches(plan, version),
        distances,
        extra,
        alone=integer,
        above=integer if version.scratch_above else frozenset(),
        standing=integer | converted if version.chains_stay else frozenset(),
    )
