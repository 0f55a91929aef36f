"""How sure an accuracy is: intervals of a share, and ties."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(share: float, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of ``share`` correct among ``images``.

    Formula: Wilson, JASA 22 (1927). Unlike the normal interval it stays inside [0, 1] and is not
    empty at 0 or 1.
    """
    if images <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = 1 + z * z / images
    centre = (share + z * z / (2 * images)) / spread
    half = z / spread * math.sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)


FEW_POINTS = 0.05
"""An accuracy that is less sure than this, to either side, is not compared without a warning."""


def too_few(images: int, split: str = "validation") -> str | None:
    """Say that a split is too small for the differences that are sought in it, or None.

    Judged at an accuracy of 90 %, by half its Wilson interval.
    """
    low, high = wilson(0.9, images)
    if high - low <= 2 * FEW_POINTS:
        return None
    return (
        f"The {split} split has {images} images: an accuracy of 90 % on it is known to between "
        f"{100 * low:.1f} and {100 * high:.1f} %. More images, a larger data.validation_share or "
        "data.folds make it surer."
    )


def tied(share: float, other: float, images: int, confidence: float = 0.95) -> bool:
    """Tell whether two accuracies on ``images`` images are too close to call.

    They are when the lower one lies inside the Wilson interval of the higher one.
    """
    low, _ = wilson(max(share, other), images, confidence)
    return min(share, other) >= low
