"""Activations and gradients layer by layer: where a signal dies out or explodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.func import functional_call

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.training import Step


@dataclass(kw_only=True)
class LayerStatistics(Analysis):
    """Mean and deviation of each layer's output, deviation of each weight's gradient.

    Layers are the modules without modules of their own, by their names.

    Attributes:
        every: Steps from one look to the next.
    """

    every: Annotated[int, Ge(1)] = 10
    _steps: list[int] = field(default_factory=list, init=False)
    _activations: dict[str, list[list[float]]] = field(default_factory=dict, init=False)
    _gradients: dict[str, list[float]] = field(default_factory=dict, init=False)

    def on_step(self, step: Step) -> None:
        """Look at each k-th step: once more forward, with copies of all statistics."""
        if (step.number - 1) % self.every:
            return
        self._steps.append(step.number)
        for name, (mean, deviation) in _outputs(step).items():
            self._activations.setdefault(name, []).append([mean, deviation])
        for name, parameter in step.model.named_parameters():
            if parameter.grad is not None and parameter.ndim > 1:
                deviation = float(parameter.grad.std(correction=0))
                self._gradients.setdefault(name, []).append(deviation)

    def artifact(self) -> dict[str, Any]:
        """Return ``step``, ``activations`` {layer: [[mean, deviation], ...]}, ``gradients``.

        ``gradients`` is {weight: [deviation, ...]}; all lists go along with ``step``.
        """
        return {
            "step": self._steps,
            "activations": self._activations,
            "gradients": self._gradients,
        }


def _outputs(step: Step) -> dict[str, tuple[float, float]]:
    """Return mean and deviation of each layer's output for the step's batch."""
    found: dict[str, tuple[float, float]] = {}

    def look(name: str, output: Tensor) -> None:
        found[name] = (float(output.mean()), float(output.std(correction=0)))

    layers = {n: one for n, one in step.model.named_modules() if not list(one.children())}
    hooks = [layer.register_forward_hook(_hook(name, look)) for name, layer in layers.items()]
    buffers = {name: value.clone() for name, value in step.model.named_buffers()}
    devices = [step.inputs.device] if step.inputs.is_cuda else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            functional_call(step.model, buffers, (step.inputs,))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _hook(name: str, look: Any) -> Any:
    def hook(_: nn.Module, __: object, output: Tensor) -> None:
        look(name, output)

    return hook


ANALYSES.add("layer_statistics", LayerStatistics)
