"""The nouns of a memory plan: a buffer with its lifetime, and a plan that places buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate


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


def loads(buffers: Sequence[Buffer], shared: Mapping[tuple[str, str], int]) -> list[int]:
    """Return the bytes of the buffers at each step, from step -1 on.

    ``shared`` are those that two buffers have in common, which count once while both live.
    """
    lives = {one.name: (one.first, one.last) for one in buffers}
    parts = [(one.first, one.last, one.size) for one in buffers]
    for (one, other), size in shared.items():
        common = max(lives[one][0], lives[other][0]), min(lives[one][1], lives[other][1])
        if common[0] <= common[1]:
            parts.append((*common, -size))
    changes = [0] * (max((last for _, last, _ in parts), default=-1) + 3)
    for first, last, size in parts:
        changes[first + 1] += size
        changes[last + 2] -= size
    return list(accumulate(changes))


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

    @cached_property
    def _occupied(self) -> list[int]:
        """The bytes in use at each step, from step -1 on; no three buffers share any."""
        places = {one.name: (self.offsets[one.name], one.size) for one in self.buffers}
        shared = {}
        for one, other in self.overlaps:
            if (other, one) not in shared:
                (low, size), (high, more) = sorted((places[one], places[other]))
                shared[one, other] = max(0, min(low + size - high, more))
        return loads(self.buffers, shared)

    def occupied(self, step: int) -> int:
        """Return the bytes in use at ``step``; where buffers overlap they count once."""
        return self._occupied[step + 1] if -1 <= step < len(self._occupied) - 1 else 0

    def peak_step(self) -> int:
        """Return the first step that reaches the peak."""
        steps = sorted({one.first for one in self.buffers})
        return max(steps, key=lambda step: (self.top(step), -step))
