"""The range of every activation on calibration images: what its 256 int8 levels have to cover.

Three methods. ``minmax`` covers all values seen; ``percentile`` cuts the rarest values off both
ends; ``entropy`` picks the cut whose 256 levels lose the least information (Kullback-Leibler), as
proposed by S. Migacz, "8-bit inference with TensorRT", 2017. ONNX Runtime's own calibrators are not
used: they keep every activation of every image in memory, print, and at their defaults (128 bins,
128 levels) the entropy method has one candidate only and equals minmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError, unknown
from edgebench.export.inference import Images, intermediate_outputs

Method = Literal["minmax", "entropy", "percentile"]
METHODS: tuple[str, ...] = get_args(Method)
Ranges = dict[str, tuple[float, float]]  # tensor name -> (lowest, highest), 0 included
Histogram = npt.NDArray[np.int64]  # [BINS], equal bins from the lowest to the highest value

BINS = 4096  # of a histogram; the narrowest cut still has 2 bins a level
LEVELS = 256  # of int8
CLIPPED = 0.001  # the share of values that the entropy method may give up at most
BATCH = 32  # images a call: all activations of a batch are in memory at once


@dataclass(frozen=True)
class Calibration:
    """How the ranges are found: the method, and the share in per cent that ``percentile`` keeps."""

    method: Method = "minmax"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        """Refuse an unknown method and a share outside 50..100; raises EdgebenchError."""
        if self.method not in METHODS:
            raise EdgebenchError(unknown("calibration method", self.method, METHODS))
        if not 50 < self.percentile <= 100:
            close = 100.0 if self.percentile > 100 else 99.0
            raise EdgebenchError(
                f"the percentile must be above 50 and at most 100, but got {self.percentile}; "
                f"a valid choice is {close}"
            )


def ranges(model: onnx.ModelProto, images: Images, calibration: Calibration) -> Ranges:
    """Run float32 ``model`` on ``images`` ``[N, C, H, W]`` and return the range of each activation.

    Raises:
        EdgebenchError: an activation is NaN or infinite.
    """
    lowest: dict[str, float] = {}
    highest: dict[str, float] = {}
    for batch in intermediate_outputs(model, images, batch=BATCH):
        for name, values in batch.items():
            low, high = float(values.min()), float(values.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise EdgebenchError(
                    f"calibration met a value that is not finite in '{name}'; "
                    "the trained weights have diverged, so there is nothing to quantize"
                )
            lowest[name] = min(low, lowest.get(name, 0.0))
            highest[name] = max(high, highest.get(name, 0.0))
    full = {name: (lowest[name], highest[name]) for name in lowest}
    if calibration.method == "minmax":
        return full
    counts = _histograms(model, images, full)
    if calibration.method == "entropy":
        return {name: entropy_range(counts[name], *full[name]) for name in full}
    share = calibration.percentile / 100
    return {name: percentile_range(counts[name], *full[name], share) for name in full}


def percentile_range(
    counts: Histogram, low: float, high: float, share: float
) -> tuple[float, float]:
    """Return the narrowest bin edges with at most ``(1 - share) / 2`` of the values beyond each.

    ``counts`` has equal bins over ``[low, high]``; the result holds 0.
    """
    edges = np.linspace(low, high, len(counts) + 1)
    allowed = (1 - share) / 2 * int(counts.sum())
    below = np.concatenate([[0], np.cumsum(counts)])  # values under each edge
    above = int(counts.sum()) - below
    start = int(np.searchsorted(below, allowed, side="right")) - 1
    stop = int(np.argmax(above <= allowed))
    return min(float(edges[start]), 0.0), max(float(edges[stop]), 0.0)


def entropy_range(counts: Histogram, low: float, high: float) -> tuple[float, float]:
    """Return the cut ``[max(low, -t), min(high, t)]`` whose levels keep the most information.

    The values beyond a cut count as its ends, so a narrow cut pays for what it clips and a wide
    one for its coarse levels. At most ``CLIPPED`` of the values may lie beyond: where they crowd
    far from 0, the divergence of a cut that clips nearly all of them vanishes too. Ties go to the
    widest cut.
    """
    if high <= low:
        return low, high
    bins = len(counts)
    zero = round(-low / (high - low) * bins)
    best, kept = np.inf, (0, bins)
    for reach in np.linspace(max(zero, bins - zero), LEVELS, 128):
        start, stop = max(zero - round(reach), 0), min(zero + round(reach), bins)
        if counts[start:stop].sum() < (1 - CLIPPED) * counts.sum():
            break
        loss = _divergence(counts, start, stop)
        if loss < best:
            best, kept = loss, (start, stop)
    edges = np.linspace(low, high, bins + 1)
    return min(float(edges[kept[0]]), 0.0), max(float(edges[kept[1]]), 0.0)


def _divergence(counts: Histogram, start: int, stop: int) -> float:
    """Return KL(clipped values || their int8 levels) of ``counts[start:stop]``, in nats."""
    inside = counts[start:stop].astype(np.float64)
    clipped = inside.copy()
    clipped[0] += counts[:start].sum()
    clipped[-1] += counts[stop:].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)
    occupied = clipped > 0
    mass = np.bincount(level, weights=inside, minlength=LEVELS)
    width = np.bincount(level, weights=occupied, minlength=LEVELS)
    evened = mass[level][occupied] / width[level][occupied]
    seen = clipped[occupied] / clipped.sum()
    kept = np.maximum(evened, 1e-4)  # an end that only clipped values fill is nearly impossible
    return float(np.sum(seen * np.log(seen * kept.sum() / kept)))


def _histograms(model: onnx.ModelProto, images: Images, full: Ranges) -> dict[str, Histogram]:
    """Count the values of each activation in ``BINS`` equal bins over its full range."""
    counts = {name: np.zeros(BINS, np.int64) for name in full}
    for batch in intermediate_outputs(model, images, batch=BATCH):
        for name, values in batch.items():
            low, high = full[name]
            scale = BINS / (high - low) if high > low else 0.0
            place = ((values.ravel().astype(np.float64) - low) * scale).astype(np.int64)
            counts[name] += np.bincount(np.minimum(place, BINS - 1), minlength=BINS)
    return counts
