"""The least memory that any layer-by-layer schedule can use: exact where small, proven elsewhere.

A layer-by-layer schedule runs the operators one after another, in any order the graph allows, and
holds every tensor between two operators whole. Between two steps all tensors that are still needed
exist at once; that is all a schedule cannot avoid, so an output may overwrite its input and
scratch counts nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

MOST_STATES = 20_000  # sets of finished steps that the exact search may visit
MOST_CHOICES = 5_000_000  # steps that might run next, over all of these sets
MOST_CROSSING = 1_000  # steps of a graph whose crossing tensors are worth their quadratic time


@dataclass(frozen=True)
class Step:
    """One operator: the tensors that it reads and writes."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]


def least_peak(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> tuple[int, bool]:
    """Return the bytes that every schedule of ``steps`` needs, and whether some schedule meets it.

    The exact search walks the sets of finished steps, the cheapest peak first; where they are more
    than ``MOST_STATES``, or the choices in them than ``MOST_CHOICES``, the answer is a lower bound:
    what any order holds before, or after, a step.
    """
    exact = _exact(steps, sizes, inputs, outputs)
    if exact is not None:
        return exact, True
    return _bound(steps, sizes, inputs, outputs), False


@dataclass(frozen=True)
class _State:
    """A set of finished steps as bits, those that may run next, and the bytes that exist then."""

    done: int
    ready: frozenset[int]
    held: int


def _exact(
    steps: Sequence[Step], sizes: Mapping[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> int | None:
    """Search the sets of finished steps, the least peak first; None where they are too many."""
    graph = _Graph(steps, sizes, inputs, outputs)
    start = graph.start()
    everything = (1 << len(steps)) - 1
    best = {start.done: start.held}
    queue = [(start.held, 0, 0, start)]
    choices = 0
    while queue:
        peak, _, _, state = heapq.heappop(queue)
        if state.done == everything:
            return peak
        if peak > best[state.done]:
            continue
        for index in state.ready:
            done = state.done | 1 << index
            held = state.held + graph.change(done, index)
            cost = max(peak, held)
            if cost < best.get(done, cost + 1):
                choices += len(state.ready)
                if len(best) > MOST_STATES or choices > MOST_CHOICES:
                    return None
                best[done] = cost
                after = _State(done, graph.ready(state, index, done), held)
                heapq.heappush(queue, (cost, -done.bit_count(), len(best), after))
    return 0


class _Graph:
    """Who writes and reads each tensor, for the search: sets of steps are bits of an int."""

    def __init__(
        self,
        steps: Sequence[Step],
        sizes: Mapping[str, int],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        self.steps, self.sizes = steps, sizes
        self.inputs, self.outputs = set(inputs), set(outputs)
        writer = {name: index for index, step in enumerate(steps) for name in step.writes}
        self.readers: dict[str, int] = {}
        self.needs = [0] * len(steps)
        self.followers: list[set[int]] = [set() for _ in steps]
        for index, step in enumerate(steps):
            for name in step.reads:
                self.readers[name] = self.readers.get(name, 0) | 1 << index
                if name in writer:
                    self.needs[index] |= 1 << writer[name]
                    self.followers[writer[name]].add(index)

    def start(self) -> _State:
        """Return the state in which nothing has run."""
        ready = frozenset(index for index, needs in enumerate(self.needs) if not needs)
        waiting = [one for one in self.inputs if one in self.readers or one in self.outputs]
        return _State(0, ready, sum(self.sizes[name] for name in waiting))

    def ready(self, state: _State, index: int, done: int) -> frozenset[int]:
        """Return the steps that may run once ``index`` has, which makes ``done``."""
        opened = {one for one in self.followers[index] if not self.needs[one] & ~done}
        return (state.ready - {index}) | opened

    def change(self, done: int, index: int) -> int:
        """Return by how many bytes the tensors that exist grow when ``index`` has run last."""
        step = self.steps[index]
        born = sum(
            self.sizes[name]
            for name in dict.fromkeys(step.writes)
            if name in self.outputs or self.readers.get(name, 0) & ~done
        )
        dead = sum(
            self.sizes[name]
            for name in dict.fromkeys(step.reads)
            if name not in self.outputs and not self.readers[name] & ~done
        )
        return born - dead


def _bound(
    steps: Sequence[Step], sizes: Mapping[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> int:
    """Return what exists around some step in every order.

    Before a step: what it reads, and what was made by its ancestors and is still to be read by
    the step's descendants. After it: the same with what it writes. In a graph of more than
    ``MOST_CROSSING`` steps the tensors that cross a step are left out, which is a bound as well.
    """
    least = max(sum(sizes[n] for n in set(inputs)), sum(sizes[n] for n in set(outputs)))
    if len(steps) > MOST_CROSSING:
        around = [max(_total(sizes, step.reads), _total(sizes, step.writes)) for step in steps]
        return max(least, *around)
    ancestors = _ancestors(steps)
    readers: dict[str, list[int]] = {}
    for index, step in enumerate(steps):
        for name in step.reads:
            readers.setdefault(name, []).append(index)
    crossing = _crossing(steps, sizes, set(outputs), ancestors, readers)
    for index, step in enumerate(steps):
        before = crossing[index] + _total(sizes, step.reads)
        stay = sum(
            sizes[name]
            for name in set(step.reads)
            if name in outputs or any(ancestors[r] >> index & 1 for r in readers.get(name, []))
        )
        after = crossing[index] + stay + _total(sizes, step.writes)
        least = max(least, before, after)
    return least


def _total(sizes: Mapping[str, int], names: Sequence[str]) -> int:
    return sum(sizes[name] for name in set(names))


def _crossing(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    outputs: AbstractSet[str],
    ancestors: Sequence[int],
    readers: Mapping[str, Sequence[int]],
) -> list[int]:
    """Return for each step the bytes made before it and read after it, in every order."""
    writer = {name: index for index, step in enumerate(steps) for name in step.writes}
    found = [0] * len(steps)
    for name, size in sizes.items():
        born = 1 << writer[name] if name in writer else 0
        for index, above in enumerate(ancestors):
            made = name not in writer or bool(above & born)
            later = name in outputs or any(
                ancestors[reader] >> index & 1 for reader in readers.get(name, ())
            )
            if made and later and name not in steps[index].reads:
                found[index] += size
    return found


def _ancestors(steps: Sequence[Step]) -> list[int]:
    """Return for each step the set of steps that must run before it, as bits."""
    writer = {name: index for index, step in enumerate(steps) for name in step.writes}
    found: list[int] = []
    for step in steps:
        bits = 0
        for name in step.reads:
            if name in writer:
                bits |= found[writer[name]] | 1 << writer[name]
        found.append(bits)
    return found
