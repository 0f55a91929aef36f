"""A convention of the vendor's tools at one range of versions."""

from __future__ import annotations

from edgebench.footprint import arena
from edgebench.footprint.conventions import Convention, Memory
from edgebench.footprint.kernels import Schedule, schedule
from edgebench.footprint.st import memory, resources
from edgebench.footprint.st.complexity import COMPLEXITY
from edgebench.footprint.st.versions import Version
from edgebench.profiling import Profile


def convention(name: str, title: str, version: Version, *, counts: str, errs: str) -> Convention:
    """Return the convention of the vendor's tools at ``version``."""

    def lower(profile: Profile) -> Schedule:
        padded = memory.with_padded_buffers(profile)
        return schedule(
            padded,
            pools=version.fuses_float_pools,
            integer_pools=version.fuses_integer_pools,
            activations=False,
        )

    return Convention(
        name,
        title,
        counts,
        errs,
        lower=lower,
        memory=lambda plan: _memory(plan, version),
        scratch=lambda plan: memory.scratches(plan, version),
        code=resources.code,
        runtime=lambda plan: resources.runtime_ram(plan, version),
        complexity=COMPLEXITY,
    )


def _memory(plan: Schedule, version: Version) -> Memory:
    rules = _rules(plan, version)
    found = arena.overlapped(plan, rules)
    return Memory(found.peak, found)


def _rules(plan: Schedule, version: Version) -> arena.Rules:
    """Return what each kernel needs beside its tensors, and where it may overlap them."""
    distances: dict[tuple[int, str], int] = {}
    extra: dict[str, int] = {}
    integer = {step for step, one in enumerate(plan.kernels) if plan.profile.is_quantised(one.main)}
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
