"""``st-7.3``: STM32Cube.AI 7.3."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.conventions import MeasuredError as Error
from edgebench.footprint.st import CUBE_7_3, convention

CONVENTIONS.add(
    "st-7.3",
    convention(
        "st-7.3",
        "STM32Cube.AI 7.3",
        CUBE_7_3,
        counts="arena with inputs, outputs and scratch; outputs grow into consumed inputs; "
        "runtime objects; code by linked kernels, kernels and channels; float "
        "activations fused, no float scratch",
        errs="within 1 % in all rows, and at other sizes but for EfficientNet-LC (27 % high)",
        errors=(
            Error("activations", "float32", 3, 0.0, 0.0, 0.0),
            Error("runtime", "float32", 3, 0.0, 0.0, 0.0),
            Error("code", "float32", 3, 3.8, -10.4, -3.8),
            Error("activations", "int8", 11, 0.0, 0.0, 0.0),
            Error("runtime", "int8", 12, 4.7, -9.0, 9.1),
            Error("code", "int8", 12, 4.1, -15.8, 14.7),
        ),
    ),
)
