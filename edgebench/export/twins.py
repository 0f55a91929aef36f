"""Copies of a model that cost no copy of its weights: what is read is its structure alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_KEPT = frozenset(vars(nn.Module()))
"""What every module has: its mode, and the tables of its hooks."""


def on_meta(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` in evaluation mode whose tensors have shapes and no data.

    What PyTorch keeps in every module is copied by hand: `copy.deepcopy` takes longer for it than
    the rest of a trace.
    """
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(_empty(parameter), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = _empty(buffer)
    modules = list(model.modules())
    for module in modules:
        memo[id(module)] = type(module).__new__(type(module))
    for module in modules:
        twin = memo[id(module)]
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                kept: Any = {key: memo.get(id(one), one) for key, one in value.items()}
            elif name in _KEPT:
                kept = copy.copy(value)
            else:
                kept = copy.deepcopy(value, memo)
            vars(twin)[name] = kept
    found: nn.Module = memo[id(model)]
    return found.eval()


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
