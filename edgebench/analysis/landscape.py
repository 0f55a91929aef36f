"""How loss and gradient vary along the gradient: what makes a training smooth.

At a step with weights w and gradient g, the same batch is looked at again from w - l g, for a range
of step lengths l. Source: Santurkar, Tsipras, Ilyas and Madry, How Does Batch Normalization Help
Optimization?, NeurIPS 2018, figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.func import functional_call

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.training import Step

_FIGURES = (
    "loss_min", "loss_max", "gradient_change_min", "gradient_change_max", "smoothness",
)  # fmt: skip


@dataclass(kw_only=True)
class Landscape(Analysis):
    """Loss landscape, gradient predictiveness and effective beta-smoothness at each k-th step.

    Attributes:
        every: Steps from one look to the next.
        lengths: Step lengths that are tried, evenly from ``shortest`` to ``longest``.
        shortest: The least length, in learning rates of the step.
        longest: The greatest length, in learning rates of the step.
    """

    series: ClassVar[tuple[str, ...]] = _FIGURES
    every: Annotated[int, Ge(1)] = 10
    lengths: Annotated[int, Ge(2)] = 8
    shortest: Annotated[float, Gt(0.0)] = 0.5
    longest: Annotated[float, Gt(0.0)] = 4.0
    _steps: list[int] = field(default_factory=list, init=False)
    _found: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in _FIGURES}, init=False
    )

    def on_step(self, step: Step) -> None:
        """Look along the gradient, at each k-th step."""
        if (step.number - 1) % self.every:
            return
        weights = {
            name: parameter
            for name, parameter in step.model.named_parameters()
            if parameter.grad is not None
        }
        gradient = {name: p.grad for name, p in weights.items() if p.grad is not None}
        norm = _norm(list(gradient.values()))
        losses, changes, ratios = [], [], []
        for length in torch.linspace(self.shortest, self.longest, self.lengths).tolist():
            distance = length * step.learning_rate
            there = {n: (p - distance * gradient[n]).detach() for n, p in weights.items()}
            loss, other = _loss_and_gradient(step, there)
            change = _norm([other[n] - gradient[n] for n in gradient])
            losses.append(loss)
            changes.append(change)
            ratios.append(change / (distance * norm) if norm else 0.0)
        figures = (min(losses), max(losses), min(changes), max(changes), max(ratios))
        self._steps.append(step.number)
        for name, value in zip(_FIGURES, figures, strict=True):
            self._found[name].append(value)

    def artifact(self) -> dict[str, Any]:
        """Return ``step`` and, for each of them, what was found over the step lengths.

        ``loss_min`` and ``loss_max`` (loss landscape); ``gradient_change_min`` and ``_max``, the
        L2 distance from the gradient at w (gradient predictiveness); ``smoothness``, the largest
        such distance divided by the distance moved (effective beta-smoothness).
        """
        return {"step": self._steps, **self._found}


def _loss_and_gradient(step: Step, weights: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
    """Return the loss of the step's batch with other weights, and its gradient.

    Statistics are updated in copies, and what dropout draws is given back.
    """
    leaves = {name: weight.requires_grad_() for name, weight in weights.items()}
    buffers = {name: value.clone() for name, value in step.model.named_buffers()}
    devices = [step.inputs.device] if step.inputs.is_cuda else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        logits = functional_call(step.model, leaves | buffers, (step.inputs,))
        loss = step.criterion(logits.float(), step.labels)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return float(loss.detach()), dict(zip(leaves, gradients, strict=True))


def _norm(tensors: list[Tensor]) -> float:
    """Return the L2 norm over all tensors together."""
    return float(torch.stack([one.norm() for one in tensors]).norm())


ANALYSES.add("landscape", Landscape)
