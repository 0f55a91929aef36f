"""``st``: the vendor's tools of Core 1.0 to 2.2, which STM32Cube.AI 9 and 10 are built on."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.st import CORE_2, convention

CONVENTIONS.add(
    "st",
    convention(
        "st",
        "ST Edge AI Core 1.0-2.2",
        CORE_2,
        counts="arena with inputs, outputs and scratch; convolution + activation + max pool fused; "
        "outputs grow into consumed inputs; runtime objects; code looked up by kernel",
        errs="exact for chains of the reports; optimistic for branchy int8 graphs; "
        "code within a fifth",
    ),
)
