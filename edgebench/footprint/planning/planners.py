"""Three ways of placing buffers; each says which real tool places like that."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgebench.footprint.planning.buffers import Buffer, Plan

Overlaps = Mapping[tuple[str, str], int]
"""(lower, upper) -> bytes: ``upper`` may begin that far above ``lower`` although both live."""

ALIGNMENT = 4  # bytes; what the vendor's arenas are made of
EFFORT = 40_000  # buffers placed in all, over every order that is tried
MOST_TRIES = 1_000


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
    on every machine.
    """
    sized = [_aligned(one, alignment) for one in buffers]
    task = _Task(sized, _neighbours(sized), overlaps, floors or {}, alignment)
    busy = _busiest(sized)
    orders = [
        sorted(sized, key=lambda b: (-b.last, b.scratch, -b.first, -b.size)),
        sorted(sized, key=lambda b: (-b.size, -b.last)),
        sorted(sized, key=lambda b: (-busy[b.name], -b.last, b.scratch, -b.first)),
        sorted(sized, key=lambda b: (-busy[b.name], -b.size)),
        sorted(sized, key=lambda b: (b.first, b.last, -b.size)),
    ]
    plans = [(task.placed(order), order) for order in orders]
    if min(found.peak for found, _ in plans) > target:
        plans += [(task.placed(order, _widest(sized, busy), target), order) for order in orders]
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
    return _Task(sized, _neighbours(sized), {}, {}, alignment).placed(order)


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


def _busiest(buffers: Sequence[Buffer]) -> dict[str, int]:
    """Map each buffer to the most bytes that live at any step of its life."""
    load: dict[int, int] = {}
    for one in buffers:
        for step in range(one.first, one.last + 1):
            load[step] = load.get(step, 0) + one.size
    return {b.name: max(load[s] for s in range(b.first, b.last + 1)) for b in buffers}


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
    neighbours: Mapping[str, Sequence[Buffer]]
    overlaps: Overlaps
    floors: Mapping[str, int]
    alignment: int

    def placed(self, order: Sequence[Buffer], lifted: str = "", ceiling: int = 0) -> Plan:
        """Give each buffer in turn the lowest offset that its placed neighbours allow.

        The buffer called ``lifted`` goes first, to end at ``ceiling``.
        """
        offsets: dict[str, int] = {}
        for one in sorted(order, key=lambda one: one.name != lifted) if lifted else order:
            place = self.floors.get(one.name, 0)
            if one.name == lifted:
                place = max(place, (ceiling - one.size) // self.alignment * self.alignment)
            blocked = sorted(
                (offsets[name] - below, offsets[name] + above)
                for name, below, above in self.limits[one.name]
                if name in offsets
            )
            for low, high in blocked:
                if low >= place:
                    break
                if place < high:
                    place = aligned(high, self.alignment)
            offsets[one.name] = place
        peak = max((offsets[one.name] + one.size for one in self.buffers), default=0)
        return Plan(self.buffers, offsets, peak, self.overlaps)

    @cached_property
    def limits(self) -> dict[str, list[tuple[str, int, int]]]:
        """The neighbours of each buffer that take room, and what they forbid from their offset.

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
