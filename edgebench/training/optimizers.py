"""Optimizers: each takes the parameters that decay and those that do not, and the highest rate.

A member returns a `torch.optim.Optimizer` whose rate the loop's schedule then scales. Where the
hardware allows, a step is fused: one pass over the weights instead of several
(benchmarks/training_step.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from edgebench.registry import Registry

Parameters = Sequence[nn.Parameter]
Optimizer = Callable[..., torch.optim.Optimizer]
"""``optimizer(decayed, spared, learning_rate, *, option=default, ...)``."""
OPTIMIZERS: Registry[Optimizer] = Registry("optimizer")

Decay = Annotated[float, Ge(0.0)]
Moment = Annotated[float, Ge(0.0), Lt(1.0)]


def _groups(decayed: Parameters, spared: Parameters, weight_decay: float) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [
        {"params": list(decayed), "weight_decay": weight_decay},
        {"params": list(spared), "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@OPTIMIZERS.register
def adamw(
    decayed: Parameters,
    spared: Parameters,
    learning_rate: float,
    *,
    weight_decay: Decay = 1e-4,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    ``weight_decay`` is the share of a weight that a step takes off at the schedule's top, whatever
    the learning rate, so that the two can be searched apart. PyTorch's AdamW multiplies it by the
    rate: its ``weight_decay`` is this one / ``learning_rate``.
    """
    groups = _groups(decayed, spared, weight_decay / learning_rate)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


@OPTIMIZERS.register
def sgd(
    decayed: Parameters,
    spared: Parameters,
    learning_rate: float,
    *,
    momentum: Moment = 0.9,
    nesterov: bool = True,
    weight_decay: Decay = 1e-4,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent (Sutskever et al., Initialization and Momentum, 2013).

    ``momentum`` 0 is plain descent, for which ``nesterov`` means nothing. ``weight_decay`` adds
    ``weight_decay`` times the weight to its gradient: L2 regularization.
    """
    return torch.optim.SGD(
        _groups(decayed, spared, weight_decay),
        lr=learning_rate,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        fused=True,
    )


class Muon(torch.optim.Optimizer):
    """PyTorch's Muon for weights of any shape, and AdamW for what is no matrix.

    A weight ``[out, ...]`` is stepped as the matrix ``[out, rest]``: a filter is a row.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, *, momentum: float, nesterov: bool
    ) -> None:
        super().__init__(groups, {"lr": lr})
        self._matrices: list[tuple[nn.Parameter, nn.Parameter]] = []
        matrices: list[dict[str, Any]] = []
        vectors: list[dict[str, Any]] = []
        for group in groups:
            weights = [one for one in group["params"] if one.ndim > 1]
            flat = [nn.Parameter(one.detach().flatten(1).clone()) for one in weights]
            others = [one for one in group["params"] if one.ndim <= 1]
            self._matrices += zip(weights, flat, strict=True)
            matrices += [group | {"params": flat}] if flat else []
            vectors += [group | {"params": others}] if others else []
        self._inner: list[torch.optim.Optimizer] = []
        if matrices:
            self._inner.append(
                # The size of the step is that of AdamW, so that its rates suit.
                torch.optim.Muon(
                    matrices,
                    lr=lr,
                    momentum=momentum,
                    nesterov=nesterov,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if vectors:
            self._inner.append(torch.optim.AdamW(vectors, lr=lr, fused=True))

    def state_dict(self) -> dict[str, Any]:
        """Return what the optimizers inside remember."""
        return super().state_dict() | {"inner": [one.state_dict() for one in self._inner]}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned; the weights stand on the parameters already."""
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        for optimizer, state in zip(self._inner, state_dict["inner"], strict=True):
            optimizer.load_state_dict(state)
        for weight, flat in self._matrices:
            flat.copy_(weight.flatten(1))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - none is ever given
        """Take a step from the gradients that stand on the parameters."""
        for weight, flat in self._matrices:
            flat.grad = None if weight.grad is None else weight.grad.flatten(1)
        for optimizer in self._inner:
            for group in optimizer.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            optimizer.step()
        for weight, flat in self._matrices:
            weight.copy_(flat.view_as(weight))


@OPTIMIZERS.register
def muon(
    decayed: Parameters,
    spared: Parameters,
    learning_rate: float,
    *,
    momentum: Moment = 0.95,
    nesterov: bool = True,
    weight_decay: Decay = 1e-4,
) -> torch.optim.Optimizer:
    """Orthogonalize each momentum matrix (Jordan et al., Muon, 2024); AdamW for vectors.

    ``weight_decay`` is decoupled, and as in ``adamw`` the share of a weight that a step takes off.
    """
    groups = _groups(decayed, spared, weight_decay / learning_rate)
    return Muon(groups, learning_rate, momentum=momentum, nesterov=nesterov)


@OPTIMIZERS.register
def adam(
    decayed: Parameters,
    spared: Parameters,
    learning_rate: float,
    *,
    weight_decay: Decay = 0.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015); ``weight_decay`` adds to the gradient: L2 regularization."""
    groups = _groups(decayed, spared, weight_decay)
    return torch.optim.Adam(groups, lr=learning_rate, fused=True)


@OPTIMIZERS.register
def rmsprop(
    decayed: Parameters,
    spared: Parameters,
    learning_rate: float,
    *,
    momentum: Moment = 0.0,
    rms_decay: Annotated[float, Gt(0.0), Lt(1.0)] = 0.99,
    weight_decay: Decay = 0.0,
) -> torch.optim.Optimizer:
    """RMSprop (Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012).

    ``rms_decay`` is the share of the mean squared gradient that a step keeps (PyTorch's alpha);
    ``weight_decay`` adds to the gradient: L2 regularization.
    """
    return torch.optim.RMSprop(
        _groups(decayed, spared, weight_decay),
        lr=learning_rate,
        alpha=rms_decay,
        momentum=momentum,
    )


@OPTIMIZERS.register
def adagrad(
    decayed: Parameters,
    spared: Parameters,
    learning_rate: float,
    *,
    weight_decay: Decay = 0.0,
) -> torch.optim.Optimizer:
    """Adagrad (Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011).

    ``weight_decay`` adds to the gradient: L2 regularization.
    """
    return torch.optim.Adagrad(_groups(decayed, spared, weight_decay), lr=learning_rate)
