"""The vendor's runtime objects and code: what is needed besides weights and activations."""

from __future__ import annotations

from math import prod

from edgebench.footprint.kernels import Kernel, Schedule
from edgebench.footprint.st.memory import scratch
from edgebench.footprint.st.versions import Version
from edgebench.profiling import Profile

# Objects of the legacy C API that each kernel keeps in RAM, bytes (Core 2.0-2.2, 7 reports).
_RUNTIME = {
    "dense": 96, "activation": 96, "softmax": 100, "conv": 160, "depthwise": 160, "pool": 136,
    "eltwise": 100, "norm": 108, "pad": 124,
}  # fmt: skip


def runtime_ram(plan: Schedule, version: Version) -> int:
    """Return the bytes of the runtime's own objects: tensors, arrays and nodes.

    420 + 76 an array + 60 a flattened tensor + each node's own. Exact on the 7 float reports
    that could be checked; integer graphs come within a few per cent.
    """
    profile = plan.profile
    if version.runtime_flat is not None:
        return version.runtime_flat[profile.dtype == "int8"]
    arrays = len(profile.inputs) + len(profile.constants)
    total = 420
    for kernel in plan.kernels:
        arrays += len(plan.writes(kernel)) + _scratch_arrays(profile, kernel)
        pooled = kernel.fused("pool") is not None
        total += 204 if pooled else _RUNTIME.get(kernel.kind, 100)
    return total + 76 * arrays + 60 * _flattened(profile)


def _scratch_arrays(profile: Profile, kernel: Kernel) -> int:
    if scratch(profile, kernel) == 0:
        return 0
    return 2 if kernel.fused("pool") is not None else 1


def _flattened(profile: Profile) -> int:
    """Count the reshapes before a dense layer that join more than one dimension."""
    dense = {name for one in profile.operators if one.kind == "dense" for name in one.inputs}
    return sum(
        one.kind == "alias"
        and one.outputs[0] in dense
        and sum(size > 1 for size in profile.tensors[one.inputs[0]].shape) > 1
        for one in profile.operators
    )


# Code sizes are looked up, not computed: sums of the parts below are within a fifth of the 27
# reports that state them, and inside the bracket that published figures leave for float CNNs.
_FLOAT_CODE = {
    "conv": 3_100, "depthwise": 2_600, "pool": 1_300, "softmax": 1_800, "eltwise": 500,
    "norm": 200, "concat": 300, "transpose": 500, "matmul": 1_200, "reduce": 700, "resize": 800,
}  # fmt: skip
_INTEGER_CODE = {
    "conv": 8_600, "depthwise": 5_000, "pw": 5_000, "pool": 1_500, "softmax": 4_400,
    "eltwise": 4_000, "pad": 900, "concat": 500, "convert": 1_000, "resize": 800,
}  # fmt: skip
_TRANSCENDENTAL = frozenset({"Sigmoid", "Tanh", "Elu", "Erf", "Gelu", "Exp", "Swish", "Mish"})


def code(plan: Schedule) -> int:
    """Return the estimated bytes of kernels and C library that the graph links."""
    profile = plan.profile
    parts: dict[str, int] = {"base": 9_400 if profile.dtype == "int8" else 8_850}
    for kernel in plan.kernels:
        quantised = profile.is_quantised(kernel.main)
        table = _INTEGER_CODE if quantised else _FLOAT_CODE
        kind = kernel.kind
        if quantised and kind == "conv" and prod(kernel.main.attributes["kernel"]) == 1:
            kind = "pw"
        parts[f"{quantised}{kind}"] = table.get(kind, 0)
        if kernel.fused("pool") is not None and not quantised:
            parts["fused"] = 3_000
        if any(one.op in _TRANSCENDENTAL for one in kernel.operators):
            parts["transcendental"] = 1_600
    return sum(parts.values())
