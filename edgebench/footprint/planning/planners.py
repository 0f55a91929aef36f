"""Three ways of placing buffers; each says which real tool places like that."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgebench.footprint.planning.buffers import Buffer, Plan, loads
from edgebench.footprint.planning.occupancy import Occupancy

Overlaps = Mapping[tuple[str, str], int]
"""(lower, upper) -> bytes: ``upper`` may begin that far above ``lower`` although both live."""

ALIGNMENT = 4  # bytes; what the vendor's arenas are made of
EFFORT = 40_000  # buffers placed in all, over every order that is tried
MOST_TRIES = 1_000
MOST_MET = 200  # buffers that one meets, up to which looking at each is faster than a tree


def aligned(size: int, alignment: int) -> int:
    """Round ``size`` up to a multiple of ``alignment``."""
    return -(-size // alignment) * alignment


def overlapping(
    buffers: Sequence[Buffer],
    overlaps: Overlaps,
    target: int = 0,
    floors: Mapping[str, int] | None = None,
    alignment: int = ALIGNMENT,
) -> Plan:
    """Place buffers at the lowest free offset, in the best of several orders.

    Two buffers that meet lie apart unless ``overlaps`` lets one begin inside the other, and a
    buffer lies no lower than its floor, the room that those after it will need. Orders:
    last needed first (what follows lies lowest, so that an input can be consumed from above),
    the largest first, the busiest step first, each also with the largest buffer of the busiest
    step as high as ``target`` allows; the best of them is then improved by seeded moves of one
    buffer. The search ends at ``target`` or after a fixed effort, so the plan is the same
    on every machine; of the orders themselves, at the first that no other can better.
    """
    sized = [_aligned(one, alignment) for one in buffers]
    task = _Task(sized, overlaps, floors or {}, alignment)
    busy = _busiest(sized)
    least = min(_least(sized, overlaps), target)
    plans: list[tuple[Plan, list[Buffer]]] = []
    for key in (
        lambda b: (-b.last, b.scratch, -b.first, -b.size),
        lambda b: (-b.size, -b.last),
        lambda b: (-busy[b.name], -b.last, b.scratch, -b.first),
        lambda b: (-busy[b.name], -b.size),
        lambda b: (b.first, b.last, -b.size),
    ):
        order = sorted(sized, key=key)
        plans.append((task.placed(order), order))
        if plans[-1][0].peak <= least:
            return plans[-1][0]
    if min(found.peak for found, _ in plans) > target:
        plans += [(task.placed(order, _widest(sized, busy), target), order) for _, order in plans]
    best, order = min(plans, key=lambda found: found[0].peak)
    shuffle = random.Random(0)  # noqa: S311 - a repeatable search, no secret
    for _ in range(min(EFFORT // (len(sized) + 1), MOST_TRIES)):
        if best.peak <= target:
            break
        turned = _turned(order, best, shuffle)
        found = task.placed(turned)
        if found.peak <= best.peak:
            best, order = found, turned
    return best


def greedy_by_size(buffers: Sequence[Buffer], alignment: int = 16) -> Plan:
    """Place the largest first, each in the first gap that is free during its life.

    TFLite Micro's planner (``greedy_memory_planner``): 16-byte alignment, no overlap. Of equal
    sizes the one that comes later in ``buffers`` is placed first, as the interpreter does it.
    """
    sized = [_aligned(one, alignment) for one in buffers]
    order = sized[::-1]
    order.sort(key=lambda b: -b.size)
    return _Task(sized, {}, {}, alignment).placed(order)


def unions(buffers: Sequence[Buffer]) -> Plan:
    """Give each buffer, in order of birth, the first static buffer that is free, whatever its size.

    A static buffer is as large as the largest tensor it ever holds; the sum of them is the
    memory. This is what onnx2c does (``unionize_tensors``).
    """
    shared: list[tuple[list[Buffer], int]] = []
    for one in sorted(buffers, key=lambda b: b.first):
        for index, (members, size) in enumerate(shared):
            if members[-1].last < one.first:
                members.append(one)
                shared[index] = (members, max(size, one.size))
                break
        else:
            shared.append(([one], one.size))
    offsets, end = {}, 0
    for members, size in shared:
        offsets.update({one.name: end for one in members})
        end += size
    return Plan(list(buffers), offsets, end)


def _aligned(one: Buffer, alignment: int) -> Buffer:
    return Buffer(one.name, aligned(one.size, alignment), one.first, one.last, one.scratch)


def _neighbours(buffers: Sequence[Buffer]) -> dict[str, list[Buffer]]:
    """Map each buffer to those that it meets, by a sweep over the steps."""
    found: dict[str, list[Buffer]] = {one.name: [] for one in buffers}
    alive: list[Buffer] = []
    for one in sorted(buffers, key=lambda b: b.first):
        alive = [other for other in alive if other.last >= one.first]
        for other in alive:
            found[one.name].append(other)
            found[other.name].append(one)
        alive.append(one)
    return found


def _tied(buffers: Sequence[Buffer], overlaps: Overlaps) -> dict[str, list[Buffer]]:
    """Map each buffer to those that it meets and may overlap, or that may overlap it."""
    named = {one.name: one for one in buffers}
    found: dict[str, list[Buffer]] = {name: [] for name in named}
    for pair in {tuple(sorted(pair)) for pair in overlaps}:
        one, other = (named[name] for name in pair)
        if one.meets(other):
            found[one.name].append(other)
            found[other.name].append(one)
    return found


def _busiest(buffers: Sequence[Buffer]) -> dict[str, int]:
    """Map each buffer to the most bytes that live at any step of its life."""
    load = loads(buffers, {})
    return {one.name: max(load[one.first + 1 : one.last + 2]) for one in buffers}


def _least(buffers: Sequence[Buffer], overlaps: Overlaps) -> int:
    """Return what no order can do without: the busiest step, its buffers overlapping at most."""
    sizes = {one.name: one.size for one in buffers}
    shared = {
        (lower, upper): min(max(sizes[lower] - distance, 0), sizes[upper])
        for (lower, upper), distance in overlaps.items()
    }
    return max(loads(buffers, shared))


def _widest(buffers: Sequence[Buffer], busy: Mapping[str, int]) -> str:
    """Return the largest buffer of those that live at the busiest step."""
    return max(buffers, key=lambda one: (busy[one.name], one.size)).name if buffers else ""


def _turned(order: Sequence[Buffer], plan: Plan, shuffle: random.Random) -> list[Buffer]:
    """Return ``order`` with one buffer placed elsewhere: mostly earlier, mostly one at the top."""
    turned = list(order)
    top = [i for i, b in enumerate(turned) if plan.offsets[b.name] + b.size == plan.peak]
    source = shuffle.choice(top) if shuffle.random() < 0.5 else shuffle.randrange(len(turned))
    turned.insert(shuffle.randrange(len(turned)), turned.pop(source))
    return turned


@dataclass(frozen=True)
class _Task:
    """What every attempt at placing the same buffers shares."""

    buffers: Sequence[Buffer]
    overlaps: Overlaps
    floors: Mapping[str, int]
    alignment: int

    def placed(self, order: Sequence[Buffer], lifted: str = "", ceiling: int = 0) -> Plan:
        """Give each buffer in turn the lowest offset that its placed neighbours allow.

        The buffer called ``lifted`` goes first, to end at ``ceiling``.
        """
        offsets: dict[str, int] = {}
        tree = Occupancy(max(one.last for one in self.buffers)) if self.crowded else None
        for one in sorted(order, key=lambda one: one.name != lifted) if lifted else order:
            place = self.floors.get(one.name, 0)
            if one.name == lifted:
                place = max(place, (ceiling - one.size) // self.alignment * self.alignment)
            blocked = [
                (offsets[name] - below, offsets[name] + above)
                for name, below, above in self.limits[one.name]
                if name in offsets
            ]
            if tree is not None and one.size:
                tied = {b.name: b for b in self.neighbours[one.name] if b.name in offsets}
                blocked += [(low - one.size, high) for low, high in tree.taken(one, tied)]
            for low, high in sorted(blocked):
                if low >= place:
                    break
                if place < high:
                    place = aligned(high, self.alignment)
            offsets[one.name] = place
            if tree is not None and one.size:
                tree.add(one, place)
        peak = max((offsets[one.name] + one.size for one in self.buffers), default=0)
        return Plan(self.buffers, offsets, peak, self.overlaps)

    @cached_property
    def crowded(self) -> bool:
        """Whether so many buffers live at once that the time to look at each is quadratic."""
        firsts = sorted(one.first for one in self.buffers)
        lasts = sorted(one.last for one in self.buffers)
        met = sum(bisect_right(firsts, b.last) - bisect_left(lasts, b.first) for b in self.buffers)
        return met > MOST_MET * len(self.buffers)

    @cached_property
    def neighbours(self) -> Mapping[str, Sequence[Buffer]]:
        """The buffers that each meets; where a tree has the others, those that may overlap it."""
        if self.crowded:
            return _tied(self.buffers, self.overlaps)
        return _neighbours(self.buffers)

    @cached_property
    def limits(self) -> dict[str, list[tuple[str, int, int]]]:
        """Those neighbours of each buffer that take room, and what they forbid from their offset.

        A buffer may begin neither within its own size below the offset nor within the neighbour's
        above it, less what the two may overlap.
        """
        get = self.overlaps.get
        return {
            name: [
                (other.name, get((name, other.name), size), get((other.name, name), other.size))
                for other in self.neighbours[name]
                if size and other.size
            ]
            for name, size in ((one.name, one.size) for one in self.buffers)
        }
