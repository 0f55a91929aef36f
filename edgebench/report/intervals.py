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


def tied(share: float, other: float, images: int, confidence: float = 0.95) -> bool:
    """Tell whether two accuracies on ``images`` images are too close to call.

    They are when the lower one lies inside the Wilson interval of the higher one.
    """
    low, _ = wilson(max(share, other), images, confidence)
    return min(share, other) >= low
