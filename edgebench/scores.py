"""How good predictions are where classes are uneven: shares made from counts class by class.

An accuracy counts images, so that a rare class hardly matters to it; these count classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from edgebench.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Counts: TypeAlias = "npt.NDArray[np.int64]"
"""Images ``[classes, classes]``: true class by predicted class."""
Score = Callable[[Counts], float]
SCORES: Registry[Score] = Registry("score")
"""Shares (0..1) of a matrix of counts; recorded as ``val/NAME`` and ``test/NAME``."""
FOREIGN = re.compile(r"[^\w.\- ]")
"""What MLflow does not take in the name of a metric."""
CLASSES_LISTED = 100
"""The recalls of so many classes are recorded, one figure each; of more, none."""


def counted(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int
) -> Counts:
    """Return how many images ``[classes, classes]`` of each true class were taken for which.

    ``labels`` and ``predicted`` are ``[N]``, each 0 to ``classes`` - 1.
    """
    import numpy as np

    pairs = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes)


def recalls(counts: Counts) -> npt.NDArray[np.float64]:
    """Return the share of each class's images that were found, NaN of a class without any."""
    import numpy as np

    images = counts.sum(1)
    return np.where(images > 0, counts.diagonal() / np.maximum(images, 1), np.nan)


@SCORES.register
def accuracy(counts: Counts) -> float:
    """Return the share of the images that were classified correctly."""
    return float(counts.trace() / counts.sum())


@SCORES.register
def balanced_accuracy(counts: Counts) -> float:
    """Return the mean of the classes' recalls (Brodersen et al., ICPR 2010)."""
    import numpy as np

    return float(np.nanmean(recalls(counts)))


@SCORES.register
def recall_worst(counts: Counts) -> float:
    """Return the recall of the class that is found least."""
    import numpy as np

    return float(np.nanmin(recalls(counts)))


@SCORES.register
def macro_f1(counts: Counts) -> float:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN), of those that occur or are named.

    Source of the mean of F1 over classes: Opitz and Burst, Macro F1 and Macro F1, 2019.
    """
    found, both = counts.diagonal(), counts.sum(0) + counts.sum(1)
    occurs = both > 0
    return float((2 * found[occurs] / both[occurs]).mean())


def scored(
    counts: Counts, classes: Sequence[str], split: str, suffix: str = ""
) -> dict[str, float]:
    """Return all figures of a split by their recorded names, the classes' recalls among them.

    ``split`` is ``val`` or ``test``; ``suffix`` marks the figures of the int8 model.
    """
    import math

    found = {f"{split}/{name}{suffix}": score(counts) for name, score in SCORES.items()}
    if len(classes) <= CLASSES_LISTED:
        for name, share in zip(classes, recalls(counts).tolist(), strict=True):
            if not math.isnan(share):
                found[recall_name(name, split, suffix)] = share
    return found


def recall_name(class_name: str, split: str = "val", suffix: str = "") -> str:
    """Return the figure of a class's recall: ``val/recall/cat``, ``val/recall_int8/cat``.

    What a store does not take in the name of a figure is written ``_``.
    """
    return f"{split}/recall{suffix}/{FOREIGN.sub('_', class_name)}"
