"""Record the table that strategies are compared on: every admitted configuration, trained once.

Each configuration of ``fashion.yaml`` that the gate admits is built and trained by the package's
own code, one after the other on one thread of one process, so that no start-up is counted. A line
of JSON each is appended to ``fashion.jsonl``: the axes, the gate's figures, the metrics and the
seconds of every epoch (training and validation), or why training failed. The order is random, so
that a part of the table is a fair sample of it. The same command goes on where it was cut off, and
ends by writing ``fashion.jsonl.gz``, the table that ``compare.py`` reads.

    OMP_NUM_THREADS=1 python benchmarks/search/record.py --dataset folder:DIR
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgebench import space, trial
from edgebench.space import Sweep, TrialConfig
from edgebench.training import Observer, TrainingFailed, choose_device, environment, train

HERE = Path(__file__).parent
CURVE = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


class Clock(Observer):
    """The seconds of each epoch: its steps, its validation and its bookkeeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_start(self, *_: object) -> None:
        """Begin the first epoch."""
        self._since = time.perf_counter()

    def on_epoch(self, *_: object) -> None:
        """End an epoch and begin the next."""
        now = time.perf_counter()
        self.seconds.append(round(now - self._since, 4))
        self._since = now


def recorded(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a table that may have been cut off in the last."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


def candidates(sweep: Sweep, shape: tuple[int, int, int], classes: int) -> list[Any]:
    """Return the admitted configurations with what the gate measured, in random order."""
    gates: dict[str, trial.Gate] = {}
    found = []
    for config in sweep.configurations() or []:
        model = json.dumps([config.family, config.model_options], sort_keys=True)
        if model not in gates:
            gates[model] = trial.gate(config, sweep.budget, shape, classes)
        if gates[model].refusal is None:
            found.append((config, gates[model]))
    random.Random(0).shuffle(found)  # noqa: S311 - no secret
    return found


def trained(config: TrialConfig, gate: trial.Gate, data_dir: Path) -> dict[str, Any]:
    """Train one configuration and return its line."""
    dataset = trial.dataset_of(config, data_dir)
    model = trial.build(config, dataset.input_shape, len(dataset.classes))
    trial.fit_input(model, dataset)
    clock, failure = Clock(), None
    curve: tuple[Mapping[str, float], ...] = ()
    try:
        training = train(
            model, dataset, config.recipe, device=choose_device("cpu"), seed=config.seed,
            observers=[clock],
        )  # fmt: skip
        curve = training.curve
    except TrainingFailed as error:
        failure = str(error)
    return {
        "params": dict(config.params),
        "footprint": {name: value for name, value in gate.metrics.items() if "upper" not in name},
        "usage": dict(gate.usage),
        "curve": [[round(epoch[name], 5) for name in CURVE] for epoch in curve],
        "seconds": clock.seconds,
        "failure": failure,
    }


def pack(path: Path) -> Path:
    """Compress the table, the same bytes for the same lines."""
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return packed


def main() -> None:
    """Record what is left of the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=HERE / "fashion.jsonl")
    parser.add_argument("--most", type=int, help="Stop after so many configurations.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sweep = space.load(HERE / "fashion.yaml", {"dataset": asked.dataset})
    dataset = trial.dataset_of(sweep.first(), asked.data_dir)
    found = candidates(sweep, dataset.input_shape, len(dataset.classes))
    lines = recorded(asked.out)
    done = {json.dumps(line["params"], sort_keys=True) for line in lines if "params" in line}
    with asked.out.open("w", encoding="utf-8") as file:  # without a line that was cut off
        facts = {
            "dataset": dataset.name,
            "digest": dataset.digest,
            "sizes": dataset.sizes,
            "input_shape": dataset.input_shape,
            "classes": dataset.classes,
            "curve": CURVE,
            "environment": environment(choose_device("cpu")),
        }
        for line in lines or [facts]:
            file.write(json.dumps(line) + "\n")
        file.flush()
        left = [one for one in found if json.dumps(dict(one[0].params), sort_keys=True) not in done]
        warm_up = left[:1]
        for number, (config, gate) in enumerate([*warm_up, *left[: asked.most]]):
            line = trained(config, gate, asked.data_dir)
            if number < len(warm_up):
                continue  # the process's first training also loads kernels
            file.write(json.dumps(line) + "\n")
            file.flush()
            best = max((epoch[3] for epoch in line["curve"]), default=0.0)
            print(f"{len(done) + number}/{len(found)} {config.label(sweep.varied)} {best:.4f} "
                  f"{sum(line['seconds']):.1f} s", flush=True)  # fmt: skip
    print(f"{pack(asked.out)}: {pack(asked.out).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
