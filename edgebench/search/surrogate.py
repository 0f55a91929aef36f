"""What a candidate may reach, by what the study has seen: a Gaussian process over its trials.

The footprint of a candidate is known before it is trained and says much of its accuracy: it is part
of what the process sees, beside the axes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import Ridge

from edgebench.record import Scalar
from edgebench.space import Axis

Vector = npt.NDArray[np.float64]
FIGURES = ("footprint/macs", "footprint/parameters", "footprint/activations_bytes")
"""What is known of a network before it is trained; each is seen by its logarithm."""
SMALLEST_ERROR = 1e-3


@dataclass(frozen=True)
class Candidate:
    """A configuration with its footprint."""

    params: Mapping[str, Scalar]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Expected:
    """What candidates may reach: the logarithm of their error is normal; seconds are a guess."""

    mean: Vector
    deviation: Vector
    seconds: Vector


class Surrogate:
    """The accuracy and the training time of candidates, learned from those that were trained."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._axes = [axis for axis in axes if len(axis.choices() or (1, 2)) > 1]

    def expect(
        self,
        seen: Sequence[Candidate],
        accuracy: Sequence[float],
        seconds: Sequence[float],
        asked: Sequence[Candidate],
    ) -> Expected:
        """Return what ``asked`` may reach, where ``seen`` reached ``accuracy`` in ``seconds``."""
        points = self.features([*seen, *asked])
        known, new = points[: len(seen)], points[len(seen) :]
        errors = np.log(np.maximum(1 - np.asarray(accuracy), SMALLEST_ERROR))
        kernel = ConstantKernel(1.0, (0.1, 10.0)) * Matern(
            np.ones(points.shape[1]), (0.2, 20.0), nu=2.5
        ) + WhiteKernel(0.05, (1e-3, 0.5))
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is fine
            process.fit(known, errors)
        mean, deviation = process.predict(new, return_std=True)
        times = Ridge(alpha=0.1).fit(known, np.log(np.maximum(seconds, 1e-3)))
        return Expected(mean, deviation, np.exp(times.predict(new)))

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
        table = table[:, ~np.isnan(table).all(axis=0)]
        low, span = np.nanmin(table, axis=0), np.nanmax(table, axis=0) - np.nanmin(table, axis=0)
        unit = (table - low) / np.where(span > 0, span, 1.0)
        return np.where(np.isnan(unit), 0.5, unit)[:, span > 0]


def _known(figure: float | None) -> float:
    return math.nan if figure is None else math.log(max(figure, 1.0))


def _scale(values: Sequence[Scalar | None], numbers: Sequence[float]) -> list[float]:
    """Return numbers as they are, or their logarithms where they span more than a factor of 4."""
    wide = min(numbers) > 0 and max(numbers) / min(numbers) >= 4
    turned = math.log if wide else float
    return [math.nan if value is None else turned(float(value)) for value in values]
