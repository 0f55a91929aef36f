"""``bound``: the least memory that any layer-by-layer runtime could do with."""

from edgebench.footprint import arena
from edgebench.footprint.conventions import CONVENTIONS, Convention, Estimate, Memory
from edgebench.footprint.kernels import Schedule, schedule
from edgebench.footprint.st import COMPLEXITY


def _memory(plan: Schedule) -> Memory:
    fused, fused_exact = arena.least(plan)
    single = schedule(plan.profile, pools=False, activations=True)
    whole, whole_exact = arena.least(single)
    return Memory(min(fused, whole), None, None, fused_exact and whole_exact)


CONVENTIONS.add(
    "bound",
    Convention(
        "bound",
        "lower bound",
        "the tensors that exist at once between any two operators, in the best order; no scratch, "
        "no code, no runtime",
        "never above what a layer-by-layer runtime needs; a schedule that splits operators into "
        "patches or streams rows can use less",
        lower=lambda profile: schedule(profile, pools=True, activations=True),
        memory=_memory,
        scratch=lambda plan: {},  # noqa: ARG005 - a bound knows no kernels
        code=lambda plan: Estimate(0, None),  # noqa: ARG005 - the same
        runtime=lambda plan: Estimate(0, None),  # noqa: ARG005 - the same
        complexity=COMPLEXITY,
    ),
)
