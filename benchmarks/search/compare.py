"""Compare strategies on the recorded table: training seconds to 90, 95 and 99 % of its hypervolume.

    python benchmarks/search/compare.py [--seeds 20] [--only NAME ...] [--share 0.99]

Every strategy has the gate. "tpe, repeats" is Optuna's sampler as it comes, which trains a
configuration again whenever it is drawn again; all others are `method` and `early_stop` of real
studies, replayed through the package's own coordinator (replay.py). With ``--share`` a replay ends
at that share: a suggestion of `gp` takes longer the more trials there are, seconds in the end.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState
from replay import HERE, Replay, Table, facts_of, fast_gate, replay

from edgebench.record import State
from edgebench.search import coordinator
from edgebench.search.sampler import _suggest

SHARES = (0.90, 0.95, 0.99)
Strategy = Callable[[Table, Path, int, float], Replay]


def plain(table: Table, folder: Path, seed: int, share: float) -> Replay:  # noqa: ARG001 - one signature
    """Replay Optuna's TPE by Optuna alone: the gate's refusals are pruned, with constraints."""
    sampler = optuna.samplers.TPESampler(seed=seed)
    drawing = optuna.create_study(
        directions=[goal.goal for goal in table.sweep.objectives], sampler=sampler
    )
    facts, found, metrics = facts_of(table), Replay(), []
    seconds = 0.0
    with fast_gate(table):
        while not found.trace or (found.trace[-1][1] < share and seconds < 4000):
            drawn = drawing.ask()
            config = table.sweep.config(_suggest(drawn, table.sweep.axes))
            gate = coordinator.gate(
                config, table.sweep.budget, facts.input_shape, len(facts.classes)
            )
            for name, usage in gate.usage.items():
                drawn.set_constraint(name, usage)
            if gate.refusal is not None:
                drawing.tell(drawn, state=TrialState.PRUNED)
                continue
            line = table.lines[table.key(config.params)]
            seconds += sum(line["seconds"])
            reached = {**gate.metrics, "val/accuracy_best": max(e[3] for e in line["curve"])}
            drawing.tell(drawn, [reached[goal.name] for goal in table.sweep.objectives])
            metrics.append(reached)
            found.trace.append((seconds, table.hypervolume(metrics) / table.best))
    return found


def method(name: str, early_stop: str = "none") -> Strategy:
    """Return the strategy that is a method of a sweep file."""
    return lambda table, folder, seed, share: replay(
        table, folder, share, method=name, early_stop=early_stop, seed=seed
    )


STRATEGIES: dict[str, Strategy] = {
    "random": method("random"),
    "tpe, repeats": plain,
    "tpe": method("tpe"),
    "nsga2": method("nsga2"),
    "gp": method("gp"),
    "tpe + front": method("tpe", "front"),
    "edgebench": method("edgebench"),
    "edgebench + front": method("edgebench", "front"),
}


def quartiles(values: list[float]) -> str:
    """Write the median and the quartiles; a dash where most never got there."""
    low, middle, high = (float(np.quantile(values, q, method="nearest")) for q in (0.25, 0.5, 0.75))
    return f"{middle:6.0f} ({low:5.0f} to {high:5.0f})".replace("inf", "  –")  # noqa: RUF001


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, default=HERE / "fashion.jsonl.gz")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--share", type=float, default=SHARES[-1])
    parser.add_argument("--only", nargs="*", default=list(STRATEGIES))
    asked = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table = Table(asked.table)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - nothing is to last
    print(f"{len(table.lines)} configurations, {len(table.members)} on the front; "
          f"hypervolume {table.best:.0f}; seconds to 90, 95, 99 %")  # fmt: skip
    for name in asked.only:
        began, found = time.perf_counter(), []
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory(dir=memory) as folder:
                found.append(STRATEGIES[name](table, Path(folder), seed, asked.share))
        columns = "  ".join(quartiles([one.seconds_to(share) for one in found]) for share in SHARES)
        trials = statistics.median(len(one.trace) for one in found)
        pruned = statistics.mean(sum(r.state is State.PRUNED for r in one.rows) for one in found)
        wall = (time.perf_counter() - began) / asked.seeds
        print(f"{name:18} {columns}  {trials:4.0f} trained, {pruned:3.0f} stopped, {wall:5.1f} s a "
              "replay", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
