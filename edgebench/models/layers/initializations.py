"""How a network's weights are drawn before training.

Each draws the weights of all convolutions and dense layers and sets their biases to zero;
``default`` leaves what PyTorch drew when it made the layers. Norms stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn

from edgebench.models import INITIALIZATIONS


def _draw(model: nn.Module, fill: Callable[[Tensor], Tensor]) -> nn.Module:
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):  # noqa: SLF001 - the one base class of all convolutions
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


@INITIALIZATIONS.register
def default(model: nn.Module) -> nn.Module:
    """Keep PyTorch's own: uniform within +-1/sqrt(fan-in), biases too."""
    return model


@INITIALIZATIONS.register
def kaiming(model: nn.Module) -> nn.Module:
    """Draw normal values of variance 2 / fan-in (He et al., Delving Deep into Rectifiers, 2015)."""
    return _draw(model, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))


@INITIALIZATIONS.register
def xavier(model: nn.Module) -> nn.Module:
    """Draw normal values of variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010)."""
    return _draw(model, nn.init.xavier_normal_)


@INITIALIZATIONS.register
def normal(model: nn.Module, *, init_scale: Annotated[float, Gt(0.0)] = 0.01) -> nn.Module:
    """Draw normal values of deviation ``init_scale``, whatever the layer's size."""
    return _draw(model, lambda weight: nn.init.normal_(weight, std=init_scale))
