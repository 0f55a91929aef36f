"""What the vendor's tools changed between versions: one value a range of versions.

Each field says on what it rests. Kernel rules rest on the nodes of public reports and layouts
(several hundred), planner rules on whole networks (a handful), so the latter are less sure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """The rules of a range of versions, as far as they differ from others.

    Attributes:
        fuses_float_pools: Float convolution + activation + max pool run as one kernel.
        fuses_integer_pools: The same for integer convolutions.
        float_patch: A float convolution keeps one patch of its input as scratch.
        channel_scratch: Bytes that a spatial integer kernel keeps an output channel.
        widest_growth: An integer convolution whose output is this many times its input does not
            grow into it; None where any may.
        scratch_above: The scratch of an integer kernel lies above its input, not in the room below
            its output.
        chains_stay: Overlaps from the input on are not cut before a step fits without one.
        runtime_flat: (float, int8) bytes of a runtime whose objects do not grow, or None.
    """

    fuses_float_pools: bool = True
    fuses_integer_pools: bool = True
    float_patch: bool = True
    channel_scratch: int = 14
    widest_growth: float | None = None
    scratch_above: bool = True
    chains_stay: bool = False
    runtime_flat: tuple[int, int] | None = None


CUBE_7_3 = Version(float_patch=False, channel_scratch=10, widest_growth=3, scratch_above=False)
"""STM32Cube.AI 7.3."""
CUBE_8_1 = Version(fuses_float_pools=False, float_patch=False, widest_growth=3, chains_stay=True)
"""STM32Cube.AI 8.1."""
CORE_2 = Version()
"""Core 1.0 to 2.2, which STM32Cube.AI 9 and 10 are built on."""
CORE_3 = Version(fuses_float_pools=False, fuses_integer_pools=False, runtime_flat=(287, 1_290))
"""Core 3.0 to 4.0."""
