"""How much hypervolume a candidate may add to a front, its costs being known.

The accuracy alone is uncertain. Over all accuracies from 0 to 1, what a candidate of known costs
adds grows piecewise linearly: between two neighbouring accuracies of the front's members it gains,
for each step of accuracy, the part of the box of costs behind it that no member of at least that
accuracy dominates. So its expectation is a sum of closed forms, exact for any number of costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgebench.report import hypervolume

Vector = npt.NDArray[np.float64]


def expected_gain(
    accuracies: Vector,
    costs: Vector,
    *,
    mean: Vector,
    deviation: Vector,
    asked: Vector,
    floor: float,
) -> Vector:
    """Return the hypervolume that each candidate is expected to add.

    Args:
        accuracies: Of the front's members ``[M]``.
        costs: Of the front's members ``[M, D]``, each scaled so that 1 is the reference.
        mean: Of the logarithm of each candidate's error ``[N]``, which is normal.
        deviation: Of the same ``[N]``.
        asked: The costs of each candidate ``[N, D]``.
        floor: The accuracy of the reference point.
    """
    steps = np.unique(np.clip(np.append(accuracies, [floor, 1.0]), floor, 1.0))
    above = np.stack([_above(level, mean, deviation) for level in steps])  # E[(accuracy - level)+]
    gain = np.zeros(len(mean))
    for index, low in enumerate(steps[:-1]):
        members = costs[accuracies > low]
        gain += _free(members, asked) * (above[index] - above[index + 1])
    return gain


def _above(level: float, mean: Vector, deviation: Vector) -> Vector:
    """Return E[(1 - e^Z - level)+] of normal Z: Black and Scholes's formula for a put."""
    if level >= 1.0:
        return np.zeros(len(mean))
    strike, deviation = 1 - level, np.maximum(deviation, 1e-9)
    d = (np.log(strike) - mean) / deviation
    found: Vector = strike * _normal(d) - np.exp(mean + deviation**2 / 2) * _normal(d - deviation)
    positive: Vector = np.maximum(found, 0.0)
    return positive


def _free(members: Vector, asked: Vector) -> Vector:
    """Return the volume of costs behind each candidate that no member dominates."""
    if asked.shape[1] == 0:  # nothing is paid: any better member takes it all
        return np.full(len(asked), float(len(members) == 0))
    if asked.shape[1] == 1:
        edge = min(1.0, members.min(initial=1.0))
        left: Vector = np.maximum(edge - asked[:, 0], 0.0)
        return left
    edge_point = [1.0] * asked.shape[1]
    found: list[float] = []
    for point in asked:
        whole = float(np.prod(np.maximum(1 - point, 0.0)))
        covered = hypervolume(_points(np.maximum(members, point)), edge_point) if whole else 0.0
        found.append(whole - covered)
    return np.array(found)


def _points(members: Vector) -> Sequence[Sequence[float]]:
    return [list(member) for member in members]


def _normal(values: Vector) -> Vector:
    """Return the standard normal distribution function."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in values])
