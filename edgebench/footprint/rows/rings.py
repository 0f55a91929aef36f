"""A chain of stages that run row by row: in which order, and how many rows each ring must hold.

The stage nearest to the end that can run does, so that rows are consumed as soon as they are there
and nothing is computed twice, until all stages are done that something behind the chain reads. The
firmware follows the same rule, so what is counted here is what
it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgebench.footprint.rows.stages import Network, Stage, Window


def ends(network: Network, first: int, last: int) -> tuple[int, ...]:
    """Return the stages that a chain must finish: its last one, and those that are read behind it.

    Of the others only the rows are computed that some stage of the chain reads.
    """
    return tuple(
        number
        for number in range(first, last)
        if number == last - 1 or network.dies[network.stages[number].target] >= last
    )


def rings(network: Network, first: int, last: int) -> dict[str, int]:
    """Return the rows that each tensor inside the chain ``first`` to ``last`` (excluded) needs.

    A tensor is inside where the chain makes it and nothing behind the chain reads it.
    """
    chain = network.stages[first:last]
    made = {stage.target: place for place, stage in enumerate(chain)}
    inside = [name for name in made if network.dies[name] < last]
    finished = [number - first for number in ends(network, first, last)]
    return _Run(network, chain, made).sizes(inside, finished)


class _Run:
    """The steps that each stage of a chain has done, and the widest each ring has been."""

    def __init__(self, network: Network, chain: Sequence[Stage], made: Mapping[str, int]) -> None:
        self.chain = chain
        self.made = made
        self.done = [0] * len(chain)
        self.heights = {name: network.height(name) for stage in chain for name in stage.sources}
        self.readers: dict[str, list[int]] = {name: [] for name in made}
        for place, stage in enumerate(chain):
            for name in stage.sources:
                if name in made:
                    self.readers[name].append(place)

    def sizes(self, inside: Iterable[str], ends: Sequence[int]) -> dict[str, int]:
        """Run the chain until ``ends`` are done; return the rows of each tensor inside."""
        widest = dict.fromkeys((name for name in inside if self.readers[name]), 0)
        nearest = len(self.chain) - 1
        while any(self.done[end] < _window(self.chain[end]).steps for end in ends):
            place = next(one for one in range(nearest, -1, -1) if self._can_run(one))
            name = self.chain[place].target
            if name in widest:
                widest[name] = max(widest[name], self._complete(place) - self._oldest(name) + 1)
            self.done[place] += 1
            nearest = max([place, *self.readers[name]])  # nothing changed for those behind
        return widest

    def _can_run(self, place: int) -> bool:
        """Tell whether the rows that a stage needs next are there."""
        stage, row = self.chain[place], self.done[place]
        window = _window(stage)
        if row >= window.steps:
            return False
        return all(
            self._complete(self.made[name]) >= window.needed(row, self.heights[name])[1]
            for name in stage.sources
            if name in self.made
        )

    def _complete(self, place: int) -> int:
        """Return how many rows a stage has completed."""
        return self.done[place] // _window(self.chain[place]).per_row

    def _oldest(self, name: str) -> int:
        """Return the first row of ``name`` that some stage will still read."""
        rows = [
            window.needed(self.done[place], self.heights[name])[0]
            for place in self.readers[name]
            if self.done[place] < (window := _window(self.chain[place])).steps
        ]
        return min([*rows, self._complete(self.made[name])])


def _window(stage: Stage) -> Window:
    assert stage.window is not None  # noqa: S101 - a chain is made of stages that have one
    return stage.window
