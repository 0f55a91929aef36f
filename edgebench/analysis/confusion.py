"""The confusion matrix: which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.data import Dataset
from edgebench.training import Training, predictions


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> list[list[int]]:
    """Count images by true class (rows) and predicted class (columns)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return [[int(count) for count in line] for line in counts]


@dataclass(kw_only=True)
class Confusion(Analysis):
    """The confusion matrix of the validation images, with the best epoch's weights."""

    _counts: list[list[int]] = field(default_factory=list, init=False)

    def on_end(self, model: nn.Module, dataset: Dataset, training: Training) -> None:  # noqa: ARG002 - the protocol
        """Classify the validation images."""
        predicted = predictions(model, dataset, dataset.validation).cpu().numpy()
        labels = dataset.validation.labels.cpu().numpy()
        self._counts = confusion(predicted, labels, len(dataset.classes))

    def artifact(self) -> dict[str, Any]:
        """Return ``confusion``, images by true class (rows) and predicted class (columns)."""
        return {"confusion": self._counts}


ANALYSES.add("confusion", Confusion)
