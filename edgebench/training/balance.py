"""Uneven classes: weights in the loss, or rare images shown more often."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from edgebench.data import Dataset
from edgebench.training.batches import Criterion
from edgebench.training.recipe import Recipe


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Return N / (classes x images of the class), float32 ``[classes]``; 0 of an empty class.

    The mean weight of the images is 1, so a learning rate stays meant as it was (King and Zeng,
    Logistic Regression in Rare Events Data, 2001).
    """
    counts = torch.bincount(labels, minlength=classes).float()
    present = counts > 0
    weights = len(labels) / (present.sum() * counts.clamp_min(1))
    return torch.where(present, weights, 0.0)


def criterion_of(recipe: Recipe, dataset: Dataset) -> Criterion:
    """Return the loss of a batch, a scalar: the mean of its images', weighted where asked."""
    each = functools.partial(recipe.loss.member, **recipe.loss.options)
    if recipe.class_weights == "none":
        return lambda logits, labels: each(logits, labels).mean()
    weights = class_weights(dataset.train.labels, len(dataset.classes))

    def weighted(logits: Tensor, labels: Tensor) -> Tensor:
        shares = weights[labels]
        return (shares * each(logits, labels)).sum() / shares.sum()

    return weighted
