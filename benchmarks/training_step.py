"""What two settings are worth to a training step on a CPU: memory that is kept, a fused AdamW.

Run: python benchmarks/training_step.py
Last printed (2 cores, bfloat16, one thread, images per second of processor time):
    gap batch 32, defaults: 579 images/s, 236921 page faults
    gap batch 32, memory kept: 704 images/s, 2305 page faults
    gap batch 32, memory kept, fused: 696 images/s, 1280 page faults
    vgg batch 32, defaults: 337 images/s, 733506 page faults
    vgg batch 32, memory kept: 506 images/s, 1026 page faults
    vgg batch 32, memory kept, fused: 573 images/s, 1 page faults
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import torch
from torch.nn import functional

from edgebench.models import MODELS
from edgebench.search.pools.local import ENVIRONMENT


def rate(family: str, batch: int, *, fused: bool) -> str:
    """Train random images for a moment; return images per processor second and page faults."""
    torch.set_num_threads(1)
    model = MODELS[family]((3, 32, 32), 10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=fused)
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
    """Measure each network as PyTorch comes, with the worker's memory, and with the fused step."""
    if len(sys.argv) == 4:
        print(rate(sys.argv[1], int(sys.argv[2]), fused=sys.argv[3] == "fused"))
        return
    settings: tuple[tuple[str, dict[str, str], str], ...] = (
        ("defaults", {}, "unfused"),
        ("memory kept", ENVIRONMENT, "unfused"),
        ("memory kept, fused", ENVIRONMENT, "fused"),
    )
    for family in ("gap", "vgg"):
        for name, variables, step in settings:
            words = [sys.executable, __file__, family, "32", step]
            environment = os.environ | variables
            done = subprocess.run(
                words, env=environment, capture_output=True, text=True, check=True
            )
            print(f"{family} batch 32, {name}: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
