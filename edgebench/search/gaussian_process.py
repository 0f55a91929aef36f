"""A Gaussian process over a few dozen trials, some known less exactly than others.

Its kernel is Matern's of smoothness 5/2 with a length for each feature (Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, equation 4.17). Lengths, amplitude and noise are the
most probable ones under weak priors: with a handful of trials the likelihood alone says little.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve  # type: ignore[import-untyped]  # no stubs
from scipy.optimize import minimize  # type: ignore[import-untyped]  # no stubs

Vector = npt.NDArray[np.float64]
STEPS = 15
"""Steps of the search for the parameters, which begins where the last one ended."""
BOUND = 5.0
"""Of the logarithms of the parameters."""
AMPLITUDE, LENGTH, NOISE = (0.0, 1.0), (0.7, 1.0), (-2.3, 1.0)
"""Mean and deviation of the prior of each logarithm; targets have a deviation of 1."""
JITTER = 1e-6


@dataclass
class GaussianProcess:
    """Expects targets of points in the unit cube; `fit` it to those that are known.

    ``_parameters`` are logarithms: the amplitude, a length for each feature, the noise.
    """

    _parameters: Vector = field(default_factory=lambda: np.zeros(0))

    def fit(self, points: Vector, targets: Vector, variance: Vector) -> None:
        """Learn from points ``[N, D]``, whose targets have a variance of their own ``[N]``."""
        self._mean = float(targets.mean())
        self._scale = max(float(targets.std()), 0.05)
        known = (targets - self._mean) / self._scale
        doubt = variance / self._scale**2
        places = [AMPLITUDE, *[LENGTH] * points.shape[1], NOISE]
        self._prior = np.array(places).T
        if len(self._parameters) != len(places):
            self._parameters = self._prior[0].copy()
        squares = (points[:, None] - points[None]) ** 2
        found = minimize(
            self._loss,
            self._parameters,
            args=(squares, known, doubt),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-BOUND, BOUND)] * len(places),
            options={"maxiter": STEPS},
        )
        self._parameters = found.x
        self._points = points
        covariance, _, _ = self._covariance(squares)
        self._factor = cho_factor(covariance + np.diag(self._noise(doubt)), lower=True)
        self._weights = cho_solve(self._factor, known)

    def predict(self, points: Vector) -> tuple[Vector, Vector]:
        """Return mean and deviation of the target at points ``[M, D]``, without its noise."""
        across, _, _ = self._covariance((points[:, None] - self._points[None]) ** 2)
        explained = np.einsum("mn,nm->m", across, cho_solve(self._factor, across.T))
        left = np.maximum(np.exp(2 * self._parameters[0]) - explained, 1e-10)
        return across @ self._weights * self._scale + self._mean, np.sqrt(left) * self._scale

    def _covariance(self, squares: Vector) -> tuple[Vector, Vector, Vector]:
        """Return the kernel of squared differences ``[.., D]``, its slope, and scaled squares."""
        scaled = squares / np.exp(2 * self._parameters[1:-1])
        distance = np.sqrt(5 * scaled.sum(axis=-1))
        fading = np.exp(2 * self._parameters[0] - distance)
        return fading * (1 + distance + distance**2 / 3), 5 / 3 * fading * (1 + distance), scaled

    def _noise(self, doubt: Vector) -> Vector:
        noise: Vector = doubt + np.exp(2 * self._parameters[-1]) + JITTER
        return noise

    def _loss(
        self, parameters: Vector, squares: Vector, known: Vector, doubt: Vector
    ) -> tuple[float, Vector]:
        """Return the negative logarithm of the posterior and its gradient (equation 5.9)."""
        self._parameters = parameters
        covariance, slope, scaled = self._covariance(squares)
        factor = cho_factor(covariance + np.diag(self._noise(doubt)), lower=True)
        weights = cho_solve(factor, known)
        loss = 0.5 * known @ weights + np.log(np.diag(factor[0])).sum()
        pull = 0.5 * (cho_solve(factor, np.eye(len(known))) - np.outer(weights, weights))
        gradient = np.array(
            [
                2 * (pull * covariance).sum(),
                *np.einsum("ij,ij,ijd->d", pull, slope, scaled),
                2 * np.exp(2 * parameters[-1]) * np.trace(pull),
            ]
        )
        mean, deviation = self._prior
        away = (parameters - mean) / deviation
        return float(loss + 0.5 * away @ away), gradient + away / deviation
