"""``st-core3``: the vendor's tools from Core 3.0 to 4.0."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.conventions import MeasuredError as Error
from edgebench.footprint.st import CORE_3, convention

CONVENTIONS.add(
    "st-core3",
    convention(
        "st-core3",
        "ST Edge AI Core 3.0-4.0",
        CORE_3,
        counts="arena with inputs, outputs and scratch; outputs grow into consumed inputs; "
        "runtime objects; code by linked kernels, kernels and channels; no pool fused; "
        "chains run without runtime objects",
        errs="rests on seven rows of 3.0; int8 activations as low as st's, so the upper figure "
        "decides",
        errors=(
            Error("activations", "float32", 3, 0.0, 0.0, 0.0),
            Error("runtime", "float32", 3, 0.0, 0.0, 0.0),
            Error("code", "float32", 3, 0.3, -0.7, 0.0),
            Error("activations", "int8", 4, 7.1, -11.5, 0.0),
            Error("runtime", "int8", 4, 0.0, 0.0, 0.0),
            Error("code", "int8", 4, 11.3, -14.5, 14.3),
        ),
    ),
)
