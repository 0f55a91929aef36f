"""The flash of the firmware from its plan: constants as they are packed, code as it compiled.

Constants are counted as `edgebench.firmware` packs them, so their bytes are the ELF's: only what a
compiler makes one of (two arrays with the same numbers) is counted twice, and the zero points
beside images, whose number is known with the data alone, are estimated. Code has the size that
clang -O2 of ziglang 0.17 gave it for a Cortex-M4 in `benchmarks/firmware.py`; GCC's is smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.footprint.rows.plan import FirmwarePlan
from edgebench.footprint.rows.stages import CLAMPS, Stage
from edgebench.profiling import Constant, Profile


@dataclass(frozen=True)
class Code:
    """Bytes of code: of a kernel, once where several stages call it, or made for the only one.

    ``stage`` is what each stage has of its own; ``most`` is what none exceeded.
    """

    shared: int
    alone: int
    stage: int
    most: int


START = 260
"""Bytes of the vectors, the start-up code, and the gaps that alignment leaves."""
CALL, LOOP, CHAINED, MOST_CALL = 6, 22, 30, 60
"""Bytes of a stage in the function that runs all: once, row by row, in a chain; the most."""
RESCALING = 316
"""Bytes of the function from sums to bytes, which integer kernels share."""

KERNELS = {
    ("conv", False): Code(2_694, 1_180, 26, 2_900), ("conv", True): Code(2_340, 1_440, 26, 2_700),
    ("depthwise", False): Code(1_858, 700, 26, 2_000),
    ("depthwise", True): Code(2_180, 650, 26, 2_400),
    ("dense", False): Code(1_268, 1_270, 56, 1_600), ("dense", True): Code(756, 350, 26, 950),
}  # fmt: skip
"""Of stages that call a kernel, by kind and by whether they are of integers."""

LOOPS = {
    ("eltwise", False): (310, 480), ("eltwise", True): (140, 480),
    ("norm", False): (550, 900), ("norm", True): (484, 900),
    ("transpose", False): (480, 700), ("transpose", True): (390, 700),
    ("matmul", False): (690, 1_100), ("matmul", True): (1_120, 2_000),
    ("softmax", False): (1_080, 1_400), ("softmax", True): (1_208, 1_500),
    ("pool", False): (380, 900), ("pool", True): (130, 700),
    ("activation", False): (460, 900), ("activation", True): (210, 400),
}  # fmt: skip
"""Bytes of a stage that is a loop of its own, and what none exceeded."""
OTHER = (400, 1_000)
"""The same of all other kinds."""
FUSED, MOST_FUSED = (420, 240), 900
"""Bytes of an activation on the result of a stage, in floats and by a table; the most."""
ERROR_FUNCTION = 440
SOFT_FLOATS = 4_096
"""Room in the upper figure for floats in software: a plan does not know its core, and for a
Cortex-M0+ five of ten programs were up to 2,878 B over the upper figure without it."""

PARAMETERS = {("conv", False): 96, ("conv", True): 112, ("depthwise", False): 72,
              ("depthwise", True): 84, ("dense", False): 0, ("dense", True): 36}  # fmt: skip
"""Bytes of the constants that a kernel is called with: its sizes, and where its data are."""
TABLE = 256


def firmware_rom(plan: FirmwarePlan) -> int:
    """Return the bytes of flash: of the constants and of the code."""
    return constants(plan) + _code(plan)[0]


def firmware_rom_upper(plan: FirmwarePlan) -> int:
    """Return the bytes of flash that no measured program exceeded."""
    return constants(plan, upper=True) + _code(plan)[1] + SOFT_FLOATS


def _code(plan: FirmwarePlan) -> tuple[int, int]:
    """Return the bytes of code, and their upper figure."""
    profile = plan.network.profile
    kinds = [(one.main.kind, profile.is_quantized(one.main)) for one in plan.network.stages]
    total = most = START + _running(plan)
    most += MOST_CALL * len(kinds)
    for kind in set(kinds) & KERNELS.keys():
        code = KERNELS[kind]
        total += code.shared if kinds.count(kind) > 1 else code.alone
        most += code.most
    if any(kind in KERNELS and kind[1] for kind in kinds):
        total, most = total + RESCALING, most + RESCALING
    for kind, stage in zip(kinds, plan.network.stages, strict=True):
        own, worst = LOOPS.get(kind, OTHER)
        if kind in KERNELS:
            own, worst = KERNELS[kind].stage, 2 * KERNELS[kind].stage
        if _activated(profile, stage):
            own, worst = own + FUSED[kind[1]], worst + MOST_FUSED
        total, most = total + own, most + worst
    if any(one.op in ("Erf", "Gelu") for one in profile.operators if not profile.is_quantized(one)):
        total, most = total + ERROR_FUNCTION, most + ERROR_FUNCTION
    return total, most


def _running(plan: FirmwarePlan) -> int:
    """Return the bytes of the function that runs the stages."""
    total = 0
    for group in plan.groups:
        window = plan.network.stages[group.first].window
        alone = LOOP if window is not None and window.steps > 1 else CALL
        count = group.last - group.first
        total += CHAINED * count if count > 1 else alone
    return total


def _activated(profile: Profile, stage: Stage) -> bool:
    """Tell whether something else than the limits of its kernel is computed on a result."""
    result = profile.tensors[stage.main.outputs[0]].quantization
    return any(
        one.op not in CLAMPS or profile.tensors[one.outputs[0]].quantization != result
        for one in stage.fused
    )


def constants(plan: FirmwarePlan, *, upper: bool = False) -> int:
    """Return the bytes of the constants.

    Beside images of integers lies an array for each of their zero points: behind a ReLU they have
    the same, so that one array serves, and the image that is the input has another.
    """
    profile = plan.network.profile
    total, zeros, beside = 0, 0, []
    for stage in plan.network.stages:
        kind = (stage.main.kind, profile.is_quantized(stage.main))
        total += PARAMETERS.get(kind, 0) + _data(profile, stage, quantized=kind[1])
        if kind[1] and (_activated(profile, stage) or stage.main.kind == "activation"):
            total += TABLE
        if kind[0] in ("conv", "depthwise"):
            channels = profile.tensors[stage.main.inputs[0]].shape[1]
            share = channels if kind[0] == "depthwise" else channels // _groups(stage)
            if kind[1]:
                beside.append(_full(share, 4))
            elif kind[0] == "conv":
                zeros = max(zeros, 4 * share)
    return total + zeros + (sum(beside) if upper else sum(beside[:1]) + max(beside[1:], default=0))


def _groups(stage: Stage) -> int:
    return int(stage.main.attributes["group"])


def _full(number: int, block: int) -> int:
    return -(-number // block) * block


def _data(profile: Profile, stage: Stage, *, quantized: bool) -> int:
    """Return the bytes of a stage's weights, biases, factors and operands."""
    main, weight = stage.main, stage.main.constant("weight")
    if main.kind not in ("conv", "depthwise", "dense") or weight is None:
        found = [one for one in main.operands if isinstance(one, Constant) and one.elements > 1]
        total = sum(4 * one.elements for one in found)  # as real numbers
        return total // 2 if main.op == "BatchNormalization" else total  # a factor and a shift
    shape = profile.tensors[main.outputs[0]].shape
    results = shape[-1] if main.kind == "dense" else shape[1]
    inputs = weight.elements // results
    block = {("conv", False): 4, ("conv", True): 2}.get((main.kind, quantized), 1)
    if quantized and block == 1:
        block = 4
    groups = _groups(stage) if main.kind == "conv" else 1
    full = groups * _full(results // groups, block)
    if not quantized:
        return 4 * full * (inputs + 1)
    held = _full(inputs, 8) if main.kind == "conv" else inputs
    return _full(full * held, 4) + 8 * full
