"""The nouns of a memory plan: a buffer with its lifetime, and a plan that places buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Buffer:
    """A piece of memory that is needed from step ``first`` to step ``last``, both included.

    The graph's inputs begin at step -1, its outputs end at the step after the last.
    """

    name: str
    size: int
    first: int
    last: int
    scratch: bool = False

    def meets(self, other: Buffer) -> bool:
        """Tell whether both are needed at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Plan:
    """Buffers with their offsets; ``peak`` is the size of the arena that holds them all."""

    buffers: Sequence[Buffer]
    offsets: Mapping[str, int]
    peak: int
    overlaps: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @cached_property
    def _living(self) -> dict[int, list[Buffer]]:
        """Map each step to the buffers that are needed at it, the lowest first."""
        found: dict[int, list[Buffer]] = {}
        for one in sorted(self.buffers, key=lambda one: self.offsets[one.name]):
            for step in range(one.first, one.last + 1):
                found.setdefault(step, []).append(one)
        return found

    def live(self, step: int) -> list[Buffer]:
        """Return the buffers that are needed at ``step``, the lowest first."""
        return list(self._living.get(step, ()))

    def top(self, step: int) -> int:
        """Return the end of the highest buffer that is needed at ``step``."""
        living = self._living.get(step, ())
        return max((self.offsets[one.name] + one.size for one in living), default=0)

    def occupied(self, step: int) -> int:
        """Return the bytes in use at ``step``; where buffers overlap they count once."""
        total = end = 0
        for one in self._living.get(step, ()):
            start = self.offsets[one.name]
            total += max(0, start + one.size - max(start, end))
            end = max(end, start + one.size)
        return total

    def peak_step(self) -> int:
        """Return the first step that reaches the peak."""
        steps = sorted({one.first for one in self.buffers})
        return max(steps, key=lambda step: (self.top(step), -step))
