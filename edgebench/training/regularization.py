"""Regularization by the loss: the gradients of norms of the weights, added to the loss's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def regularize(weights: Sequence[nn.Parameter], l1: float, l2: float) -> None:
    """Add the gradient of ``l1 sum |w| + l2 sum w^2`` to the gradients that stand on ``weights``.

    Adaptive optimizers divide this by the gradient's size like the rest of it (the coupled form);
    the ``weight_decay`` of ``adamw`` is not divided.
    """
    known = [weight for weight in weights if weight.grad is not None]
    if not known:
        return
    values: list[Tensor] = list(known)
    gradients = [weight.grad for weight in known if weight.grad is not None]
    if l1:
        torch._foreach_add_(gradients, torch._foreach_sign(values), alpha=l1)  # noqa: SLF001 - one pass over all weights has no public name
    if l2:
        torch._foreach_add_(gradients, values, alpha=2 * l2)
