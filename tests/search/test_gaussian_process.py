"""The Gaussian process, against scikit-learn's and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from edgebench.search.gaussian_process import JITTER, GaussianProcess

CHANCE = np.random.default_rng(4)
POINTS = CHANCE.random((20, 3))
TARGETS = np.sin(5 * POINTS[:, 0]) + POINTS[:, 1]
DOUBT = CHANCE.random(20) * 0.01


def test_mean_and_deviation_are_those_of_scikit_learn() -> None:
    """With the parameters that were found; each target has a variance of its own."""
    mine = GaussianProcess()
    mine.fit(POINTS, TARGETS, DOUBT)
    amplitude, *lengths, noise = np.exp(mine._parameters)
    kernel = ConstantKernel(amplitude**2, "fixed") * Matern(lengths, "fixed", nu=2.5)
    scale = TARGETS.std()
    known = DOUBT / scale**2 + noise**2 + JITTER
    theirs = GaussianProcessRegressor(kernel, alpha=known, optimizer=None)
    theirs.fit(POINTS, (TARGETS - TARGETS.mean()) / scale)
    new = CHANCE.random((7, 3))
    mean, deviation = theirs.predict(new, return_std=True)
    found, spread = mine.predict(new)
    assert found == pytest.approx(mean * scale + TARGETS.mean(), abs=1e-7)
    assert spread == pytest.approx(deviation * scale, abs=1e-6)


def test_it_learns_which_features_matter_and_is_sure_where_it_knows() -> None:
    """The third feature means nothing; between the points it is less sure than at them."""
    process = GaussianProcess()
    process.fit(POINTS, TARGETS, np.zeros(20))
    lengths = process._parameters[1:-1]
    assert lengths[2] > lengths[0] + 0.5
    _, at = process.predict(POINTS)
    _, away = process.predict(POINTS + 1.5)
    assert at.max() < 0.3 * away.min()


def test_the_gradient_is_that_of_the_loss() -> None:
    """Against finite differences, away from the optimum."""
    process = GaussianProcess()
    process.fit(POINTS, TARGETS, DOUBT)
    squares = (POINTS[:, None] - POINTS[None]) ** 2
    at = np.array([0.3, 0.1, 0.9, -0.4, -1.0])
    error = check_grad(
        lambda x: process._loss(x, squares, TARGETS, DOUBT)[0],
        lambda x: process._loss(x, squares, TARGETS, DOUBT)[1],
        at,
    )
    assert error < 1e-4
