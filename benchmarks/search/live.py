"""Compare two methods on a real sweep of equal CPU seconds, on data of no table.

    python benchmarks/search/live.py --dataset folder:DIR [--seconds 360] [--methods edgebench tpe]

Each method runs ``edgebench sweep``'s own search, from an empty store, with one worker of one
thread, until so many CPU seconds of the coordinator and its worker are spent: whatever else the
machine does, both have as much. What a method costs is counted too: choosing, measuring, starting,
deciding. Not counted is what follows a trial's last epoch, its export and record. Printed is what
the front covers at each sixth of the time, and at the end what was stopped and why.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
from collections import Counter
from pathlib import Path

import psutil
import torch

from edgebench import space
from edgebench.record import State
from edgebench.search import Event, Settings, search

CONTENT = {
    "run_cap": 200,
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "budget": {"rom_bytes": 200_000, "ram_bytes": 65_536, "macc": 3_000_000},
    "parameters": {
        "data.train_images": 4000,
        "data.validation_share": 0.05,
        "model.family": {"values": ["vgg", "gap", "resnet"]},
        "model.width": {"min": 4, "max": 32},
        "model.blocks": {"values": [1, 2, 3], "when": {"model.family": ["vgg", "gap"]}},
        "model.hidden": {"values": [16, 64], "when": {"model.family": "vgg"}},
        "model.depth": {"value": 8, "when": {"model.family": "resnet"}},
        "train.learning_rate": {"distribution": "log_uniform_values", "min": 3e-4, "max": 3e-2},
        "train.batch_size": {"values": [32, 64, 128]},
        "train.epochs": 8,
    },
}


class Spent(Exception):
    """The seconds are over."""


def used() -> float:
    """Return the CPU seconds that this process and its workers have had."""
    here = psutil.Process()
    times = [one.cpu_times() for one in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


class Clock:
    """Counts the seconds, and keeps what the front covers as they go by."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.spent, self.since = 0.0, math.nan
        self.covered: list[tuple[float, float]] = []
        self.states: Counter[str] = Counter()
        self.reasons: list[str] = []
        self.epochs = 0
        self.shown = 0

    def __call__(self, event: Event) -> None:
        """Take an event; raise where the seconds are over."""
        now = used()
        if math.isnan(self.since):  # the first: what went before is the same for all
            self.since = now
        self.epochs += event.kind == "epoch"
        if event.kind != "ended" or event.state is State.REFUSED:
            self.spent += now - self.since
        self.since = now
        if event.kind == "ended":
            self.states[event.state] += 1
            if event.state is State.PRUNED and event.reason:
                self.reasons.append(f"{event.name}: {event.reason}")
            if event.covered is not None:
                self.covered.append((self.spent, event.covered))
        self.show()
        if event.kind in ("ended", "paused") and self.spent >= self.seconds:
            raise Spent

    def at(self, seconds: float) -> float:
        """Return what the front covered by then."""
        return max((share for when, share in self.covered if when <= seconds), default=0.0)

    def show(self) -> None:
        """Print each sixth of the seconds as it is over."""
        while self.shown < 6 and self.spent >= self.seconds * (self.shown + 1) / 6:
            self.shown += 1
            until = self.seconds * self.shown / 6
            print(f"  {until:4.0f} s: hypervolume {self.at(until):.4f}", flush=True)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--seconds", type=float, default=360.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="*", default=["edgebench", "tpe"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for method in asked.methods:
        given = {"name": f"live-{method}", "method": method, "dataset": asked.dataset}
        sweep = space.build({**CONTENT, **given, "seed": asked.seed})
        print(f"{method}:", flush=True)
        clock = Clock(asked.seconds)
        with tempfile.TemporaryDirectory() as folder:
            where = Settings(
                storage=f"sqlite:///{folder}/optuna.db",
                tracking_uri=f"sqlite:///{folder}/mlflow.db",
                data_dir=asked.data_dir,
                device="cpu",
            )
            with contextlib.suppress(Spent):
                search(sweep, where, clock)
        states = ", ".join(f"{count} {state}" for state, count in clock.states.items())
        print(f"  {clock.epochs} epochs; {states}", flush=True)
        for reason in clock.reasons[:3]:
            print(f"  {reason}")


if __name__ == "__main__":
    main()
