"""Which addresses are taken at which steps, where thousands of buffers live at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence

from edgebench.footprint.planning.buffers import Buffer


class Occupancy:
    """Placed buffers in a segment tree over the steps, from step -1 on.

    A node stands for a run of steps. It has the buffers that live through all of the run, by name,
    and the addresses that they take; and those of buffers that live in a part of it. Addresses are
    a sorted list of ends, each piece's first and last in turn, so that buffers which lie side by
    side are one piece however many they are.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._through: dict[int, dict[str, tuple[int, int]]] = {}
        self._taken: dict[int, list[int]] = {}
        self._parts: dict[int, list[int]] = {}

    def add(self, one: Buffer, low: int) -> None:
        """Take the place of a buffer that begins at ``low``."""
        high = low + one.size
        for node, first, last in self._nodes(one, ()):
            if one.first <= first and last <= one.last:
                self._through.setdefault(node, {})[one.name] = low, high
                _cover(self._taken.setdefault(node, []), low, high)
            else:
                _cover(self._parts.setdefault(node, []), low, high)

    def taken(self, one: Buffer, without: Mapping[str, Buffer]) -> Iterator[tuple[int, int]]:
        """Yield the pieces that are taken in the life of ``one``, but for those of ``without``."""
        others = without.values()
        for node, first, last in self._nodes(one, others):
            through = self._through.get(node, {})
            if without.keys().isdisjoint(through):
                yield from _pieces(self._taken.get(node, ()))
            else:
                yield from (place for name, place in through.items() if name not in without)
            if one.first <= first and last <= one.last and not _split(others, first, last):
                yield from _pieces(self._parts.get(node, ()))

    def _nodes(self, one: Buffer, others: Collection[Buffer]) -> Iterator[tuple[int, int, int]]:
        """Yield the nodes that hold what meets ``one``, down to those that end no one's life."""
        waiting = [(1, -1, self._last)]
        while waiting:
            node, first, last = waiting.pop()
            yield node, first, last
            if one.first <= first and last <= one.last and not _split(others, first, last):
                continue
            middle = (first + last) // 2
            if one.first <= middle:
                waiting.append((2 * node, first, middle))
            if one.last > middle:
                waiting.append((2 * node + 1, middle + 1, last))


def _split(others: Collection[Buffer], first: int, last: int) -> bool:
    """Tell whether one of ``others`` lives in a part of the run."""
    return any(
        one.first <= last and first <= one.last and not (one.first <= first and last <= one.last)
        for one in others
    )


def _cover(ends: list[int], low: int, high: int) -> None:
    """Add a piece to the sorted ends of others; those that it meets become one with it."""
    before, behind = bisect_left(ends, low), bisect_right(ends, high)
    ends[before:behind] = [low] * (before % 2 == 0) + [high] * (behind % 2 == 0)


def _pieces(ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(ends[::2], ends[1::2], strict=True)
