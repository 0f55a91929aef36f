"""Copies of a model that cost no copy of its weights: what is read is its structure alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


def on_meta(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` in evaluation mode whose tensors have shapes and no data."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(_empty(parameter), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = _empty(buffer)
    return copy.deepcopy(model, memo).eval()


def with_made_up_weights(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` in evaluation mode on the CPU, whose weights are all distinct.

    What reads a graph off a model must not see equal weights, as a fresh network has them: the
    exporter merges them. The model may be on the meta device; PyTorch's random state is left alone.
    """
    generator = torch.Generator().manual_seed(0)
    twin = on_meta(model).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5, generator=generator)
            else:
                tensor.zero_()
    return twin


def _empty(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape and type; how the weights lie in memory is left out."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
