"""The flash of the firmware, estimated from its plan: weights as they are packed, tables, code."""

from __future__ import annotations

from edgebench.footprint.rows.plan import FirmwarePlan
from edgebench.footprint.rows.stages import Stage
from edgebench.profiling import Profile

START = 160
"""Bytes of the vectors, the start-up code and the function that runs the stages."""

KERNELS = {("conv", False): 2_900, ("conv", True): 2_700, ("depthwise", False): 800,
           ("depthwise", True): 900, ("dense", False): 1_400, ("dense", True): 1_250}  # fmt: skip
"""Bytes of the code of each kernel, for floats and integers, by clang -O2 for a Cortex-M4."""

CONVOLUTION, OTHER = 150, 300
"""Bytes of a stage's own code and constants: of one that calls a kernel, of one that is a loop."""


def firmware_rom(plan: FirmwarePlan) -> int:
    """Return the bytes of flash: `profile.weights_bytes` and `firmware_code`."""
    return plan.network.profile.weights_bytes + firmware_code(plan)


def firmware_code(plan: FirmwarePlan) -> int:
    """Return the bytes of code and of the tables that an operator of integers needs.

    An integer layer has a factor of four bytes for each channel; an activation on integers a
    table of 256 bytes.
    """
    profile = plan.network.profile
    kernels: dict[tuple[str, bool], int] = {}
    total = START
    for stage in plan.network.stages:
        kind = (stage.main.kind, profile.is_quantized(stage.main))
        if kind in KERNELS:
            kernels[kind] = KERNELS[kind]
            total += CONVOLUTION + _tables(profile, stage)
        else:
            total += OTHER
    return total + sum(kernels.values())


def _tables(profile: Profile, stage: Stage) -> int:
    weight = stage.main.constant("weight")
    if weight is None or not profile.is_quantized(stage.main):
        return 0
    channels = profile.tensors[stage.main.outputs[0]]
    results = channels.shape[-1] if stage.main.kind == "dense" else channels.shape[1]
    bias = 0 if stage.main.constant("bias") is not None else 4
    return (4 + bias) * results
