"""What a trial is worth beside busy processes, and two workers beside twice one.

A GAP network trains in processes with a worker's environment, batch 128, bfloat16. ``alone`` is one
worker with all cores; ``beside`` is the same with one process per core that never sleeps; ``one
core`` is one worker with one thread; ``each core`` is one such worker for every core at a time
(``--workers`` as many as cores), their rates added. All take turns, round after round; the ratios
are medians over the rounds.

Run: python benchmarks/beside.py [ROUNDS]
Last printed (2 cores, nothing else at work; in four runs more of that hour, of fewer rounds, one
worker beside others had 0.25 to 0.38 of alone. Other spin counts, time slices and threads bound to
cores, by copies of this file, gave 0.09 to 0.40):
    alone   2468 images/s, beside    830: 0.33 of alone
    one core   1376 images/s, each core   2669: 0.98 of 2 times one
    each core, beside   1364 images/s: 0.51 of alone
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time

from edgebench.search.pools.local import ENVIRONMENT

SECONDS = 2.0
BATCH = 128
CORES = len(os.sched_getaffinity(0))


def serve(threads: int) -> None:
    """Train for a moment each time a line comes in; print images a second of the clock."""
    import torch
    from quickening import step

    from edgebench.models import MODELS
    from edgebench.registry import bind
    from edgebench.training.quickening import quickened

    torch.set_num_threads(threads)
    model = MODELS["gap"]((3, 32, 32), 10, **bind(MODELS["gap"]))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lags
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    with quickened(model, torch.device("cpu"), watched=False):
        for _ in sys.stdin:
            begin, steps = time.perf_counter(), 0
            while time.perf_counter() - begin < SECONDS:
                step(model, optimizer, BATCH)
                steps += 1
            print(steps * BATCH / (time.perf_counter() - begin), flush=True)


def start(threads: int) -> subprocess.Popen[str]:
    """Start a worker; it waits to be asked."""
    return subprocess.Popen(
        [sys.executable, __file__, "serve", str(threads)],
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def rate(*workers: subprocess.Popen[str]) -> float:
    """Have ``workers`` train at the same time; return the sum of their images a second."""
    for worker in workers:
        assert worker.stdin is not None  # noqa: S101 - it was asked for
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return sum(float(one.stdout.readline()) for one in workers if one.stdout is not None)


def main() -> None:
    """Measure in turn and print the medians."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    wide, narrow = start(CORES), [start(1) for _ in range(CORES)]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    found: list[tuple[float, ...]] = []
    try:
        for one in busy:
            one.send_signal(signal.SIGSTOP)
        for worker in (wide, *narrow):
            rate(worker)  # warm-up
        for _ in range(rounds):
            alone = rate(wide)
            one_core, each_core = rate(narrow[0]), rate(*narrow)
            for one in busy:
                one.send_signal(signal.SIGCONT)
            beside, each_beside = rate(wide), rate(*narrow)
            for one in busy:
                one.send_signal(signal.SIGSTOP)
            found.append((alone, beside, one_core, each_core, each_beside))
    finally:
        for child in (wide, *narrow, *busy):
            child.kill()
    alone, beside, one, each, each_beside = map(statistics.median, zip(*found, strict=True))
    share = statistics.median(row[1] / row[0] for row in found)
    scaled = statistics.median(row[3] / row[2] for row in found) / CORES
    kept = statistics.median(row[4] / row[3] for row in found)
    print(f"alone {alone:6.0f} images/s, beside {beside:6.0f}: {share:.2f} of alone")
    print(f"one core {one:6.0f} images/s, each core {each:6.0f}: {scaled:.2f} of {CORES} times one")
    print(f"each core, beside {each_beside:6.0f} images/s: {kept:.2f} of alone")


if __name__ == "__main__":
    main()
