"""``static-c``: generated C with one static buffer a live tensor, as onnx2c emits it."""

from edgebench.footprint import arena, st
from edgebench.footprint.conventions import CONVENTIONS, Convention, Estimate, Memory
from edgebench.footprint.kernels import Schedule, schedule, with_pads_apart
from edgebench.profiling import Profile


def _lower(profile: Profile) -> Schedule:
    padded = st.with_padded_buffers(with_pads_apart(profile))
    return schedule(padded, pools=False, activations=False)


def _scratch(plan: Schedule) -> dict[int, int]:
    """Integer kernels need their working memory whoever plans it; float loops need none."""
    return {
        step: size
        for step, size in st.scratches(plan, st.CORE_2).items()
        if plan.profile.is_quantized(plan.kernels[step].main)
    }


def _memory(plan: Schedule) -> Memory:
    found = arena.static_buffers(plan, _scratch(plan))
    return Memory(found.peak, found, found.peak)


CONVENTIONS.add(
    "static-c",
    Convention(
        "static-c",
        "generated C (onnx2c)",
        "one static buffer a live tensor, the first free one reused, nothing fused or in place; "
        "inputs and outputs included; the padded inputs and the scratch of integer kernels too; "
        "code as 2.5 kB",
        "reads high for a planner, exact for what such generators emit",
        lower=_lower,
        memory=_memory,
        scratch=_scratch,
        code=lambda plan: Estimate(2_500, 2_500),  # noqa: ARG005 - loops in plain C, whatever the graph
        runtime=lambda plan: Estimate(0, 0),  # noqa: ARG005 - nothing runs beside the loops
        complexity=st.COMPLEXITY,
    ),
)
