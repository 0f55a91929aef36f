"""How long the host takes for one image: a figure about this computer, not about a device."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass

import numpy as np
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.inference import session

WARM = 20  # runs before the clock starts
RUNS = 200


@dataclass(frozen=True)
class HostLatency:
    """Milliseconds an image on the host's CPU at batch 1, one thread, warm."""

    median_ms: float
    p95_ms: float
    runs: int
    processor: str
    runtime: str


def host_latency(model: onnx.ModelProto, *, runs: int = RUNS) -> HostLatency:
    """Time ``runs`` single images of zeros on one thread, after ``WARM`` runs that do not count.

    Raises:
        EdgebenchError: fewer than 1 run, not exactly one input, or a shape that is open beyond the
            batch.
    """
    import onnxruntime as ort

    if runs < 1:
        raise EdgebenchError(f"a median needs at least 1 run, but got {runs}")
    running = session(model, threads=1, faithful=False)
    if len(running.get_inputs()) != 1:
        names = ", ".join(one.name for one in running.get_inputs())
        raise EdgebenchError(f"the model must have one input, but it has: {names}")
    source = running.get_inputs()[0]
    shape = [1, *source.shape[1:]]
    if not all(isinstance(size, int) for size in shape) or source.type != "tensor(float)":
        raise EdgebenchError(
            f"the input '{source.name}' must be float32 with a fixed image size, "
            f"but it is {source.type} {source.shape}"
        )
    image = {source.name: np.zeros(shape, np.float32)}
    elapsed = []
    for _ in range(WARM + runs):
        start = time.perf_counter()
        running.run(None, image)
        elapsed.append(1000 * (time.perf_counter() - start))
    counted = elapsed[WARM:]
    return HostLatency(
        float(np.median(counted)),
        float(np.percentile(counted, 95)),
        runs,
        platform.processor() or platform.machine(),
        f"ONNX Runtime {ort.__version__}",
    )
