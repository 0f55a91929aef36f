"""Contracts that every registered family keeps; a new family is under test by existing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from family_instances import build, lower_bound, smallest
from torch import nn
from torch.nn import functional

from edgebench.errors import EdgebenchError
from edgebench.export import audit
from edgebench.models import MODELS
from edgebench.registry import options, resolved

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 33, 20), (1, 1, 2), (3, 5, 64)])
def test_an_image_gives_logits_or_a_reason(family: str, shape: tuple[int, int, int]) -> None:
    """Grey or colour, square or not: [N, C, H, W] in, [N, classes] out, or the user's mistake.

    A family that cannot take an image says so when it is built, not when it is fed.
    """
    try:
        model = MODELS[family](shape, 10)
    except EdgebenchError as error:
        assert str(error).startswith("model.")  # noqa: PT017 - either outcome is right
        return
    assert model.eval()(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("family", MODELS)
def test_common_images_are_taken_at_the_defaults(family: str) -> None:
    """Grey and colour, 28 and 32 pixels: no family refuses the data sets of this project."""
    for shape in ((1, 28, 28), (1, 32, 32), (3, 32, 32)):
        assert MODELS[family](shape, 10).eval()(torch.zeros(1, *shape)).shape == (1, 10)


@pytest.mark.parametrize("family", MODELS)
def test_every_choice_and_bound_of_every_option_builds(family: str) -> None:
    """Each named choice, each least number, and all least numbers together."""
    least = smallest(family)
    cases: list[dict[str, Any]] = [least]
    for name, option in options(MODELS[family]).items():
        cases += [{name: choice} for choice in option.choices()]
        bound = lower_bound(option)
        cases += [] if bound is None else [{name: type(option.default)(bound)}]
    for given in cases:
        model, shape = build(family, given)
        assert model.eval()(torch.zeros(1, *shape)).shape == (1, 10), given


@pytest.mark.parametrize("family", MODELS)
def test_one_batch_can_be_learned(family: str) -> None:
    """Gradients reach what must change: the loss of one batch falls to a tenth."""
    torch.manual_seed(0)
    model, shape = build(family, {})
    images, labels = torch.randn(10, *shape), torch.arange(10)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] < losses[0] / 10:
            break
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize("family", MODELS)
def test_a_seed_decides_the_weights(family: str) -> None:
    """The same seed gives the same network, another seed another one."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model, _ = build(family, {})
        states.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("family", MODELS)
def test_images_do_not_know_of_each_other(family: str) -> None:
    """In evaluation an image's logits do not depend on what else is in the batch."""
    torch.manual_seed(0)
    model, shape = build(family, {})
    images = torch.randn(3, *shape)
    with torch.no_grad():
        together = model.eval()(images)
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", MODELS)
def test_a_family_says_what_it_is(family: str) -> None:
    """A docstring, defaults for all options, each of them allowed by its own bounds."""
    assert (MODELS[family].__doc__ or "").strip()
    for name, option in options(MODELS[family]).items():
        assert option.mistake(option.default) is None, name
    assert set(options(MODELS[family])) <= set(resolved(MODELS[family]))


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


@pytest.mark.parametrize("family", ["vgg", "gap"])
def test_too_deep_for_the_input_is_the_users_mistake(family: str) -> None:
    """The message names the option, the rule and the deepest that works."""
    with pytest.raises(EdgebenchError) as caught:
        MODELS[family]((3, 8, 8), 10, blocks=4)
    assert str(caught.value) == (
        "model.blocks: 4 blocks halve the input 4 times, but 8x8 pixels can be halved 3 times; "
        "the nearest valid value is 3"
    )


@pytest.mark.parametrize(
    "family", [name for name, family in MODELS.items() if "dropout" in options(family)]
)
def test_dropout_is_only_in_training(family: str) -> None:
    """In evaluation the same image gets the same answer, in training it does not."""
    torch.manual_seed(0)
    model, shape = build(family, {"dropout": 0.5})
    images = torch.randn(4, *shape)
    assert torch.equal(model.eval()(images), model.eval()(images))
    assert not torch.equal(model.train()(images), model.train()(images))


@pytest.mark.parametrize("name", ["vgg", "gap"])
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
    plain = MODELS[name](SHAPE, 10, width=width, last_norm_scale="one")
    norms = [layer for layer in plain.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert math.isclose(float(norms[-1].weight.detach()[0]), 1.0)
