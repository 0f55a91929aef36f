"""``st-7.3``: the vendor's tools of STM32Cube.AI 7.3."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.st import CUBE_7_3, convention

CONVENTIONS.add(
    "st-7.3",
    convention("st-7.3", "STM32Cube.AI 7.3", CUBE_7_3, counts="as st", errs="either way"),
)
