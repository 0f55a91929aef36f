"""What keeping freed memory is worth to a training step on a CPU, by the worker's own settings.

Run: python benchmarks/allocator.py
Last printed (2 cores, bfloat16, one thread, images per second of processor time):
    gap batch 32, defaults: 611 images/s, 187007 page faults
    gap batch 32, worker: 707 images/s, 1024 page faults
    vgg batch 32, defaults: 361 images/s, 668993 page faults
    vgg batch 32, worker: 509 images/s, 4097 page faults
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import torch
from torch.nn import functional

from edgebench.models import MODELS
from edgebench.worker import _ALLOCATOR


def rate(family: str, batch: int) -> str:
    """Train random images for a moment; return images per processor second and page faults."""
    torch.set_num_threads(1)
    model = MODELS[family]((3, 32, 32), 10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))
    steps = max(8, 1500 // batch)
    for step in range(5 + steps):
        if step == 5:
            before = resource.getrusage(resource.RUSAGE_SELF)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return f"{steps * batch / spent:.0f} images/s, {after.ru_minflt - before.ru_minflt} page faults"


def main() -> None:
    """Measure each network with the C library's defaults and with the worker's settings."""
    if len(sys.argv) == 3:
        print(rate(sys.argv[1], int(sys.argv[2])))
        return
    for family in MODELS:
        for name, settings in (("defaults", {}), ("worker", _ALLOCATOR)):
            words = [sys.executable, __file__, family, "32"]
            environment = os.environ | settings
            done = subprocess.run(
                words, env=environment, capture_output=True, text=True, check=True
            )
            print(f"{family} batch 32, {name}: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
