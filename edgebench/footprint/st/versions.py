"""What the vendor's tools changed between versions: one value a range of versions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """The rules of a range of versions, as far as they differ from others.

    Attributes:
        fuses_pools: Convolution + activation + max pool run as one kernel.
        runtime_flat: (float, int8) bytes of a runtime whose objects do not grow, or None.
    """

    fuses_pools: bool = True
    runtime_flat: tuple[int, int] | None = None


CORE_2 = Version()
"""Core 1.0 to 2.2, which STM32Cube.AI 9 and 10 are built on."""
CORE_3 = Version(fuses_pools=False, runtime_flat=(287, 1_290))
"""Core 3.0 and newer."""
