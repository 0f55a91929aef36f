"""The confusion matrix: which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.data import Dataset
from edgebench.training import Training


@dataclass(kw_only=True)
class Confusion(Analysis):
    """The confusion matrix of the validation images, with the weights that are kept."""

    _counts: list[list[int]] = field(default_factory=list, init=False)

    def on_end(self, model: nn.Module, dataset: Dataset, training: Training) -> None:  # noqa: ARG002 - the protocol
        """Take what the training counted."""
        self._counts = training.counts.tolist()

    def artifact(self) -> dict[str, Any]:
        """Return ``confusion``, images by true class (rows) and predicted class (columns)."""
        return {"confusion": self._counts}


ANALYSES.add("confusion", Confusion)
