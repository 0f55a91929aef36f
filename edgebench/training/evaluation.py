"""Judging a network on a split, in float32, as it will ship."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebench.data import Dataset, Split
from edgebench.scores import Counts, counted
from edgebench.training.batches import Normalizer, normalizer

EVALUATION_BATCH = 500


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, normalize: Normalizer) -> tuple[float, Counts]:
    """Return the mean cross-entropy of ``split``, and its images by true and predicted class."""
    losses, predicted, classes = [], [], 0
    for logits, labels in _logits(model, split, normalize):
        losses.append(functional.cross_entropy(logits, labels, reduction="sum"))
        predicted.append(logits.argmax(1))
        classes = logits.shape[1]
    loss = float(torch.stack(losses).sum()) / len(split)
    found = torch.cat(predicted).cpu().numpy()
    return loss, counted(split.labels.cpu().numpy(), found, classes)


@torch.no_grad()
def predictions(model: nn.Module, dataset: Dataset, split: Split) -> Tensor:
    """Return the class ``[N]`` int64 that ``model`` takes each image of ``split`` for."""
    normalize = normalizer(dataset.mean, dataset.std, split.images.device)
    return torch.cat([logits.argmax(1) for logits, _ in _logits(model, split, normalize)])


def _logits(
    model: nn.Module, split: Split, normalize: Normalizer
) -> Iterator[tuple[Tensor, Tensor]]:
    model.eval()
    for start in range(0, len(split), EVALUATION_BATCH):
        images = split.images[start : start + EVALUATION_BATCH]
        yield model(normalize(images)), split.labels[start : start + EVALUATION_BATCH]
