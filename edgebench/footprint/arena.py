"""Kernels -> an arena with offsets, in the way each convention plans one.

The vendor's planner lets a kernel store its output below its input and grow into it. Whether that
pays depends on the neighbours: an output that will itself be consumed in place needs room below.
The overlaps are chosen so that the busiest step needs least; then the buffers are placed.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property

from edgebench.footprint.kernels import Schedule
from edgebench.footprint.planning import (
    Buffer,
    Plan,
    Step,
    greedy_by_size,
    least_peak,
    overlapping,
    unions,
)


@dataclass
class _Stage:
    """One kernel as the planner sees it: bytes in, out and beside, and the overlap it may use."""

    inputs: dict[str, int]
    outputs: dict[str, int]
    scratch: int
    distance: int = 0
    consumed: str | None = None  # the input that the output may grow into
    others: int = 0  # bytes of the tensors that live on and take no part
    above: bool = False  # the scratch lies above the input

    @cached_property
    def taken(self) -> int:
        """Return the bytes of the inputs."""
        return sum(self.inputs.values())

    @cached_property
    def made(self) -> int:
        """Return the bytes of the outputs."""
        return sum(self.outputs.values())

    @cached_property
    def apart(self) -> int:
        """Return the arena that the step needs when nothing overlaps and no room is asked for."""
        return self.taken + self.scratch + self.made + self.others


@dataclass(frozen=True)
class Lifetimes:
    """First and last step of each piece of memory; inputs begin at -1, outputs never end."""

    first: Mapping[str, int]
    last: Mapping[str, int]
    sizes: Mapping[str, int]

    def buffers(self) -> list[Buffer]:
        """Return a buffer for each piece of memory."""
        return [Buffer(n, self.sizes[n], self.first[n], self.last[n]) for n in self.first]


def lifetimes(plan: Schedule, extra: Mapping[str, int] | None = None) -> Lifetimes:
    """Return when each piece of memory is needed; ``extra`` adds bytes that a kernel over-reads."""
    first: dict[str, int] = {plan.memory(name): -1 for name in plan.profile.inputs}
    last: dict[str, int] = dict.fromkeys(first, -1)
    for step, kernel in enumerate(plan.kernels):
        for name in (*plan.reads(kernel), *plan.writes(kernel)):
            first.setdefault(name, step)
            last[name] = step
    for name in plan.profile.outputs:
        memory = plan.memory(name)
        first.setdefault(memory, -1)
        last[memory] = len(plan.kernels)
    sizes = {name: plan.sizes[name] + (extra or {}).get(name, 0) for name in first}
    return Lifetimes(first, last, sizes)


def disjoint(plan: Schedule, scratch: Mapping[int, int]) -> Plan:
    """Plan like TFLite Micro: largest first, 16-byte alignment, nothing overlaps."""
    return greedy_by_size([*lifetimes(plan).buffers(), *_working(plan, scratch)])


def static_buffers(plan: Schedule, scratch: Mapping[int, int]) -> Plan:
    """Plan like onnx2c: one static buffer a live tensor, the first free one reused."""
    return unions([*lifetimes(plan).buffers(), *_working(plan, scratch)])


def _working(plan: Schedule, scratch: Mapping[int, int]) -> list[Buffer]:
    return [
        Buffer(f"{plan.kernels[step].name}.scratch", size, step, step, scratch=True)
        for step, size in scratch.items()
    ]


def least(plan: Schedule) -> tuple[int, bool]:
    """Return the least memory of any layer-by-layer schedule, and whether it is exact."""
    steps = [Step(plan.reads(kernel), plan.writes(kernel)) for kernel in plan.kernels]
    inputs = [plan.memory(name) for name in plan.profile.inputs]
    outputs = [plan.memory(name) for name in plan.profile.outputs]
    return least_peak(steps, lifetimes(plan).sizes, inputs, outputs)


@dataclass(frozen=True)
class Rules:
    """What a planner is told of the kernels, by step.

    Attributes:
        scratch: Bytes of working memory of each step that needs some.
        distances: (step, input) -> how far below that input the step's output must begin.
        extra: Bytes that a kernel reads beyond a tensor's end.
        alone: Steps that overlap only while no other tensor waits (beside a residual they do not).
        above: Steps whose scratch, where they set the peak, lies above their input and not in the
            room below their output.
        standing: Steps at which overlaps from the input on are not cut before a step fits
            without one.
    """

    scratch: Mapping[int, int]
    distances: Mapping[tuple[int, str], int]
    extra: Mapping[str, int] = field(default_factory=dict)
    alone: AbstractSet[int] = frozenset()
    above: AbstractSet[int] = frozenset()
    standing: AbstractSet[int] = frozenset()


def peak(plan: Schedule, rules: Rules) -> int:
    """Return the arena that the busiest step needs when the overlaps are chosen for it."""
    stages = _stages(plan, lifetimes(plan, rules.extra), rules)
    return _choose(_raised(stages, rules.above))[0]


def overlapped(plan: Schedule, rules: Rules) -> Plan:
    """Plan like the vendor's tools: an output may grow into the input that its kernel consumes."""
    lives = lifetimes(plan, rules.extra)
    stages = _stages(plan, lives, rules)
    target, chosen, room = _choose(_raised(stages, rules.above))
    target = max(target, _standing_chain(stages, rules.standing))
    buffers = lives.buffers()
    overlaps: dict[tuple[str, str], int] = {}
    for step, stage in enumerate(stages):
        if stage.scratch:
            name = f"{plan.kernels[step].name}.scratch"
            buffers.append(Buffer(name, stage.scratch, step, step, scratch=True))
            if chosen[step]:  # the vendor's planner leaves the room below the output empty
                for output in stage.outputs:
                    needed = room.get(output, _NO_ROOM)
                    overlaps[name, output] = stage.scratch + _kept(stage, needed)
        if stage.consumed is not None:
            for output, size in stage.outputs.items():
                overlaps[output, stage.consumed] = min(stage.distance, size)
    found = overlapping(buffers, overlaps, target, {name: one.below for name, one in room.items()})
    return replace(found, peak=max(found.peak, target))


def _round(size: int) -> int:
    return -(-size // 4) * 4


def _stages(plan: Schedule, lives: Lifetimes, rules: Rules) -> list[_Stage]:
    size = {name: _round(value) for name, value in lives.sizes.items()}
    born: dict[int, list[str]] = {}
    dying: dict[int, list[str]] = {}
    for name in size:
        born.setdefault(lives.first[name], []).append(name)
        dying.setdefault(lives.last[name], []).append(name)
    alive = sum(size[name] for name in born.get(-1, []))
    stages = []
    for step, kernel in enumerate(plan.kernels):
        alive += sum(size[name] for name in born.get(step, []))
        outputs = {name: size[name] for name in plan.writes(kernel)}
        inputs = {n: size[n] for n in plan.reads(kernel) if n not in outputs}
        stage = _Stage(inputs, outputs, _round(rules.scratch.get(step, 0)))
        stage.others = alive - sum(inputs.values()) - sum(outputs.values())
        ending = [n for n in inputs if lives.last[n] == step and (step, n) in rules.distances]
        if ending and len(outputs) == 1 and not (step in rules.alone and stage.others):
            stage.consumed = max(ending, key=lambda name: inputs[name])
            stage.distance = _round(max(rules.distances[step, stage.consumed], 0))
        stages.append(stage)
        alive -= sum(size[name] for name in dying.get(step, []))
    return stages


@dataclass(frozen=True)
class _Room:
    """The room that must stay below a tensor for the outputs that will grow into it.

    ``below`` is all of it, over the whole chain of overlaps that follows; ``kept`` is the part
    for the next one that moves anything, which the vendor's planner lets no scratch lie in.
    """

    below: int = 0
    kept: int = 0

    def under(self, distance: int) -> _Room:
        """Return the room below an input whose output, ``distance`` lower, needs this one."""
        return _Room(self.below + distance, distance or self.kept)


_NO_ROOM = _Room()


def _widest(stage: _Stage, rooms: Mapping[str, _Room]) -> _Room:
    """Return the most room that an output of ``stage`` needs below it."""
    widest = _NO_ROOM
    for name in stage.outputs:
        room = rooms.get(name, _NO_ROOM)
        widest = room if room.below > widest.below else widest
    return widest


def _kept(stage: _Stage, room: _Room) -> int:
    """Return the part of the room below the output that the scratch may not lie in."""
    return room.below if stage.above else room.kept


def _costs(stage: _Stage, room: _Room) -> tuple[int, int]:
    """Return the arena that one step needs, apart and overlapping, above the ``room`` it leaves."""
    taken, out = sum(stage.inputs.values()), sum(stage.outputs.values())
    apart = max(taken + stage.scratch, room.below) + out + stage.others
    if stage.consumed is None:
        return apart, apart
    consumed = stage.inputs[stage.consumed]
    grown = max(stage.distance + consumed, out) + max(
        room.below, _kept(stage, room) + stage.scratch
    )
    return apart, grown + stage.others + taken - consumed


def _choose(stages: list[_Stage]) -> tuple[int, list[bool], dict[str, _Room]]:
    """Choose for each step whether its output grows into its input, for the least peak.

    Returns the peak, the choices, and the room that each tensor needs below it. For a given peak
    the walk from the last step back is greedy: standing apart needs no room below the input, so
    it is taken wherever the peak allows it. The least peak that leaves a choice at every step is
    found by bisection.
    """
    low = max((min(_costs(stage, _NO_ROOM)) for stage in stages), default=0)
    high = max((stage.apart for stage in stages), default=0)
    found = _walk(stages, low)
    if found is not None:  # the busiest step alone decides
        return low, *found
    while found is None or low < high:
        middle = (low + high) // 2
        tried = _walk(stages, middle)
        if tried is None:
            low = middle + 1
        else:
            found, high = tried, middle
    return low, *found


def _raised(stages: list[_Stage], above: AbstractSet[int]) -> list[_Stage]:
    """Let the scratch of the steps in ``above`` that set the peak lie above their inputs."""
    if not above:
        return stages
    peak, chosen, rooms = _choose(stages)
    for step in above:
        stage = stages[step]
        room = _widest(stage, rooms)
        stage.above = chosen[step] and _costs(stage, room)[1] == peak
    return stages


def _walk(stages: list[_Stage], peak: int) -> tuple[list[bool], dict[str, _Room]] | None:
    """Return choices that stay within ``peak`` and the room below each tensor, or None."""
    chosen = [False] * len(stages)
    rooms: dict[str, _Room] = {}
    for index in range(len(stages) - 1, -1, -1):
        stage = stages[index]
        room = _widest(stage, rooms)
        if room is _NO_ROOM and stage.apart <= peak:
            continue
        apart, together = _costs(stage, room)
        if apart <= peak:
            continue
        if together > peak or stage.consumed is None:
            return None
        chosen[index] = True
        rooms[stage.consumed] = room.under(stage.distance)
    return chosen, rooms


def _standing_chain(stages: list[_Stage], standing: AbstractSet[int]) -> int:
    """Return the peak of the overlaps from the input down to the first step that fits without one.

    The steps so far are one rigid block: each tensor begins its distance above the next.
    """
    peak, tensors = 0, [0]  # what each tensor of the block reaches above the newest one
    for step, stage in enumerate(stages):
        if step not in standing or stage.consumed is None or stage.others or stage.apart <= peak:
            break
        source = max(tensors[-1], stage.inputs[stage.consumed])
        reach = max(stage.distance + source, *stage.outputs.values())
        tensors = [one + stage.distance for one in tensors] + [reach]
        peak = max(peak + stage.distance, reach + stage.scratch)
    return peak
