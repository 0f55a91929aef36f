"""``st-8.1``: STM32Cube.AI 8.1."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.conventions import MeasuredError as Error
from edgebench.footprint.st import CUBE_8_1, convention

CONVENTIONS.add(
    "st-8.1",
    convention(
        "st-8.1",
        "STM32Cube.AI 8.1",
        CUBE_8_1,
        counts="arena with inputs, outputs and scratch; outputs grow into consumed inputs; "
        "runtime objects; code by linked kernels, kernels and channels; no float pool "
        "fused, no float scratch",
        errs="within 1 % in most rows; high on ResNet-8, and where a long chain of overlaps "
        "could be cut; 10 % low on SqueezeNet 1.1 at 224 x 224",
        errors=(
            Error("activations", "float32", 6, 0.0, 0.0, 0.0),
            Error("runtime", "float32", 6, 3.7, -1.5, 8.1),
            Error("code", "float32", 6, 2.3, -11.3, 2.1),
            Error("activations", "int8", 12, 0.1, -0.8, 21.9),
            Error("runtime", "int8", 12, 5.1, -8.8, 8.8),
            Error("code", "int8", 12, 3.9, -10.6, 15.0),
        ),
    ),
)
