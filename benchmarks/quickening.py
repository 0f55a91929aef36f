"""What each change of `edgebench.training.quickening` is worth to a training step on a CPU.

A step of bfloat16 and channels-last, as `edgebench.training.train` takes it, with the network as it
is built and quickened (but for ``order alone``: pools ahead of ReLU and nothing else). Blocks of
steps alternate in one process; the ratio is the median over the pairs, in processor seconds of one
thread, so that a neighbour changes little.

Run: MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
     python benchmarks/quickening.py [NETWORKS [BATCHES]]
Last printed (2 cores shared with others, load 5 to 9):
    gap           batch  32:    28.9 ms, quickened    27.2 ms, x1.047
    gap           batch 128:   112.3 ms, quickened   106.1 ms, x1.059
    vgg           batch  32:    38.0 ms, quickened    36.8 ms, x1.051
    vgg           batch 128:   126.6 ms, quickened   119.9 ms, x1.056
    mobilenet     batch  32:   163.7 ms, quickened    77.1 ms, x2.141
    mobilenet     batch 128:   600.7 ms, quickened   258.5 ms, x2.287
    mobilenet_v2  batch  32:   310.0 ms, quickened   184.1 ms, x1.677
    mobilenet_v2  batch 128:  1206.9 ms, quickened   677.6 ms, x1.762
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from edgebench.models import MODELS
from edgebench.registry import bind
from edgebench.training.quickening import quickened

PAIRS = 9
BLOCK = 0.3  # seconds of a block of steps, about


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: int) -> None:
    """Change the weights once, for images that are all the same."""
    images = torch.full((batch, 3, 32, 32), 0.5).to(memory_format=torch.channels_last)
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    functional.cross_entropy(logits.float(), torch.arange(batch) % 10).backward()
    optimizer.step()


def seconds(work: Callable[[], None], count: int) -> float:
    """Return the processor seconds of one of ``count`` calls."""
    before = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - before) / count


def compare(network: str, batch: int) -> str:
    """Return milliseconds of a step as built and quickened, and the ratio."""
    torch.manual_seed(0)
    model = MODELS[network]((3, 32, 32), 10, **bind(MODELS[network]))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lags
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    work = partial(step, model, optimizer, batch)
    ways: tuple[Callable[[], AbstractContextManager[None]], ...] = (
        nullcontext,
        lambda: quickened(model, torch.device("cpu"), watched=False),
    )
    for way in ways:
        with way():
            seconds(work, 2)
    count = max(1, round(BLOCK / seconds(work, 2)))
    pairs = []
    for _ in range(PAIRS):
        pair = []
        for way in ways:
            with way():
                pair.append(1e3 * seconds(work, count))
        pairs.append(pair)
    built, quick = (statistics.median(one) for one in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return f"{network:13} batch {batch:3}: {built:7.1f} ms, quickened {quick:7.1f} ms, x{ratio:.3f}"


def main() -> None:
    """Print a line for each network and batch."""
    networks = sys.argv[1] if len(sys.argv) > 1 else "gap,vgg,mobilenet,mobilenet_v2,lenet5"
    batches = sys.argv[2] if len(sys.argv) > 2 else "32,128"
    torch.set_num_threads(1)
    for network in networks.split(","):
        for batch in batches.split(","):
            print(compare(network, int(batch)), flush=True)


if __name__ == "__main__":
    main()
