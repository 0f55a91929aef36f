"""``tflm``: TensorFlow Lite Micro, whose interpreter plans its arena on the device.

The arena is a head, the planned tensors, and a tail, what the interpreter allocates for good. The
tail was fitted on 54 networks measured on a 64-bit host; ``benchmarks/truth.py`` prints the
residuals, also with each network left out.
"""

from __future__ import annotations

import math

from edgebench.footprint import arena
from edgebench.footprint.conventions import CONVENTIONS, Convention, Estimate, Memory
from edgebench.footprint.conventions import MeasuredError as Error
from edgebench.footprint.kernels import (
    CONVOLUTIONS,
    Schedule,
    image,
    schedule,
    with_inputs_apart,
    with_pads_apart,
)
from edgebench.footprint.st import COMPLEXITY
from edgebench.profiling import Profile

TAIL = (712, 218, 8.2)
"""Bytes of the tail: once, an operator, and an output channel of a convolution.

A channel has a multiplier and a shift of 4 B each, an operator its node and its tensors' objects.
"""
HEAD_MARGIN = 1.1
"""Covers another order of the operators: converted graphs were off by up to 6 % downwards."""
TAIL_MARGIN = 1.1
CODE, CODE_UPPER = 50_000, 62_500
"""The interpreter is linked whole; no measurement stands behind these two."""


def _lower(profile: Profile) -> Schedule:
    return schedule(with_inputs_apart(with_pads_apart(profile)), pools=False, activations=True)


def _memory(plan: Schedule) -> Memory:
    found = arena.disjoint(plan, _scratch(plan))
    upper = math.ceil(found.peak * HEAD_MARGIN) + max(_patches(plan), default=0)
    return Memory(found.peak, found, upper)


def _scratch(plan: Schedule) -> dict[int, int]:
    """Return what the reference kernels ask for: sums of 32 bits of an integer ConvTranspose.

    ``kernels/transpose_conv.cc`` requests four bytes an output element.
    """
    return {
        step: 4 * plan.profile.tensors[kernel.main.outputs[0]].elements
        for step, kernel in enumerate(plan.kernels)
        if kernel.kind == "deconv" and plan.profile.is_quantized(kernel.main)
    }


def _patches(plan: Schedule) -> list[int]:
    """Return the bytes of two patches in 16 bits that CMSIS-NN asks for in each convolution.

    The measured interpreter had the reference kernels, which ask for none there.
    """
    return [
        4 * math.prod(weight.shape[1:])
        for kernel in plan.kernels
        if kernel.kind in CONVOLUTIONS and plan.profile.is_quantized(kernel.main)
        if (weight := kernel.main.constant("weight")) is not None
    ]


def tail_features(plan: Schedule) -> tuple[int, int, int]:
    """Return what the tail grows with, in the order of ``TAIL``."""
    channels = sum(
        image(plan.profile.tensors[kernel.main.outputs[0]])[2]
        for kernel in plan.kernels
        if kernel.kind in CONVOLUTIONS
    )
    return 1, len(plan.kernels), channels


def _turned(plan: Schedule) -> int:
    """Return the bytes of the second factors that products of two tensors keep, transposed.

    ``kernels/batch_matmul.cc`` allocates them for good, unless the file has them transposed.
    """
    tensors = plan.profile.tensors
    return sum(
        tensors[kernel.main.inputs[-1]].bytes for kernel in plan.kernels if kernel.kind == "matmul"
    )


def _tail(plan: Schedule) -> Estimate:
    size = sum(a * b for a, b in zip(TAIL, tail_features(plan), strict=True)) + _turned(plan)
    return Estimate(round(size), math.ceil(size * TAIL_MARGIN))


CONVENTIONS.add(
    "tflm",
    Convention(
        "tflm",
        "TensorFlow Lite Micro",
        "the arena: its head of tensors placed greedily by size, 16-byte aligned, activations "
        "fused, no overlap; a float input beside its integers; its tail as runtime memory; the "
        "interpreter's code as 50 kB",
        "the head is the interpreter's where the operators run in the same order; the tail is that "
        "of a 64-bit host, so high for a microcontroller; CMSIS-NN's scratch only in the upper "
        "figure",
        lower=_lower,
        memory=_memory,
        scratch=_scratch,
        code=lambda plan: Estimate(CODE, CODE_UPPER),  # noqa: ARG005 - the same for every graph
        runtime=_tail,
        complexity=COMPLEXITY,
        errors=(
            Error("arena", "float32", 5, 0.0, -0.1, 0.1),
            Error("arena", "int8", 49, 0.2, -5.1, 21.4),
            Error("head", "float32", 5, 0.0, 0.0, 0.0),
            Error("head", "int8", 35, 0.0, 0.0, 0.0),
            Error("head, reordered", "int8", 14, 5.3, -6.2, 27.8),
            Error("tail", "float32", 5, 0.5, -0.7, 0.4),
            Error("tail", "int8", 49, 1.2, -7.2, 6.1),
        ),
    ),
)
