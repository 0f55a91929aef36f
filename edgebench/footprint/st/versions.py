"""What the vendor's tools changed between versions: one value a range of versions.

Each field says on what it rests. Kernel rules rest on the nodes of public reports and layouts
(several hundred), planner rules on whole networks (a handful), so the latter are less sure. The
sizes of code and of runtime objects are fitted; ``benchmarks/truth.py`` prints the residuals, also
with each network left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CodeSize:
    """Bytes of code: ``base + kinds * what each linked kernel takes + per kernel + per channel``.

    A channel brings the scale and the rounding of its requantization, a kernel its node and calls.
    """

    base: float
    kinds: float
    kernel: float
    channel: float = 0.0


@dataclass(frozen=True)
class Margins:
    """What makes the upper figures, which no row of the vendor's tables exceeds.

    Attributes:
        plan: The factor on the arena of the upper plan.
        joined: The same where branches meet, which the tools' planner does not plan at its best;
            None where it is the same.
        scratch: How often the largest working memory is added to it.
        growing: The upper plan lets convolutions grow into their inputs, as the figure's does.
        code: The factor on the code.
        runtime: The factor on the runtime's objects.
    """

    plan: float
    joined: float | None = None
    scratch: float = 0.0
    growing: bool = False
    code: float = 1.25
    runtime: float = 1.15


@dataclass(frozen=True)
class Version:
    """The rules of a range of versions, as far as they differ from others.

    Attributes:
        fuses_float_pools: Float convolution + activation + max pool run as one kernel.
        fuses_integer_pools: The same for integer convolutions.
        fuses_activations: A float activation runs in the kernel before it.
        float_patch: A float convolution keeps one patch of its input as scratch.
        channel_scratch: Bytes that a spatial integer kernel keeps an output channel.
        widest_growth: An integer convolution whose output is this many times its input does not
            grow into it; None where any may.
        square_growth: An integer convolution grows into its input only if its kernel is a square.
        scratch_above: Scratch that sets the peak lies above the input of an integer kernel.
        chains_stay: Overlaps from the input on are not cut before a step fits without one.
        code_float: Of a float graph.
        code_integer: Of an integer graph.
        runtime: (bytes, factor) on the objects of Core 2, of an integer graph.
        inlined: Chains run without runtime objects, as from Core 3.0 on.
        float_margins: Of the upper figures of a float graph.
        integer_margins: Of the upper figures of an integer graph.
    """

    fuses_float_pools: bool = True
    fuses_integer_pools: bool = True
    fuses_activations: bool = False
    float_patch: bool = True
    channel_scratch: int = 14
    widest_growth: float | None = None
    square_growth: bool = False
    scratch_above: bool = True
    chains_stay: bool = False
    code_float: CodeSize = CodeSize(5_920, 1.0, 586)
    code_integer: CodeSize = CodeSize(7_230, 1.0, 175, 8.0)
    runtime: tuple[float, float] = (0, 1.0)
    inlined: bool = False
    float_margins: Margins = field(default_factory=lambda: Margins(1.02, joined=1.12, growing=True))
    integer_margins: Margins = field(default_factory=lambda: Margins(1.12, scratch=1.0))


CUBE_7_3 = Version(
    fuses_activations=True,
    float_patch=False,
    channel_scratch=10,
    widest_growth=3,
    scratch_above=False,
    code_float=CodeSize(6_920, 1.0, 586),
    code_integer=CodeSize(2_530, 1.0, 404, 7.75),
    runtime=(8, 1.179),
    integer_margins=Margins(1.2, scratch=1.0),
)
"""STM32Cube.AI 7.3: 15 rows of the vendor's tables.

The integer margin also covers the one print of them that its own table contradicts.
"""
CUBE_8_1 = Version(
    fuses_float_pools=False,
    float_patch=False,
    widest_growth=3,
    square_growth=True,
    chains_stay=True,
    code_float=CodeSize(7_220, 1.0, 586),
    code_integer=CodeSize(13_310, 1.0, 310, 6.15),
    runtime=(420, 1.015),
    integer_margins=Margins(1.12),
)
"""STM32Cube.AI 8.1: 18 rows, two generated networks.

SqueezeNet 1.1 at 224 x 224, printed as 842.06 KiB, needs 1.114 of the upper plan, the rows 1.01.
"""
CORE_2 = Version()
"""Core 1.0 to 2.2, which STM32Cube.AI 9 and 10 are built on: 13 rows of 10.0, 49 reports."""
CORE_3 = Version(
    fuses_float_pools=False,
    fuses_integer_pools=False,
    code_float=CodeSize(5_980, 0.0, 46),
    code_integer=CodeSize(0, 0.79, 31.5, 4.84),
    inlined=True,
    integer_margins=Margins(1.1, scratch=1.0),
)
"""Core 3.0 to 4.0: 7 rows of 3.0, 3 reports of 4.0.

Its four int8 rows need no more than 0.99 of the upper plan beside the scratch, and the ten of 10.0,
whose kernels are the same, 1.1.
"""
