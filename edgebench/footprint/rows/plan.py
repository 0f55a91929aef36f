"""The plan of the firmware: which stages run in chains, and where each tensor lies in the arena.

``layerwise`` runs one stage after the other; ``streaming`` cuts the stages into the chains that
need least at once. The generator writes what a plan says, so the arena of the program that is
compiled has the bytes that the plan has.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from edgebench.errors import EdgebenchError, unknown
from edgebench.footprint.planning import Buffer, Plan, overlapping
from edgebench.footprint.rows.rings import rings
from edgebench.footprint.rows.stages import Network, network
from edgebench.profiling import Profile

STYLES = ("layerwise", "streaming")
LONGEST = 40
"""Stages in a chain: more rings at once have not paid, and the search stays short."""

ALIGNMENT = 4  # bytes: what a float or a sum needs


@dataclass(frozen=True)
class Group:
    """Stages ``first`` to ``last`` (excluded), and the rows of the tensors that are rings."""

    first: int
    last: int
    rings: Mapping[str, int]


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
    costs = _Costs(found)
    cuts = list(range(len(found.stages) + 1)) if style == "layerwise" else _cuts(costs)
    groups = tuple(
        Group(first, last, _rings(found, first, last)) for first, last in itertools.pairwise(cuts)
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
    """The bytes that exist while a chain runs: what the search for chains compares."""

    def __init__(self, found: Network) -> None:
        stages = found.stages
        self.count = len(stages)
        self.network = found
        self.size = sizes(found)
        self.born = {found.root(name): -1 for name in found.profile.inputs}
        self.born |= {name: i for i, stage in enumerate(stages) for name in stage.targets}
        self.dies = dict(self.born)
        for index, stage in enumerate(stages):
            self.dies |= dict.fromkeys(stage.sources, index)
        self.dies |= {found.root(name): self.count for name in found.profile.outputs}
        self.runs = self._runs()
        self.ring = dict(self.size)
        for first, last in self.runs:
            for name, rows in rings(found, first, last).items():
                self.ring[name] = min(self.size[name], self.size[name] // found.height(name) * rows)

    def _runs(self) -> list[tuple[int, int]]:
        """Return the longest runs of stages that can be one chain."""
        found: list[tuple[int, int]] = []
        first = 0
        stages = self.network.stages
        for index, stage in enumerate(stages):
            if stage.window is None or not stage.streams:
                if index - first > 1:
                    found.append((first, index))
                first = index + 1
        if self.count - first > 1:
            found.append((first, self.count))
        return found

    def of(self, first: int, last: int) -> int:
        """Return the bytes that exist while the stages ``first`` to ``last`` (excluded) run."""
        total = 0
        for name, born in self.born.items():
            dies = self.dies[name]
            if born >= last or dies < first:
                continue
            inside = born >= first and dies < last
            total += self.ring[name] if inside and last - first > 1 else self.size[name]
        if last - first == 1:
            stage = self.network.stages[first]
            if stage.in_place and self.dies[stage.sources[0]] == first:
                total -= self.size[stage.target]
        return total


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
    chained = {
        (first, last)
        for start, end in costs.runs
        for first in range(start, end)
        for last in range(first + 2, min(end, first + LONGEST) + 1)
    }
    best: list[tuple[int, int, int]] = [(0, 0, 0)]  # peak, the bytes of all groups, first stage
    for last in range(1, costs.count + 1):
        options = []
        for first in range(max(0, last - LONGEST), last):
            if last - first > 1 and (first, last) not in chained:
                continue
            cost = costs.of(first, last)
            peak, total, _ = best[first]
            options.append((max(peak, cost), total + cost * (last - first), first))
        best.append(min(options))
    cuts = [costs.count]
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
    shared = _shared(found, groups, dies)
    first = dict(born)
    last, most = dict(dies), dict(size)
    for name, holder in shared.items():
        first[holder] = min(first[holder], born[name])
        last[holder] = max(last[holder], dies[name])
        most[holder] = max(most[holder], size[name])
    buffers = [
        Buffer(name, most[name], first[name], last[name]) for name in born if name not in shared
    ]
    steps = range(-1, len(groups) + 1)
    target = max((sum(b.size for b in buffers if b.first <= s <= b.last) for s in steps), default=0)
    placed = overlapping(buffers, {}, target, alignment=ALIGNMENT)
    offsets = {name: placed.offsets[shared.get(name, name)] for name in born}
    everything = [Buffer(name, size[name], born[name], dies[name]) for name in born]
    return Plan(everything, offsets, placed.peak)


def _shared(found: Network, groups: tuple[Group, ...], dies: Mapping[str, int]) -> dict[str, str]:
    """Return whose buffer each tensor takes that is computed where its input lay.

    Exactly there: tensors that overlap shifted would be right in C, but not every compiler that
    sees both addresses keeps it so.
    """
    holders: dict[str, str] = {}
    for step, group in enumerate(groups):
        stage = found.stages[group.first]
        if group.last - group.first > 1 or not stage.in_place:
            continue
        source = stage.sources[0]
        if dies[source] == step and source != stage.target:
            holders[stage.target] = holders.get(source, source)
    return holders
