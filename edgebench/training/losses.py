"""Losses: what each image of a batch costs; training lowers the mean, or a weighted one.

Validation is always judged by cross-entropy, so that candidates trained with different losses
can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.nn import functional

from edgebench.registry import Registry

Loss = Callable[..., Tensor]
"""``loss(logits [B, classes], labels [B] int64, *, option=default, ...) -> [B]``."""
LOSSES: Registry[Loss] = Registry("loss")


@LOSSES.register
def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
) -> Tensor:
    """Compute -log softmax at the label.

    ``label_smoothing`` is spread over all classes while training, and left out in validation.

    Source of the smoothing: Szegedy et al., Rethinking the Inception Architecture, 2016.
    """
    return functional.cross_entropy(
        logits, labels, label_smoothing=label_smoothing, reduction="none"
    )


@LOSSES.register
def mse(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the squared distance of the probabilities from the label's (Brier, 1950)."""
    wanted = functional.one_hot(labels, logits.shape[1])
    return (logits.softmax(1) - wanted).square().sum(1)


@LOSSES.register
def multi_margin(
    logits: Tensor, labels: Tensor, *, margin: Annotated[float, Gt(0.0)] = 1.0
) -> Tensor:
    """Compute the hinge loss: mean over classes of max(0, margin - right + other).

    Source: Crammer and Singer, Multiclass Kernel-based Vector Machines, 2001, as PyTorch has it.
    """
    return functional.multi_margin_loss(logits, labels, margin=margin, reduction="none")


@LOSSES.register
def focal(
    logits: Tensor, labels: Tensor, *, focal_gamma: Annotated[float, Ge(0.0)] = 2.0
) -> Tensor:
    """Compute -(1 - p)^gamma log p at the label (Lin et al., Focal Loss, 2017)."""
    log_p = logits.log_softmax(1).gather(1, labels[:, None]).squeeze(1)
    return -((1 - log_p.exp()) ** focal_gamma * log_p)
