"""Conventions: each file of this folder registers one way of counting operations, flash and RAM.

A convention is a value: what it counts, which way it errs, and the functions that turn operators
into kernels, a memory plan, operations and bytes. To add one, add one file that calls
``CONVENTIONS.add``; the command line, the hand-over and the contract tests iterate the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgebench.footprint.kernels import Kernel, Schedule
from edgebench.footprint.planning import Plan
from edgebench.profiling import Operator, Profile
from edgebench.registry import Registry

__all__ = ["CONVENTIONS", "Complexity", "Convention", "Estimate", "MeasuredError", "Memory"]


@dataclass(frozen=True)
class Estimate:
    """Bytes, and the upper figure that decides a verdict; None where nothing can be promised."""

    figure: int
    upper: int | None


@dataclass(frozen=True)
class Memory:
    """What a convention's planner found: bytes of the arena, the plan behind it, how sure it is.

    ``plan`` is None where the convention proves a bound instead of a plan; ``upper`` is the
    arena's upper figure, or None where nothing can be promised; ``exact`` is False where a bound
    may be below the optimum.
    """

    activations: int
    plan: Plan | None
    upper: int | None
    exact: bool = True


@dataclass(frozen=True)
class Complexity:
    """How a convention charges operations (MACC).

    ``of`` returns the operations of an operator inside the kernel that runs it, or None where
    there is no rule; ``assumed`` tells whether that rule rests on an analogy, not on a report.
    """

    of: Callable[[Profile, Kernel, Operator], int | None]
    assumed: Callable[[Operator], bool]


@dataclass(frozen=True)
class MeasuredError:
    """How far a figure was from what a tool printed or measured, in per cent of the latter.

    ``median`` is of the absolute errors, ``lowest`` and ``highest`` have their signs; ``rows`` is
    how many networks were compared. ``benchmarks/truth.py`` prints them all.
    """

    figure: str
    dtype: str
    rows: int
    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        """Return the error as a provenance says it."""
        return (
            f"{self.figure} {self.median:.1f} % in the median, {self.lowest:+.1f} to "
            f"{self.highest:+.1f} %, of {self.rows} {self.dtype} networks"
        )


@dataclass(frozen=True)
class Convention:
    """A way of turning operators into operations and bytes.

    Attributes:
        name: As the command line takes it.
        title: The tool and its versions, as the provenance of a figure names them.
        counts: What the figures include.
        errs: In which direction they are wrong.
        lower: Fuses the operators of a profile into kernels.
        memory: Plans the arena of the kernels.
        scratch: Bytes of working memory of each step that needs some.
        code: Bytes of the code and its tables in flash.
        runtime: Bytes of the runtime's own objects in RAM.
        complexity: How operations are charged.
        errors: What was measured of its figures; () where nothing was.
        in_rows: Whether a tensor may exist in part, a few rows at a time: such an arena may be
            smaller than the least that holds whole tensors.
    """

    name: str
    title: str
    counts: str
    errs: str
    lower: Callable[[Profile], Schedule]
    memory: Callable[[Schedule], Memory]
    scratch: Callable[[Schedule], dict[int, int]]
    code: Callable[[Schedule], Estimate]
    runtime: Callable[[Schedule], Estimate]
    complexity: Complexity
    errors: tuple[MeasuredError, ...] = ()
    in_rows: bool = False


CONVENTIONS: Registry[Convention] = Registry("convention", package=__name__)
