"""The least memory that any layer-by-layer schedule can use: exact where small, proven elsewhere.

A layer-by-layer schedule runs the operators one after another, in any order the graph allows, and
holds every tensor between two operators whole. Between two steps all tensors that are still needed
exist at once; that is all a schedule cannot avoid, so an output may overwrite its input and
scratch counts nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_STATES = 20_000  # sets of finished steps that the exact search may visit


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
    than ``MOST_STATES`` the answer is a lower bound: what any order holds before, or after, a step.
    """
    exact = _exact(steps, sizes, inputs, outputs)
    if exact is not None:
        return exact, True
    return _bound(steps, sizes, inputs, outputs), False


def _exact(
    steps: Sequence[Step], sizes: Mapping[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> int | None:
    """Search the sets of finished steps, the least peak first; None where they are too many."""
    held = _Held(steps, sizes, inputs, outputs)
    needs = held.needs()
    start: frozenset[int] = frozenset()
    best = {start: held(start)}
    queue = [(best[start], 0, 0, start)]
    while queue:
        peak, _, _, done = heapq.heappop(queue)
        if len(done) == len(steps):
            return peak
        if peak > best[done]:
            continue
        ready = [i for i in range(len(steps)) if i not in done and needs[i] <= done]
        for after in (done | {index} for index in ready):
            cost = max(peak, held(after))
            if cost < best.get(after, cost + 1):
                if len(best) > MOST_STATES:
                    return None
                best[after] = cost
                heapq.heappush(queue, (cost, -len(after), len(best), after))
    return 0


class _Held:
    """Tells the bytes that exist once a set of steps is done and the others are not."""

    def __init__(
        self,
        steps: Sequence[Step],
        sizes: Mapping[str, int],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        self.steps, self.sizes = steps, sizes
        self.inputs, self.outputs = set(inputs), set(outputs)
        self.readers: dict[str, set[int]] = {}
        for index, step in enumerate(steps):
            for name in step.reads:
                self.readers.setdefault(name, set()).add(index)

    def needs(self) -> list[set[int]]:
        """Return for each step those that must run right before it."""
        writer = {name: index for index, step in enumerate(self.steps) for name in step.writes}
        return [{writer[name] for name in step.reads if name in writer} for step in self.steps]

    def __call__(self, done: frozenset[int]) -> int:
        """Sum what was made and is still to be read, or is a result."""
        made = self.inputs.union(*(self.steps[index].writes for index in done))
        return sum(
            self.sizes[name]
            for name in made
            if name in self.outputs or not self.readers.get(name, set()) <= done
        )


def _bound(
    steps: Sequence[Step], sizes: Mapping[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> int:
    """Return what exists around some step in every order.

    Before a step: what it reads, and what was made by its ancestors and is still to be read by
    the step's descendants. After it: the same with what it writes.
    """
    ancestors = _ancestors(steps)
    writer = {name: index for index, step in enumerate(steps) for name in step.writes}
    readers: dict[str, list[int]] = {}
    for index, step in enumerate(steps):
        for name in step.reads:
            readers.setdefault(name, []).append(index)
    least = max(sum(sizes[n] for n in set(inputs)), sum(sizes[n] for n in set(outputs)))
    crossing = [0] * len(steps)
    for name, size in sizes.items():
        born = 1 << writer[name] if name in writer else 0
        for index, above in enumerate(ancestors):
            made = name not in writer or bool(above & born)
            later = name in outputs or any(
                ancestors[reader] >> index & 1 for reader in readers.get(name, [])
            )
            if made and later and name not in steps[index].reads:
                crossing[index] += size
    for index, step in enumerate(steps):
        before = crossing[index] + sum(sizes[name] for name in set(step.reads))
        stay = sum(
            sizes[name]
            for name in set(step.reads)
            if name in outputs or any(ancestors[r] >> index & 1 for r in readers.get(name, []))
        )
        after = crossing[index] + stay + sum(sizes[name] for name in set(step.writes))
        least = max(least, before, after)
    return least


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
