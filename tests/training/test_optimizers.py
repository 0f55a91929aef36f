"""Contracts that every registered optimizer keeps; a new one is under test by existing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgebench.registry import bind, options
from edgebench.training import OPTIMIZERS, Recipe
from edgebench.training.under_way import optimization


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_known_loss_is_lowered(name: str) -> None:
    """|W - A|^2 / 2 of a 2x3 matrix falls to less than a half in 50 steps at rate 0.05."""
    target = torch.arange(6.0).view(2, 3) / 10 + 0.5
    weight = nn.Parameter(torch.zeros(2, 3))
    optimizer = OPTIMIZERS[name]([weight], [], 0.05)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = (weight - target).square().sum() / 2
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_what_decays_is_decayed(name: str) -> None:
    """Without a gradient a decayed weight shrinks, another one stays; without decay both stay."""
    assert "weight_decay" in options(OPTIMIZERS[name])
    for decay in (0.0, 0.1):
        decayed, spared = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
        optimizer = OPTIMIZERS[name]([decayed], [spared], 0.01, weight_decay=decay)
        for parameter in (decayed, spared):
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        assert torch.equal(spared, torch.ones(2, 2))
        assert bool((decayed < 1).all()) == (decay > 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_option_is_taken_at_its_default_and_bounds(name: str) -> None:
    """What the signature allows, PyTorch allows."""
    for option in options(OPTIMIZERS[name]).values():
        for value in (option.default, *option.choices(), *_lowest(option.type)):
            if option.mistake(value) is None:
                OPTIMIZERS[name]([nn.Parameter(torch.ones(2, 2))], [], 0.1, **{option.name: value})


def _lowest(annotated: object) -> list[float]:
    bounds = [one.ge for one in getattr(annotated, "__metadata__", ()) if hasattr(one, "ge")]
    return [float(bound) for bound in bounds]


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_weight_decay_is_what_a_step_takes_off_whatever_the_rate(rate: float) -> None:
    """As in AdamW's paper: without a gradient a step leaves 1 - decay, then less by the cosine."""
    recipe = Recipe(**bind(Recipe, {"learning_rate": rate, "weight_decay": 0.01}))
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    optimizer, scheduler = optimization(layer, list(layer.parameters()), recipe, 2)
    for expected in (0.99, 0.99 * (1 - 0.01 * 0.5)):
        for parameter in layer.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        scheduler.step()
        torch.testing.assert_close(layer.weight.detach(), before * expected)


def test_momentum_by_hand() -> None:
    """Two steps by Sutskever et al., 2013: v = 0.8 v + g; the step is v, Nesterov's g + 0.8 v."""
    for nesterov, second in ((True, 1 + 0.8 * 1.8), (False, 1.8)):
        weight = nn.Parameter(torch.zeros(1, 1))
        optimizer = OPTIMIZERS["sgd"]([weight], [], 0.1, momentum=0.8, nesterov=nesterov)
        first = 1.8 if nesterov else 1.0
        for total in (first, first + second):
            weight.grad = torch.ones(1, 1)
            optimizer.param_groups[0]["weight_decay"] = 0.0
            optimizer.step()
            assert float(weight.detach()) == pytest.approx(-0.1 * total)


def test_plain_descent_has_no_momentum() -> None:
    """``momentum: 0`` is a step of rate x gradient, though Nesterov is the default."""
    weight = nn.Parameter(torch.zeros(1, 1))
    optimizer = OPTIMIZERS["sgd"]([weight], [], 0.1, momentum=0.0, weight_decay=0.0)
    for total in (1, 2, 3):
        weight.grad = torch.ones(1, 1)
        optimizer.step()
        assert float(weight.detach()) == pytest.approx(-0.1 * total)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_steps_a_filter_as_a_row(layout: torch.memory_format) -> None:
    """A convolution's step is that of PyTorch's Muon on the flattened weight, in any layout."""
    torch.manual_seed(0)
    values, slope = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3, 3)
    weight = nn.Parameter(values.clone(memory_format=layout))
    flat = nn.Parameter(values.flatten(1).clone())
    ours = OPTIMIZERS["muon"]([weight], [], 0.1, weight_decay=0.0)
    theirs = torch.optim.Muon(
        [flat], lr=0.1, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(3):
        weight.grad, flat.grad = slope.clone(memory_format=layout), slope.flatten(1).clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(weight.detach().flatten(1), flat.detach())
    assert not torch.equal(weight.detach(), values)


def test_muon_steps_vectors_as_adamw() -> None:
    """A bias is no matrix."""
    bias, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    ours = OPTIMIZERS["muon"]([], [bias], 0.1)
    theirs = torch.optim.AdamW([other], lr=0.1, weight_decay=0.0)
    for optimizer, vector in ((ours, bias), (theirs, other)):
        vector.grad = torch.tensor([1.0, -2.0, 3.0])
        optimizer.step()
    torch.testing.assert_close(bias, other)
