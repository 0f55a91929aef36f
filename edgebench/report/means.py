"""How sure a mean over training seeds is: Student's interval, and Welch's test for ties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 97.5 % quantile of Student's t at 1 to 30 degrees of freedom.

Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
"""


@dataclass(frozen=True)
class Mean:
    """The mean of ``count`` values with its 95 % interval; None where one value tells no spread."""

    mean: float
    low: float | None
    high: float | None
    count: int


def quantile(freedom: float) -> float:
    """Return t for a two-sided 95 % interval, rounded up to what `T_95` lists.

    Between two degrees of freedom and beyond 30 the larger t is taken: the interval errs to wide.
    """
    return T_95[min(int(freedom), len(T_95)) - 1]


def student(values: Sequence[float], *, share: bool = True) -> Mean:
    """Return the mean of ``values`` and its interval mean ± t · s / √n; a ``share``'s is in 0..1.

    Raises:
        statistics.StatisticsError: There are none.
    """
    mean, count = fmean(values), len(values)
    if count == 1:
        return Mean(mean, None, None, count)
    half = quantile(count - 1) * math.sqrt(variance(values) / count)
    low, high = mean - half, mean + half
    return (
        Mean(mean, max(0.0, low), min(1.0, high), count) if share else Mean(mean, low, high, count)
    )


def welch_tied(mine: Sequence[float], theirs: Sequence[float]) -> bool | None:
    """Tell whether the 95 % interval of the difference of two means includes zero.

    The spreads may differ (Welch, Biometrika 34, 1947). None where a side has fewer than two
    values.
    """
    if min(len(mine), len(theirs)) < 2:
        return None
    a, b = variance(mine) / len(mine), variance(theirs) / len(theirs)
    difference = abs(fmean(mine) - fmean(theirs))
    if a + b == 0:
        return difference == 0
    # (a + b)² / (a²/(n-1) + b²/(m-1)) in parts of a + b: tiny variances would underflow.
    x, y = a / (a + b), b / (a + b)
    freedom = 1 / (x * x / (len(mine) - 1) + y * y / (len(theirs) - 1))
    return difference <= quantile(freedom) * math.sqrt(a + b)
