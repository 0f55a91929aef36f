"""``st``: the vendor's tools of Core 1.0 to 2.2, which STM32Cube.AI 9 and 10 are built on."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.conventions import MeasuredError as Error
from edgebench.footprint.st import CORE_2, convention

CONVENTIONS.add(
    "st",
    convention(
        "st",
        "ST Edge AI Core 1.0-2.2 (STM32Cube.AI 9-10)",
        CORE_2,
        counts="arena with inputs, outputs and scratch; outputs grow into consumed inputs; "
        "runtime objects; code by linked kernels, kernels and channels; convolution + "
        "activation + max pool fused",
        errs="the least arena of the tool's kernels: float as the tool prints it; int8 equal "
        "to most layouts that were generated locally, and low against the vendor's tables "
        "of 10.0, so the upper figure decides",
        errors=(
            Error("activations", "float32", 3, 0.0, 0.0, 0.0),
            Error("runtime", "float32", 3, 0.0, 0.0, 0.4),
            Error("code", "float32", 3, 3.5, -3.5, 4.6),
            Error("activations", "int8", 10, 10.7, -42.0, 0.0),
            Error("runtime", "int8", 10, 1.1, -4.2, -0.3),
            Error("code", "int8", 10, 8.2, -14.1, 7.3),
        ),
    ),
)
