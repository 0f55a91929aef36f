"""Losses: the mean over a batch of what training lowers.

Validation is always judged by cross-entropy, so that candidates trained with different losses
can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor
from torch.nn import functional

from edgebench.registry import Registry

Loss = Callable[..., Tensor]
"""``loss(logits [B, classes], labels [B] int64, *, option=default, ...) -> scalar``."""
LOSSES: Registry[Loss] = Registry("loss")


@LOSSES.register
def cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
) -> Tensor:
    """Compute -log softmax at the label; ``label_smoothing`` is spread over all classes.

    Source of the smoothing: Szegedy et al., Rethinking the Inception Architecture, 2016.
    """
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
