"""CPU-seconds of training until a validation accuracy is reached, recipe by recipe.

    python benchmarks/recipes.py SWEEP ... --dataset folder:DIR [--seeds 3] [--families gap vgg]

Every candidate of the sweep files (``sweeps/table1.yaml``, ``sweeps/fast.yaml``) is trained as a
worker trains it, in a process of its own with one thread, until its family's goal is reached (the
accuracies of the report: GAP 81.8 %, VGG-style 88.2 %) or its epochs are over. Printed are
processor seconds of training and evaluation, for each seed and as the median, and how many of the
epochs were taken: whatever else the machine does is not in them.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from edgebench.search.pools.local import ENVIRONMENT
from edgebench.space import TrialConfig, load
from edgebench.training import Observer, Stop, train
from edgebench.trial import build, dataset_of, fit_input

GOALS = {"gap": 0.818, "vgg": 0.882}


class Until(Observer):
    """Ends a training at an accuracy, and keeps the processor time of each epoch."""

    def __init__(self, goal: float) -> None:
        self.goal = goal
        self.begun = time.process_time()
        self.reached = math.inf
        self.epochs = 0
        self.best = 0.0

    def on_epoch(self, number: int, metrics: dict[str, float]) -> Stop | None:
        """Look at the accuracy."""
        self.epochs, self.best = number, max(self.best, metrics["val/accuracy"])
        if metrics["val/accuracy"] < self.goal:
            return None
        self.reached = time.process_time() - self.begun
        return Stop("reached")


def candidates(file: Path, dataset: str) -> list[TrialConfig]:
    """Return what a sweep file tries."""
    sweep = load(file, {"dataset": dataset})
    found = sweep.configurations()
    assert found is not None  # noqa: S101 - a grid
    return list(found)


def one(file: Path, place: int, dataset: str, data_dir: Path, seed: int) -> str:
    """Train one candidate with one seed; return seconds to the goal, epochs and the best."""
    config = candidates(file, dataset)[place].with_seed(seed)
    torch.set_num_threads(1)
    images = dataset_of(config, data_dir)
    model = build(config, images.input_shape, len(images.classes))
    fit_input(model, images)
    until = Until(GOALS[config.family])
    train(model, images, config.recipe, device=torch.device("cpu"), seed=seed, observers=[until])
    return f"{until.reached} {until.epochs} {until.best}"


def main() -> None:
    """Print a line for each candidate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", nargs="*", default=list(GOALS))
    parser.add_argument("--place", type=int)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    if asked.place is not None:
        print(one(asked.sweeps[0], asked.place, asked.dataset, asked.data_dir, asked.seed))
        return
    for file in asked.sweeps:
        for place, config in enumerate(candidates(file, asked.dataset)):
            if config.family not in asked.families:
                continue
            found = [_alone(asked, file, place, seed) for seed in range(asked.seeds)]
            seconds, epochs, best = zip(*found, strict=True)
            told = ", ".join(
                "not reached" if math.isinf(one) else f"{one:.0f} s" for one in seconds
            )
            print(
                f"{file.stem:18} {config.family:4} to {100 * GOALS[config.family]:.1f} %: median "
                f"{statistics.median(seconds):.0f} CPU s ({told}), epochs "
                f"{', '.join(map(str, epochs))} of {config.recipe.epochs}, best "
                f"{', '.join(f'{100 * one:.2f}' for one in best)} %",
                flush=True,
            )


def _alone(
    asked: argparse.Namespace, file: Path, place: int, seed: int
) -> tuple[float, int, float]:
    """Train in a process of its own, with a worker's environment."""
    words = [sys.executable, __file__, str(file), "--dataset", asked.dataset]
    words += ["--data-dir", str(asked.data_dir), "--place", str(place), "--seed", str(seed)]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    reached, epochs, best = done.stdout.split()
    return float(reached), int(epochs), float(best)


if __name__ == "__main__":
    main()
