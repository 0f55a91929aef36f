"""Contracts that every registered family keeps; a new family is under test by existing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgebench.errors import EdgebenchError
from edgebench.export import audit
from edgebench.models import MODELS
from edgebench.registry import options

SHAPE = (3, 32, 32)
SMALL = {"width": 8, "hidden": 16, "blocks": 2}


def small(family: str, shape: tuple[int, int, int] = SHAPE, **given: Any) -> nn.Module:
    """Build a small network of ``family`` with those of the options that it has."""
    known = options(MODELS[family])
    chosen = {name: value for name, value in (SMALL | given).items() if name in known}
    return MODELS[family](shape, 10, **chosen)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 33, 20)])
def test_any_input_gives_logits(family: str, shape: tuple[int, int, int]) -> None:
    """Grey or colour, square or not: [N, C, H, W] in, [N, classes] out."""
    assert small(family, shape).eval()(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("family", MODELS)
def test_every_choice_of_every_option_builds(family: str) -> None:
    """Each named choice gives a network that answers."""
    for name, option in options(MODELS[family]).items():
        for choice in option.choices():
            small(family, **{name: choice}).eval()(torch.zeros(1, *SHAPE))


@pytest.mark.parametrize("family", MODELS)
def test_one_batch_can_be_learned(family: str) -> None:
    """Gradients reach what must change: the loss of one batch falls to a tenth."""
    torch.manual_seed(0)
    model = small(family, (3, 16, 16), width=16)
    images, labels = torch.randn(10, 3, 16, 16), torch.arange(10)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize("family", MODELS)
def test_a_seed_decides_the_weights(family: str) -> None:
    """The same seed gives the same network, another seed another one."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in small(family).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("family", "macs", "parameters"),
    [
        # Convolutions: 9 x (3x64x1024 + 64x128x256 + 128x256x64) = 39,518,208.
        # vgg adds 4096x1024 + 1024x10, gap adds 256x10.
        ("vgg", 39_518_208 + 4_204_544, 4_576_394 + 448),
        ("gap", 39_518_208 + 2_560, 373_386 + 448),
    ],
)
def test_the_defaults_are_the_references_networks(family: str, macs: int, parameters: int) -> None:
    """Counted by hand and by fvcore; training parameters have one more vector of 448 (the norm's).

    A batch norm trains scale and shift per channel; folded, a bias per channel is left.
    """
    model = MODELS[family](SHAPE, 10)
    assert audit.count_macs(model, SHAPE) == macs
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("family", MODELS)
def test_too_deep_for_the_input_is_the_users_mistake(family: str) -> None:
    """The message names the option, the rule and the deepest that works."""
    with pytest.raises(EdgebenchError) as caught:
        small(family, (3, 8, 8), blocks=4)
    assert str(caught.value) == (
        "model.blocks: 4 blocks halve the input 4 times, but 8x8 pixels can be halved 3 times; "
        "the nearest valid value is 3"
    )


def test_dropout_is_only_in_training() -> None:
    """In evaluation the same image gets the same answer."""
    for family in MODELS:
        model = small(family, dropout=0.5)
        images = torch.randn(2, *SHAPE)
        assert torch.equal(model.eval()(images), model.eval()(images))
        assert any(isinstance(module, nn.Dropout) for module in model.modules())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("width", [4, 64, 256])
def test_no_dense_layer_is_moved_far_by_the_first_step(name: str, width: int) -> None:
    """An Adam step moves an output by rate x sum of inputs: at 1e-3 by 256e-3, however wide.

    The inputs are normal values, rectified and pooled: the largest of four is 1.03 on average.
    """
    torch.manual_seed(0)
    model = MODELS[name](SHAPE, 10, width=width)
    read: list[torch.Tensor] = []
    dense = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
    dense.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.no_grad():
        model(torch.randn(16, *SHAPE))
    step = 1e-3 * float(read[0].sum(1).mean())
    assert 0 < step < 0.3
