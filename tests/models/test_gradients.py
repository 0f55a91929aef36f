"""The gradient check of perceptrons: analytic against numeric, two to four layers, each norm."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from edgebench.models import MODELS, NORMS
from edgebench.registry import bind


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_the_numeric_ones(norm: str, hidden: int) -> None:
    """Of the loss by every weight, in double precision; tanh, since ReLU has kinks."""
    torch.manual_seed(hidden)
    given = {"depth": hidden, "width": 6, "norm": norm, "activation": "tanh", "init": "xavier"}
    model = MODELS["mlp"]((2, 2, 2), 3, **bind(MODELS["mlp"], given)).double()
    images = torch.randn(5, 2, 2, 2, dtype=torch.double)
    labels = torch.tensor([0, 1, 2, 0, 1])
    names = [name for name, _ in model.named_parameters()]
    buffers = {name: value.clone() for name, value in model.named_buffers()}

    def loss(*weights: torch.Tensor) -> torch.Tensor:
        state = {name: value.clone() for name, value in buffers.items()}
        logits = functional_call(model, {**dict(zip(names, weights, strict=True)), **state}, images)
        return functional.cross_entropy(logits, labels)

    weights = tuple(model.parameters())
    assert torch.autograd.gradcheck(loss, weights, eps=1e-6, atol=1e-6)
