"""Where a training step on a CPU spends its time, operator by operator of PyTorch.

A step of bfloat16 and channels-last as `edgebench.training.train` takes it, one thread, a batch of
128 images of 32 x 32. Operators of a kind are added up; the shares are of the clock, so nothing
else should be at work.

With what `training` prints they say what is left to gain. Five times the textbook would be a step
of four fifths of ours, so that batch norms, pools and activations had to take a third of what they
take. PyTorch has no kernel on a CPU that does them in one pass over the memory; its convolutions
are oneDNN's.

Run: MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
     python benchmarks/operators.py [NETWORKS]
Last printed (nothing else at work):
    gap: convolutions 68 %, batch norms 15 %, max pools 12 %, activations 2 %, dense layers 0 %,
        optimizer 0 %, all else 4 %
    vgg: convolutions 56 %, batch norms 15 %, max pools 14 %, activations 1 %, dense layers 7 %,
        optimizer 2 %, all else 5 %
    resnet: convolutions 69 %, batch norms 19 %, max pools 0 %, activations 6 %, dense layers 0 %,
        optimizer 0 %, all else 6 %
    mobilenet_v2: convolutions 54 %, batch norms 29 %, max pools 0 %, activations 11 %, dense
        layers 0 %, optimizer 0 %, all else 6 %
"""

from __future__ import annotations

import sys

import torch
from quickening import step
from torch.profiler import ProfilerActivity, profile

from edgebench.models import MODELS
from edgebench.registry import bind
from edgebench.training.quickening import quickened

BATCH, STEPS = 128, 10
KINDS = {
    "convolutions": ("convolution",),
    "batch norms": ("batch_norm",),
    "max pools": ("max_pool", "fill_"),  # the gradient of a pool begins as zeros
    "activations": ("clamp", "threshold", "hardtanh"),
    "dense layers": ("aten::mm", "addmm"),
    "optimizer": ("adamw",),
}


def shares(network: str) -> dict[str, float]:
    """Return the share of a step that each kind of operator takes, and the rest."""
    model = MODELS[network]((3, 32, 32), 10, **bind(MODELS[network]))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lags
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    with quickened(model, torch.device("cpu"), watched=False):
        for _ in range(3):
            step(model, optimizer, BATCH)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            for _ in range(STEPS):
                step(model, optimizer, BATCH)
    spent = {one.key: one.self_cpu_time_total for one in seen.key_averages()}
    total = sum(spent.values())
    found = dict.fromkeys(KINDS, 0.0)
    for name, time in spent.items():
        for kind, words in KINDS.items():
            if any(word in name for word in words):
                found[kind] += time / total
                break
    return found | {"all else": 1 - sum(found.values())}


def main() -> None:
    """Print a line a network."""
    torch.set_num_threads(1)
    for network in (sys.argv[1] if sys.argv[1:] else "gap,vgg,resnet,mobilenet_v2").split(","):
        parts = [f"{kind} {100 * share:.0f} %" for kind, share in shares(network).items()]
        print(f"{network}: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
