"""Activations by name, as PyTorch has them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import nn

from edgebench.models import ACTIVATIONS


@ACTIVATIONS.register
def relu() -> nn.Module:
    """Compute max(0, x)."""
    return nn.ReLU()


@ACTIVATIONS.register
def leaky_relu(*, negative_slope: Annotated[float, Ge(0.0), Lt(1.0)] = 0.01) -> nn.Module:
    """Compute max(x, slope x) (Maas, Hannun and Ng, Rectifier Nonlinearities, 2013)."""
    return nn.LeakyReLU(negative_slope)


@ACTIVATIONS.register
def relu6() -> nn.Module:
    """Compute min(max(0, x), 6) (Howard et al., MobileNets, 2017)."""
    return nn.ReLU6()


@ACTIVATIONS.register
def elu(*, elu_alpha: Annotated[float, Gt(0.0)] = 1.0) -> nn.Module:
    """Compute x, and alpha (exp(x) - 1) below zero (Clevert et al., ELUs, 2016)."""
    return nn.ELU(elu_alpha)


@ACTIVATIONS.register
def silu() -> nn.Module:
    """Compute x sigmoid(x), also called swish (Ramachandran, Zoph and Le, 2017)."""
    return nn.SiLU()


@ACTIVATIONS.register
def gelu() -> nn.Module:
    """Compute x times the normal distribution at x (Hendrycks, Gimpel, 2016)."""
    return nn.GELU()


@ACTIVATIONS.register
def hardswish() -> nn.Module:
    """Compute x min(max(0, x + 3), 6) / 6 (Howard et al., MobileNetV3, 2019)."""
    return nn.Hardswish()


@ACTIVATIONS.register
def sigmoid() -> nn.Module:
    """Compute 1 / (1 + exp(-x))."""
    return nn.Sigmoid()


@ACTIVATIONS.register
def tanh() -> nn.Module:
    """Compute the hyperbolic tangent."""
    return nn.Tanh()
