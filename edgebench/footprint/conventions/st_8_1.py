"""``st-8.1``: the vendor's tools of STM32Cube.AI 8.1."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.st import CUBE_8_1, convention

CONVENTIONS.add(
    "st-8.1",
    convention("st-8.1", "STM32Cube.AI 8.1", CUBE_8_1, counts="as st", errs="either way"),
)
