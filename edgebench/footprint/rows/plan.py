"""The plan of the firmware: which stages run in chains, and where each tensor lies in the arena.

``layerwise`` runs one stage after the other; ``streaming`` cuts the stages into the chains that
need least at once. The generator writes what a plan says, so the arena of the program that is
compiled has the bytes that the plan has.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgebench.errors import EdgebenchError, unknown
from edgebench.footprint.planning import Buffer, Plan, loads, overlapping
from edgebench.footprint.rows.rings import ends, rings
from edgebench.footprint.rows.stages import Network, network
from edgebench.profiling import Profile

STYLES = ("layerwise", "streaming")
LONGEST = 40
"""Stages in a chain: more rings at once have not paid, and the search stays short."""

ALIGNMENT = 4  # bytes: what a float or a sum needs


@dataclass(frozen=True)
class Group:
    """Stages ``first`` to ``last`` (excluded), and the rows of the tensors that are rings.

    ``ends`` are the stages that must be finished before the next group begins.
    """

    first: int
    last: int
    rings: Mapping[str, int]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class FirmwarePlan:
    """The stages of a model, their chains, and the arena that holds its tensors."""

    style: str
    network: Network
    groups: tuple[Group, ...]
    arena: Plan

    def rows(self, name: str) -> int:
        """Return how many rows of a piece of memory exist at once."""
        found = [group.rings[name] for group in self.groups if name in group.rings]
        return min([*found, self.network.height(name)])


def firmware_plan(profile: Profile, style: str = "streaming") -> FirmwarePlan:
    """Return the plan of the firmware for ``profile``.

    Raises:
        EdgebenchError: There is no such style.
    """
    if style not in STYLES:
        raise EdgebenchError(unknown("plan", style, STYLES))
    found = network(profile)
    streams = style == "streaming"
    cuts = _cuts(_Costs(found)) if streams else list(range(len(found.stages) + 1))
    groups = tuple(
        Group(first, last, _rings(found, first, last), ends(found, first, last))
        for first, last in itertools.pairwise(cuts)
    )
    return FirmwarePlan(style, found, groups, _arena(found, groups))


def _rings(found: Network, first: int, last: int) -> dict[str, int]:
    """Return the rings of a chain that are shorter than their tensors."""
    if last - first < 2:
        return {}
    return {
        name: rows for name, rows in rings(found, first, last).items() if rows < found.height(name)
    }


class _Costs:
    """The bytes that exist while a chain runs: what the search for chains compares.

    The rows of a ring are those of the longest chains: a shorter one needs no more.
    """

    def __init__(self, found: Network) -> None:
        self.network = found
        self.size = sizes(found)
        self.born: dict[str, int] = {found.root(name): -1 for name in found.profile.inputs}
        self.born |= {n: i for i, stage in enumerate(found.stages) for n in stage.targets}
        self.dying: list[list[str]] = [[] for _ in found.stages]
        for name, dies in found.dies.items():
            if 0 <= dies < len(found.stages):
                self.dying[dies].append(name)
        self.alive = list(self._alive())
        self.ends = self._ends()
        self.ring = dict(self.size)
        for first, end in enumerate(self.ends):
            begins = first == 0 or self.ends[first - 1] != end or first % (LONGEST // 2) == 0
            last = min(end, first + LONGEST)
            if last - first > 1 and begins:
                for name, rows in rings(found, first, last).items():
                    size = self.size[name] // found.height(name) * rows
                    self.ring[name] = min(self.size[name], size)

    def _alive(self) -> Iterator[int]:
        """Yield the bytes that live at each stage and were made before it."""
        total = sum(size for name, size in self.size.items() if self.born.get(name) == -1)
        total -= sum(self.size[n] for n, dies in self.network.dies.items() if dies == -1)
        for stage, dying in zip(self.network.stages, self.dying, strict=True):
            yield total
            total += sum(self.size[name] for name in stage.targets)
            total -= sum(self.size[name] for name in dying)

    def _ends(self) -> list[int]:
        """Return for each stage where the longest chain that begins with it ends (excluded)."""
        ends: list[int] = []
        for place in range(len(self.network.stages) - 1, -1, -1):
            runs_on = bool(ends) and self._chains(place) and self._chains(place + 1)
            ends.append(ends[-1] if runs_on else place + 1)
        return ends[::-1]

    def _chains(self, place: int) -> bool:
        stage = self.network.stages[place]
        return stage.window is not None and stage.streams

    def of(self, first: int) -> Iterator[tuple[int, int]]:
        """Yield the end (excluded) of each chain that begins at ``first``, and its bytes."""
        stages, total = self.network.stages, self.alive[first]
        for last in range(first + 1, min(self.ends[first], first + LONGEST) + 1):
            stage = stages[last - 1]
            total += sum(self.size[name] for name in stage.targets)
            if last - first == 1:
                dies = self.network.dies[stage.sources[0]] if stage.in_place else None
                yield last, total - (self.size[stage.target] if dies == first else 0)
            for name in self.dying[last - 1]:
                if self.born[name] >= first:
                    total -= self.size[name] - self.ring[name]
            if last - first > 1:
                yield last, total


def sizes(found: Network) -> dict[str, int]:
    """Return the bytes of each piece of memory, working memory included."""
    size: dict[str, int] = {}
    for name, tensor in found.profile.tensors.items():
        root = found.root(name)
        size[root] = max(size.get(root, 0), tensor.bytes)
    for stage in found.stages:
        size[stage.target] = max(size[stage.target], stage.bytes)
    return {name: -(-value // ALIGNMENT) * ALIGNMENT for name, value in size.items()}


def _cuts(costs: _Costs) -> list[int]:
    """Return the ends of the chains whose largest needs least; of equal ones the shortest."""
    count = len(costs.network.stages)
    # Of the best way to each place: its peak, the bytes of all its groups, its last group's first.
    best: list[tuple[int, int, int]] = [(0, 0, 0)] + [(sys.maxsize, 0, 0)] * count
    for first in range(count):
        peak, total, _ = best[first]
        for last, cost in costs.of(first):
            option = (max(peak, cost), total + cost * (last - first), first)
            best[last] = min(best[last], option)
    cuts = [count]
    while cuts[-1]:
        cuts.append(best[cuts[-1]][2])
    return cuts[::-1]


def _arena(found: Network, groups: tuple[Group, ...]) -> Plan:
    """Place every tensor; the step of a tensor's life is the group that makes or reads it."""
    size = sizes(found)
    born = {found.root(name): -1 for name in found.profile.inputs}
    dies = dict(born)
    for step, group in enumerate(groups):
        for stage in found.stages[group.first : group.last]:
            for name in stage.targets:
                born[name] = dies[name] = step
            dies |= dict.fromkeys(stage.sources, step)
        for name, rows in group.rings.items():
            size[name] = size[name] // found.height(name) * rows
    for name in found.profile.outputs:
        dies[found.root(name)] = len(groups)
    sources = _sources_of_in_place(found, groups, dies)
    first = dict(born)
    last, most = dict(dies), dict(size)
    holders: dict[str, str] = {}
    for name, source in sources.items():
        holder = holders[name] = holders.get(source, source)
        first[holder] = min(first[holder], born[name])
        last[holder] = max(last[holder], dies[name])
        most[holder] = max(most[holder], size[name])
    buffers = [
        Buffer(name, most[name], first[name], last[name]) for name in born if name not in holders
    ]
    placed = overlapping(buffers, {}, max(loads(buffers, {})), alignment=ALIGNMENT)
    offsets = {name: placed.offsets[holders.get(name, name)] for name in born}
    everything = [Buffer(name, size[name], born[name], dies[name]) for name in born]
    return Plan(everything, offsets, placed.peak, dict.fromkeys(sources.items(), 0))


def _sources_of_in_place(
    found: Network, groups: tuple[Group, ...], dies: Mapping[str, int]
) -> dict[str, str]:
    """Return the input of each tensor that is computed where that input lay.

    Exactly there: tensors that overlap shifted would be right in C, but not every compiler that
    sees both addresses keeps it so.
    """
    sources: dict[str, str] = {}
    for step, group in enumerate(groups):
        stage = found.stages[group.first]
        if group.last - group.first > 1 or not stage.in_place:
            continue
        source = stage.sources[0]
        if dies[source] == step and source != stage.target:
            sources[stage.target] = source
    return sources
