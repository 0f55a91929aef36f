"""How often the front rule stops what would have joined the front, and what it saves.

    python benchmarks/search/stops.py [--orders 50] [--trials N] [--studies N]

The recorded configurations are trained in random orders, of which each stops what
``early_stop: front`` stops. A false stop is a member of the front of all that was in the order,
trained to its end, which the rule stopped. With ``--trials`` an order has that many of them. With
``--studies`` they are not ordered by chance: as many studies of ``method: edgebench`` are replayed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from replay import HERE, Table, replay, row_of

from edgebench.record import Row, State, front
from edgebench.search import EARLY_STOPPING
from edgebench.trial import Gate


def stopped(table: Table, order: Sequence[Row]) -> tuple[set[int], float]:
    """Return which trials are stopped, and the share of the training seconds that is saved."""
    trained: list[Row] = []
    rule = EARLY_STOPPING["front"](table.sweep, trained)
    assert rule is not None  # noqa: S101 - the sweep seeks an accuracy
    found, spent, whole = set(), 0.0, 0.0
    for row in order:
        seconds, config = row.curves["seconds"], table.sweep.config(row.params)
        curve = [{"val/accuracy": value} for value in row.curves["val/accuracy"]]
        gate = Gate(None, {n: v for n, v in row.metrics.items() if n.startswith("footprint/")})
        ends = (n for n in range(1, len(curve)) if rule.judge(config, gate, curve[:n]))
        epochs = next(ends, len(curve))
        if epochs < len(curve):
            found.add(row.trial)
        else:
            trained.append(row)
        spent, whole = spent + sum(seconds[:epochs]), whole + sum(seconds)
    return found, 1 - spent / whole


def studied(table: Table, trials: int, seed: int) -> tuple[list[Row], set[int], float]:
    """Return what a study begins, as if it were trained to the end, and as `stopped` does."""
    whole = {Table.key(line["params"]): line for line in table.lines.values() if line["curve"]}
    with tempfile.TemporaryDirectory() as folder:
        found = replay(
            table, Path(folder), 2.0, method="edgebench", early_stop="front", seed=seed,
            run_cap=trials,
        ).rows  # fmt: skip
    order = [row_of(number, whole[Table.key(row.params)]) for number, row in enumerate(found)]
    ended = {number for number, row in enumerate(found) if row.state is State.PRUNED}
    spent = sum(row.metrics["time/train_s"] for row in found)
    return order, ended, 1 - spent / sum(sum(row.curves["seconds"]) for row in order)


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, default=HERE / "fashion.jsonl.gz")
    parser.add_argument("--orders", type=int, default=50)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--studies", type=int)
    asked = parser.parse_args()
    table = Table(asked.table)
    lines = [line for line in table.lines.values() if line["curve"]]
    rows = [row_of(number, line) for number, line in enumerate(lines)]
    members, wrong, saved, lost = 0, 0, [], []
    for seed in range(asked.studies or asked.orders):
        if asked.studies:
            order, found, share = studied(table, asked.trials or 40, seed)
        else:
            order = [rows[n] for n in np.random.default_rng(seed).permutation(len(rows))]
            order = order[: asked.trials]
            found, share = stopped(table, order)
        best = front(order, table.sweep.objectives)
        members += len(best)
        wrong += sum(row.trial in found for row in best)
        saved.append(share)
        kept = table.hypervolume([row.metrics for row in order if row.trial not in found])
        lost.append(1 - kept / table.hypervolume([row.metrics for row in best]))
    print(
        f"{asked.studies or asked.orders} {'studies' if asked.studies else 'orders'} of "
        f"{len(order)} trials: {np.mean(saved):.1%} of the training "
        f"seconds saved; {wrong} of {members} members of the front stopped "
        f"({wrong / members:.2%}); "
        f"hypervolume lost {np.mean(lost):.3%} on average, {max(lost):.2%} at most"
    )


if __name__ == "__main__":
    main()
