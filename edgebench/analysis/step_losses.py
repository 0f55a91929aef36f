"""The loss at every step: how restless a training is within its epochs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.training import Step


@dataclass(kw_only=True)
class StepLosses(Analysis):
    """The loss of each step's batch, and the learning rate that it was taken with."""

    series: ClassVar[tuple[str, ...]] = ("loss", "learning_rate")
    _losses: list[Tensor] = field(default_factory=list, init=False)
    _rates: list[float] = field(default_factory=list, init=False)

    def on_step(self, step: Step) -> None:
        """Keep the loss on the device, so that a GPU is not waited for."""
        self._losses.append(step.loss)
        self._rates.append(step.learning_rate)

    def artifact(self) -> dict[str, Any]:
        """Return ``loss`` and ``learning_rate``, one value a step."""
        losses = torch.stack(self._losses).tolist() if self._losses else []
        return {"loss": losses, "learning_rate": self._rates}


ANALYSES.add("step_losses", StepLosses)
