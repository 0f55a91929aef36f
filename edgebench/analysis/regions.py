"""Decision regions of data with two features: what each point of the plane is taken for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import nn

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.data import Dataset, Split
from edgebench.training import Training, predictions


@dataclass(kw_only=True)
class Regions(Analysis):
    """The class of each point of a grid over the plane, with the best epoch's weights.

    Attributes:
        grid: Points along each axis.
    """

    grid: Annotated[int, Ge(2), Le(256)] = 64
    _classes: list[list[int]] = field(default_factory=list, init=False)

    def on_end(self, model: nn.Module, dataset: Dataset, training: Training) -> None:  # noqa: ARG002 - the protocol
        """Classify the grid; data with another number of features have no plane."""
        if math.prod(dataset.input_shape) != 2:
            return
        device = dataset.train.images.device
        line = torch.linspace(0, 255, self.grid).round()
        second, first = torch.meshgrid(line, line, indexing="ij")
        points = torch.stack([first.flatten(), second.flatten()], 1).to(torch.uint8)
        split = Split(points.view(-1, *dataset.input_shape).to(device), torch.zeros(len(points)))
        found = predictions(model, dataset, split)
        self._classes = found.view(self.grid, self.grid).tolist()

    def artifact(self) -> dict[str, Any]:
        """Return ``classes``: rows by the second feature, columns by the first, from 0 to 255."""
        return {"classes": self._classes}


ANALYSES.add("regions", Regions)
