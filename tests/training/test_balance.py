"""Uneven classes: weights in the loss, and images drawn class by class."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional

from edgebench.data import Dataset, Split
from edgebench.registry import bind
from edgebench.training import Recipe, batches
from edgebench.training.balance import class_weights, criterion_of

LABELS = torch.tensor([0] * 90 + [1] * 9 + [2])


@pytest.fixture(scope="module")
def uneven() -> Dataset:
    """Ninety images of a class, nine of another, one of a third; a pixel says which image it is."""
    images = torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    split = Split(images, LABELS)
    return Dataset("uneven", split, split, split, ("many", "some", "one"), "none")


def test_weights_make_up_for_the_counts() -> None:
    """Each class weighs the same in all, and an image 1 on average."""
    weights = class_weights(LABELS, 4)
    assert weights[3] == 0  # of which there is no image
    totals = weights[:3] * torch.tensor([90.0, 9.0, 1.0])
    torch.testing.assert_close(totals, torch.full((3,), 100 / 3))
    assert float(weights[LABELS].mean()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "multi_margin", "focal"])
def test_the_weighted_loss_is_the_weighted_mean(uneven: Dataset, name: str) -> None:
    """Of cross-entropy as PyTorch weighs it; without weights it is the plain mean."""
    logits = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    plain, weighted = (
        criterion_of(Recipe(**bind(Recipe, {"loss": name, "class_weights": kind})), uneven)
        for kind in ("none", "balanced")
    )
    by_class = [plain(logits[label == LABELS], LABELS[label == LABELS]) for label in range(3)]
    torch.testing.assert_close(weighted(logits, LABELS), torch.stack(by_class).mean())
    if name == "cross_entropy":
        weights = class_weights(LABELS, 3)
        expected = functional.cross_entropy(logits, LABELS, weight=weights)
        torch.testing.assert_close(weighted(logits, LABELS), expected)


def shown(uneven: Dataset, sampling: str, seed: int = 0) -> torch.Tensor:
    """Return the labels of an epoch, in order."""
    recipe = Recipe(**bind(Recipe, {"augmentation": "none"}))
    epoch = batches.training_batches(
        uneven,
        10,
        augmentation=recipe.augmentation,
        generator=torch.Generator().manual_seed(seed),
        sampling=sampling,
    )
    return torch.cat([labels for _, labels in epoch])


def test_balanced_sampling_draws_each_class_as_often(uneven: Dataset) -> None:
    """A hundred draws, a third of each class within four deviations; repeatable by the seed."""
    drawn = shown(uneven, "balanced")
    counts = torch.bincount(drawn, minlength=3)
    assert len(drawn) == 100
    assert all(abs(int(count) - 100 / 3) < 4 * (100 * 2 / 9) ** 0.5 for count in counts)
    assert torch.equal(drawn, shown(uneven, "balanced"))
    assert not torch.equal(drawn, shown(uneven, "balanced", seed=1))
    assert torch.bincount(shown(uneven, "shuffled")).tolist() == [90, 9, 1]


def test_the_epoch_of_the_best_balanced_accuracy_may_be_kept(uneven: Dataset) -> None:
    """All images taken for the first class: 90 % accurate, a third balanced."""
    from edgebench import training

    class Answers(torch.nn.Module):
        """Answers the first class in the first epoch, and then more or less each class's own."""

        def __init__(self) -> None:
            super().__init__()
            self.evaluations = 0
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            """Return logits ``[N, 3]``."""
            labels = LABELS[: len(images)] * 0
            if not self.training:
                self.evaluations += 1
                if self.evaluations > 1:  # the rare classes right, a fifth of the others wrong
                    labels = LABELS.clone()
                    labels[:20] = 1
            return functional.one_hot(labels, 3) + self.weight

    kept = {}
    for rule in ("best", "balanced"):
        recipe = Recipe(
            **bind(Recipe, {"epochs": 2, "kept_epoch": rule, "precision": "float32",
                            "decayed_parameters": "all", "augmentation": "none"})
        )  # fmt: skip
        found = training.train(
            Answers(), dataclasses.replace(uneven), recipe, device=torch.device("cpu"), seed=0
        )
        kept[rule] = (found.best_epoch, found.best_accuracy, found.counts.diagonal().tolist())
    assert kept == {"best": (1, 0.9, [90, 0, 0]), "balanced": (2, 0.8, [70, 9, 1])}
