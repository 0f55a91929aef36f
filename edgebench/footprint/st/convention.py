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
        return schedule(padded, pools=version.fuses_pools, activations=False)

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
    distances: dict[tuple[int, str], int] = {}
    extra: dict[str, int] = {}
    for step, kernel in enumerate(plan.kernels):
        for name in plan.reads(kernel):
            distance = memory.overlap(plan, kernel, name)
            if distance is not None:
                distances[step, name] = distance
            if memory.reads_beyond(plan.profile, kernel):
                extra[name] = 1
    alone = {step for step, one in enumerate(plan.kernels) if plan.profile.is_quantised(one.main)}
    found = arena.overlapped(plan, memory.scratches(plan, version), distances, extra, alone)
    return Memory(found.peak, found)
