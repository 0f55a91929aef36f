"""``tflm``: TensorFlow Lite Micro, whose interpreter plans its arena on the device."""

from edgebench.footprint import arena
from edgebench.footprint.conventions import CONVENTIONS, Convention, Estimate, Memory
from edgebench.footprint.kernels import Schedule, schedule
from edgebench.footprint.st import COMPLEXITY


def _memory(plan: Schedule) -> Memory:
    found = arena.disjoint(plan)
    return Memory(found.peak, found, found.peak)


CONVENTIONS.add(
    "tflm",
    Convention(
        "tflm",
        "TensorFlow Lite Micro",
        "arena head: tensors placed greedily by size, 16-byte aligned, activations fused, no "
        "overlap; the interpreter's code as 50 kB",
        "reads low: the arena's tail (about 6 kB of tensor and node objects) and kernel scratch "
        "are not counted",
        lower=lambda profile: schedule(profile, pools=False, activations=True),
        memory=_memory,
        scratch=lambda plan: {},  # noqa: ARG005 - counted in no kernel yet
        code=lambda plan: Estimate(50_000, 62_500),  # noqa: ARG005 - the interpreter is linked whole
        runtime=lambda plan: Estimate(0, 0),  # noqa: ARG005 - the tail is not counted
        complexity=COMPLEXITY,
    ),
)
