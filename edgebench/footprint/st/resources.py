"""The vendor's runtime objects and code: what is needed besides weights and activations."""

from __future__ import annotations

from math import prod

from edgebench.footprint.kernels import Kernel, Schedule
from edgebench.footprint.st.memory import scratch
from edgebench.footprint.st.versions import CORE_2, Version
from edgebench.profiling import Profile

# Objects of the legacy C API that each kernel keeps in RAM, bytes (Core 2.0-2.2, 7 reports).
_RUNTIME = {
    "dense": 96, "activation": 96, "softmax": 100, "conv": 160, "depthwise": 160, "pool": 136,
    "eltwise": 100, "norm": 108, "pad": 124,
}  # fmt: skip

# From Core 3.0 on a chain runs without objects; a step that joins branches brings some back. Three
# int8 rows of 3.0 (ResNet-8, MiniResNet, SqueezeNet) give these three numbers, a fourth the chain.
_INLINED = {"float32": 287, "int8": 307}
_JOINED = 431
_JOINING = {"eltwise": 184, "concat": 384}


def runtime_ram(plan: Schedule, version: Version) -> int:
    """Return the bytes of the runtime's own objects: tensors, arrays and nodes.

    420 + 76 an array + 60 a flattened tensor + each node's own. Exact on the 7 float reports
    of Core 2 that could be checked; integer graphs come within a few per cent.
    """
    profile = plan.profile
    if version.inlined:
        return _inlined(plan)
    arrays = len(profile.inputs) + len(profile.constants)
    total = 420
    for kernel in plan.kernels:
        arrays += len(plan.writes(kernel)) + _scratch_arrays(profile, kernel)
        pooled = kernel.fused("pool") is not None
        total += 204 if pooled else _RUNTIME.get(kernel.kind, 100)
    total += 76 * arrays + 60 * _flattened(profile)
    if profile.dtype == "int8":
        more, factor = version.runtime
        total = round(more + factor * total)
    return total


def _inlined(plan: Schedule) -> int:
    total = _INLINED["int8" if plan.profile.dtype == "int8" else "float32"]
    joins = [kernel.kind for kernel in plan.kernels if len(plan.reads(kernel)) > 1]
    joined = sum(_JOINING.get(kind, 0) for kind in joins)
    return total + (_JOINED + joined if joined else 0)


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


# What each kind of kernel links, bytes: fitted on the 10.0 rows of the vendor's tables and on the
# networks that Core 1.0 to 2.2 generated; kinds that no row shows are guessed from their like.
_FLOAT_CODE = {
    "conv": 1_400, "depthwise": 1_600, "pool": 790, "softmax": 1_110, "eltwise": 500,
    "norm": 80, "concat": 300, "transpose": 500, "matmul": 1_200, "reduce": 700, "resize": 800,
    "fused": 3_800, "transcendental": 1_350,
}  # fmt: skip
_INTEGER_CODE = {
    "conv": 13_840, "depthwise": 0, "pw": 11_190, "eltwise": 9_140, "softmax": 5_750,
    "resize": 800,
}  # fmt: skip
_TRANSCENDENTAL = frozenset({"Sigmoid", "Tanh", "Elu", "Erf", "Gelu", "Exp", "Swish", "Mish"})


def code(plan: Schedule, version: Version = CORE_2) -> int:
    """Return the estimated bytes of kernels, their tables and the C library that the graph links.

    Each kind of kernel is linked once; each kernel and each requantized channel adds its own.
    """
    size = version.code_integer if plan.profile.dtype == "int8" else version.code_float
    factors = (size.base, size.kinds, size.kernel, size.channel)
    return round(sum(a * b for a, b in zip(factors, code_features(plan), strict=True)))


def code_features(plan: Schedule) -> tuple[int, int, int, int]:
    """Return what the code grows with: once, linked kinds (bytes), kernels and biased channels."""
    channels = sum(one.elements for one in plan.profile.constants if one.role == "bias")
    return 1, sum(_linked(plan).values()), len(plan.kernels), channels


def _linked(plan: Schedule) -> dict[tuple[bool, str], int]:
    """Return the bytes of each kind of kernel that the graph links, integer and float apart."""
    found: dict[tuple[bool, str], int] = {}
    for kernel in plan.kernels:
        integer = plan.profile.is_quantized(kernel.main)
        table = _INTEGER_CODE if integer else _FLOAT_CODE
        kinds = [_kind(kernel, integer=integer)]
        if kernel.fused("pool") is not None:
            kinds.append("fused")
        if any(one.op in _TRANSCENDENTAL for one in kernel.operators):
            kinds.append("transcendental")
        found |= {(integer, kind): table.get(kind, 0) for kind in kinds}
    return found


def _kind(kernel: Kernel, *, integer: bool) -> str:
    """Return which code runs ``kernel``: an integer pointwise convolution has its own."""
    pointwise = kernel.kind == "conv" and prod(kernel.main.attributes["kernel"]) == 1
    return "pw" if integer and pointwise else kernel.kind
