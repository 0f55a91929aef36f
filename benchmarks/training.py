"""Images a second of training: the textbook pipeline beside edgebench's, phase by phase.

The textbook is what a tutorial has: a torchvision data set of PIL images, RandomCrop(4) and a
flip image by image, ToTensor, Normalize, a DataLoader, float32, AdamW. Ours is
`edgebench.training.train` as a worker runs it. Each measurement is a process of its own; all are
measured in turn, round after round, and the medians are set in relation to the textbook's of the
same network, batch and threads. One thread is counted in processor seconds, which a neighbour does
not change; two threads, and a GPU, by the clock.

``textbook, memory kept`` has the memory settings of a worker (`ENVIRONMENT` of the local pool), so
that what is left is the loop. ``fixed`` trains on one batch that already stands on the device,
without data or augmentation: what the hardware gives at most.

Run: python benchmarks/training.py [--device cuda] [--rounds 5] [--networks gap,vgg] [--batches 128]
     [--threads 1]
Last printed (medians of five rounds; of one thread beside another process, of two threads alone):
    gap, batch 32, 1 thread(s), cpu
      textbook                    410 images/s  x 1.00
      textbook, memory kept       516 images/s  x 1.22
      ours                       1236 images/s  x 2.98
      fixed                      1193 images/s  x 2.95
    gap, batch 128, 1 thread(s), cpu
      textbook                    329 images/s  x 1.00
      textbook, memory kept       500 images/s  x 1.51
      ours                       1245 images/s  x 3.72
      fixed                      1211 images/s  x 3.62
    gap, batch 128, 2 thread(s), cpu
      textbook                    584 images/s  x 1.00
      textbook, memory kept       892 images/s  x 1.60
      ours                       2335 images/s  x 4.00
      fixed                      2323 images/s  x 3.99
    vgg, batch 32, 1 thread(s), cpu
      textbook                    321 images/s  x 1.00
      textbook, memory kept       387 images/s  x 1.20
      ours                        921 images/s  x 2.87
      fixed                       918 images/s  x 2.91
    vgg, batch 128, 1 thread(s), cpu
      textbook                    282 images/s  x 1.00
      textbook, memory kept       424 images/s  x 1.52
      ours                       1133 images/s  x 3.97
      fixed                      1082 images/s  x 3.80
    vgg, batch 128, 2 thread(s), cpu
      textbook                    513 images/s  x 1.00
      textbook, memory kept       770 images/s  x 1.53
      ours                       2036 images/s  x 4.12
      fixed                      2022 images/s  x 3.98
    lenet5, batch 128, 1 thread(s), cpu
      textbook                   5470 images/s  x 1.00
      textbook, memory kept      5652 images/s  x 1.07
      ours                      10628 images/s  x 1.90
      fixed                     12939 images/s  x 2.20
An earlier round had edgebench at 175472e beside it: 2.99 before and 3.17 after (gap, batch 32),
3.46 and 3.68 (gap, 128), 4.89 and 5.14 times the textbook of that hour (vgg, 128).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from edgebench.data import Dataset, Split
from edgebench.models import MODELS
from edgebench.registry import bind
from edgebench.search.pools.local import ENVIRONMENT
from edgebench.training import Observer, Recipe, train

PIPELINES = {
    "textbook": {},
    "textbook, memory kept": ENVIRONMENT,
    "ours": ENVIRONMENT,
    "fixed": ENVIRONMENT,
}
PHASES = ("data", "forward", "backward", "optimizer")
NETWORKS = ("gap", "vgg", "mobilenet_v2", "lenet5")
WARM_UP = 3  # steps that are not counted
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Stopwatch:
    """Adds up the seconds of each phase, of the processor or of the clock."""

    def __init__(self, device: str, threads: int) -> None:
        self._device = device
        self._clock: Callable[[], float] = (
            time.process_time if threads == 1 and device == "cpu" else time.perf_counter
        )
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.steps = 0
        self._last = self._now()

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return self._clock()

    def end(self, phase: str) -> None:
        """Say that a phase ended now, and the next one begins."""
        now = self._now()
        if self.steps >= WARM_UP:
            self.seconds[phase] += now - self._last
        self._last = now
        self.steps += phase == "optimizer"


def images(count: int) -> np.ndarray:
    """Return random images uint8 ``[count, 32, 32, 3]``."""
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


def textbook(network: str, batch: int, steps: int, watch: Stopwatch, device: str) -> None:
    """Train as tutorials do."""
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import transforms

    change = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    class Pictures(torch.utils.data.Dataset[Any]):
        """PIL images, changed one by one."""

        def __init__(self) -> None:
            self.pictures = [Image.fromarray(one) for one in images(batch * steps)]

        def __len__(self) -> int:
            return len(self.pictures)

        def __getitem__(self, index: int) -> Any:
            return change(self.pictures[index]), index % 10

    model = MODELS[network]((3, 32, 32), 10, **bind(MODELS[network])).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-4)
    for pictures, classes in DataLoader(Pictures(), batch, shuffle=True):
        inputs, labels = pictures.to(device), classes.to(device)
        watch.end("data")
        loss = functional.cross_entropy(model(inputs), labels)
        watch.end("forward")
        optimizer.zero_grad()
        loss.backward()
        watch.end("backward")
        optimizer.step()
        watch.end("optimizer")


class Phases(Observer):
    """Times the phases of a step from outside: hooks of the model and of the optimizer.

    It does not watch the steps themselves: training is quicker where nobody does.
    """

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def on_start(self, model: nn.Module, dataset: Dataset, recipe: Recipe) -> None:
        """Hear when a forward pass in training begins and ends."""
        del dataset, recipe
        model.register_forward_pre_hook(lambda one, _: self._said(one, "data"))
        model.register_forward_hook(lambda one, *_: self._said(one, "forward"))
        register_optimizer_step_pre_hook(lambda *_: self.watch.end("backward"))
        register_optimizer_step_post_hook(lambda *_: self.watch.end("optimizer"))

    def _said(self, model: nn.Module, phase: str) -> None:
        if model.training:
            self.watch.end(phase)


def ours(network: str, batch: int, steps: int, watch: Stopwatch, device: str) -> None:
    """Train as a worker does; the validation split is one batch of ten images."""
    pixels = torch.from_numpy(images(batch * steps)).permute(0, 3, 1, 2).contiguous()
    whole = Split(pixels, torch.arange(len(pixels)) % 10)
    few = whole[torch.arange(10)]
    dataset = Dataset("random", whole, few, few, tuple("abcdefghij"), "flip+crop")
    model = MODELS[network]((3, 32, 32), 10, **bind(MODELS[network]))
    recipe = Recipe(**bind(Recipe, {"epochs": 1, "batch_size": batch}))
    train(model, dataset, recipe, device=torch.device(device), seed=0, observers=[Phases(watch)])


def fixed(network: str, batch: int, steps: int, watch: Stopwatch, device: str) -> None:
    """Train on one batch, again and again, in bfloat16 and channels-last."""
    order = torch.channels_last
    model = MODELS[network]((3, 32, 32), 10, **bind(MODELS[network])).to(device)
    model.to(memory_format=order)  # type: ignore[call-overload]  # stub lags
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    inputs = torch.randn(batch, 3, 32, 32, device=device).to(memory_format=order)
    labels = torch.arange(batch, device=device) % 10
    for _ in range(steps):
        watch.end("data")
        with torch.autocast(device, torch.bfloat16):
            logits = model(inputs)
        loss = functional.cross_entropy(logits.float(), labels)
        watch.end("forward")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        watch.end("backward")
        optimizer.step()
        watch.end("optimizer")


LOOPS = {"textbook": textbook, "textbook, memory kept": textbook, "ours": ours, "fixed": fixed}


def measure(pipeline: str, network: str, batch: int, threads: int, device: str) -> None:
    """Measure in this process; print images a second, and seconds by phase, as JSON."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    steps = WARM_UP + max(6, (40_000 if device == "cuda" else 1_500) // batch)
    watch = Stopwatch(device, threads)
    LOOPS[pipeline](network, batch, steps, watch, device)
    counted = watch.steps - WARM_UP
    total = sum(watch.seconds.values())
    by_phase = {name: 1e3 * seconds / counted for name, seconds in watch.seconds.items()}
    print(json.dumps({"rate": counted * batch / total, "ms": by_phase}))


def once(pipeline: str, *words: object) -> dict[str, Any]:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", pipeline, *map(str, words)],
        env={**os.environ, **PIPELINES[pipeline]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(rounds: int, *words: object) -> Iterator[str]:
    """Yield a line for each pipeline: medians of the rounds, the ratio to the textbook."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in PIPELINES}
    for _ in range(rounds):
        for name in PIPELINES:
            found[name].append(once(name, *words))
    base = [one["rate"] for one in found["textbook"]]
    for name, results in found.items():
        rates = [one["rate"] for one in results]
        ratio = statistics.median(rate / other for rate, other in zip(rates, base, strict=True))
        phases = "  ".join(
            f"{phase} {statistics.median(one['ms'][phase] for one in results):7.2f}"
            for phase in PHASES
        )
        yield f"  {name:<22} {statistics.median(rates):8.0f} images/s  x{ratio:5.2f}   {phases} ms"


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--one"]:
        pipeline, network, batch, threads, device = sys.argv[2:]
        measure(pipeline, network, int(batch), int(threads), device)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batches", default="32,128,512")
    parser.add_argument("--threads", default="1,2")
    asked = parser.parse_args()
    for network in asked.networks.split(","):
        for batch in asked.batches.split(","):
            for threads in asked.threads.split(",") if asked.device == "cpu" else ["1"]:
                print(f"{network}, batch {batch}, {threads} thread(s), {asked.device}", flush=True)
                for line in rows(asked.rounds, network, batch, threads, asked.device):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
