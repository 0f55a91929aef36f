"""What a candidate may reach, by what the study has seen: a Gaussian process over its trials.

The footprint of a candidate is known before it is trained and says much of its accuracy: it is part
of what the process sees, beside the axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgebench.record import Scalar
from edgebench.search.gaussian_process import GaussianProcess
from edgebench.space import Axis

Vector = npt.NDArray[np.float64]
FIGURES = ("footprint/macs", "footprint/parameters", "footprint/activations_bytes")
"""What is known of a network before it is trained; each is seen by its logarithm."""
CHANCE = 0.02
"""The deviation of an error's logarithm by the seed alone."""
SLOPES_HELD = 0.1


@dataclass(frozen=True)
class Candidate:
    """A configuration with its footprint."""

    params: Mapping[str, Scalar]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Expected:
    """What candidates may reach: the logarithm of their error is normal.

    ``seconds`` are a guess at those of an epoch.
    """

    mean: Vector
    deviation: Vector
    seconds: Vector


@dataclass(frozen=True)
class Seen:
    """A candidate that was trained, in whole or in part.

    ``error`` is the logarithm of the error that it ends with, ``doubt`` the deviation of that;
    ``seconds`` are those of an epoch.
    """

    candidate: Candidate
    error: float
    doubt: float
    seconds: float


class Surrogate:
    """The accuracy and the training time of candidates, learned from those that were trained."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._axes = [axis for axis in axes if len(axis.choices() or (1, 2)) > 1]
        self._process = GaussianProcess()

    def expect(self, seen: Sequence[Seen], asked: Sequence[Candidate]) -> Expected:
        """Return what ``asked`` may reach; one that was seen in part may be among them."""
        points = self.features([*(one.candidate for one in seen), *asked])
        known, new = points[: len(seen)], points[len(seen) :]
        doubt = np.array([one.doubt for one in seen])
        self._process.fit(known, np.array([one.error for one in seen]), doubt**2)
        mean, deviation = self._process.predict(new)
        times = np.log([max(one.seconds, 1e-3) for one in seen])
        return Expected(mean, np.hypot(deviation, CHANCE), np.exp(_ridge(known, times, new)))

    def features(self, candidates: Sequence[Candidate]) -> Vector:
        """Return candidates x features, each from 0 to 1 over these candidates."""
        columns = [[_known(one.metrics.get(name)) for one in candidates] for name in FIGURES]
        for axis in self._axes:
            values = [one.params.get(axis.name) for one in candidates]
            numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
            if len(numbers) == sum(value is not None for value in values):
                columns.append(_scale(values, numbers))
            else:
                columns += [
                    [float(value == choice) for value in values] for choice in axis.choices() or ()
                ]
        table = np.array(columns, dtype=float).T
        missing = np.isnan(table)
        low = np.where(missing, np.inf, table).min(axis=0)
        span = np.where(missing, -np.inf, table).max(axis=0) - low
        unit = (table - low) / np.where(span > 0, span, 1.0)
        return np.where(missing, 0.5, unit)


def _ridge(known: Vector, targets: Vector, new: Vector) -> Vector:
    """Return a line through targets at new points, its slopes held small."""
    middle = known.mean(axis=0)
    apart = known - middle
    normal = apart.T @ apart + SLOPES_HELD * np.eye(apart.shape[1])
    slopes = np.linalg.solve(normal, apart.T @ (targets - targets.mean()))
    found: Vector = targets.mean() + (new - middle) @ slopes
    return found


def _known(figure: float | None) -> float:
    return math.nan if figure is None else math.log(max(figure, 1.0))


def _scale(values: Sequence[Scalar | None], numbers: Sequence[float]) -> list[float]:
    """Return numbers as they are, or their logarithms where they span more than a factor of 4."""
    wide = min(numbers) > 0 and max(numbers) / min(numbers) >= 4
    turned = math.log if wide else float
    return [math.nan if value is None else turned(float(value)) for value in values]
