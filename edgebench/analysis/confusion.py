"""The confusion matrix: which class is taken for which."""

from __future__ import annotations

import numpy as np


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> list[list[int]]:
    """Count images by true class (rows) and predicted class (columns)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return [[int(count) for count in line] for line in counts]
