"""What threads that spin cost a training process beside a busy one, and what waiting costs alone.

PyTorch's threads (libgomp) spin while they wait for each other. Where a core is shared with another
process, a thread spins for one that is not running. Each setting trains in a process of its own;
all are measured in turn, alone and beside a process that never sleeps, and the medians of the
rounds are set in relation to the first setting alone.

Run: python benchmarks/spinning.py
Last printed (2 cores, float32, two threads; other processes kept about two more cores wanted
throughout, so that "alone" is what a shared machine gives):
    alone:
        as it comes                 225 images/s (1.00),    345 per CPU s
        GOMP_SPINCOUNT=0            427 images/s (1.90),    746 per CPU s
        GOMP_SPINCOUNT=1000         460 images/s (2.05),    805 per CPU s
        OMP_WAIT_POLICY=passive     418 images/s (1.86),    729 per CPU s
        KMP_BLOCKTIME=0             289 images/s (1.29),    452 per CPU s
    beside a busy process:
        as it comes                 112 images/s (0.50),    269 per CPU s
        GOMP_SPINCOUNT=0            334 images/s (1.49),    733 per CPU s
        GOMP_SPINCOUNT=1000         322 images/s (1.43),    773 per CPU s
        OMP_WAIT_POLICY=passive     326 images/s (1.45),    696 per CPU s
        KMP_BLOCKTIME=0             133 images/s (0.59),    309 per CPU s
KMP_BLOCKTIME is Intel's runtime's and does nothing to libgomp: it shows the noise.
"""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import subprocess
import sys
import time

SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "GOMP_SPINCOUNT=0": {"GOMP_SPINCOUNT": "0"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "KMP_BLOCKTIME=0": {"KMP_BLOCKTIME": "0"},
}
ROUNDS = 7
SECONDS = 1.5
BATCH = 128


def serve() -> None:
    """Train a GAP network for a moment each time a line comes in; print images a second."""
    import torch

    from edgebench.models import MODELS

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    model = MODELS["gap"]((3, 32, 32), 10, width=32).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))
    for _ in sys.stdin:
        begin, used, steps = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < SECONDS:
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            steps += 1
        seconds, cpu = time.perf_counter() - begin, time.process_time() - used
        print(steps * BATCH / seconds, steps * BATCH / cpu, flush=True)


def start(variables: dict[str, str]) -> subprocess.Popen[str]:
    """Start a training process with environment ``variables``; it waits to be asked."""
    return subprocess.Popen(
        [sys.executable, __file__, "serve"],
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Have it train for a moment; return images a second of the clock and of processor time."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - the same
    process.stdin.write("go\n")
    process.stdin.flush()
    clock, cpu = map(float, process.stdout.readline().split())
    return clock, cpu


def main() -> None:
    """Measure every setting in turn and print the medians."""
    if sys.argv[1:] == ["serve"]:
        serve()
        return
    processes = {name: start(variables) for name, variables in SETTINGS.items()}
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    busy.send_signal(signal.SIGSTOP)
    found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    try:
        for process in processes.values():
            ask(process)  # warm-up
        for beside, _, (name, process) in itertools.product(
            (False, True), range(ROUNDS), processes.items()
        ):
            busy.send_signal(signal.SIGCONT if beside else signal.SIGSTOP)
            found.setdefault((name, beside), []).append(ask(process))
    finally:
        for child in (busy, *processes.values()):
            child.kill()
    base = statistics.median(clock for clock, _ in found["as it comes", False])
    for beside in (False, True):
        print("beside a busy process:" if beside else "alone:")
        for name in SETTINGS:
            clock, cpu = (statistics.median(one) for one in zip(*found[name, beside], strict=True))
            print(f"    {name:24} {clock:6.0f} images/s ({clock / base:.2f}), {cpu:6.0f} per CPU s")


if __name__ == "__main__":
    main()
