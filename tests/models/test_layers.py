"""Contracts that every norm, activation and initialization keeps, in every family that has it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from family_instances import build, having
from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.models import ACTIVATIONS, INITIALIZATIONS, MODELS, NORMS
from edgebench.models.layers import (
    Layers,
    conv_blocks,
    dropouts,
    normalized_conv,
    scale_last_norm,
)
from edgebench.registry import options

REGISTRIES = (NORMS, ACTIVATIONS, INITIALIZATIONS)


def test_no_option_has_two_meanings() -> None:
    """No member has an option that a family, or another registry's member, has."""
    taken = {name: "a family" for family in MODELS.values() for name in options(family)}
    for registry in REGISTRIES:
        own = {name for member in registry.values() for name in options(member)}
        assert not own & taken.keys(), registry.kind
        taken |= dict.fromkeys(own, registry.kind)


@pytest.mark.parametrize(
    ("family", "option", "member"),
    [
        (family, option, member)
        for registry in REGISTRIES
        for family, option in having(registry)
        for member in registry
    ],
)
def test_every_member_works_in_every_family(family: str, option: str, member: str) -> None:
    """Logits that are finite numbers, and a gradient for every weight."""
    torch.manual_seed(0)
    model, shape = build(family, {option: member})
    logits = model.train()(torch.randn(4, *shape))
    assert logits.shape == (4, 10)
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("name", [name for name in NORMS if name != "none"])
def test_a_norm_normalizes_what_it_says(name: str) -> None:
    """Mean 0 and variance 1 over the axes of its definition, by hand."""
    axes = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3), "group": (2, 3, 4)}
    if name not in axes:
        pytest.skip("a norm that this list does not know is judged by the other contracts")
    values = torch.randn(6, 16, 5, 5) * 3 + 2
    found = NORMS[name](16, 2).train()(values)
    if name == "group":
        values, found = (one.view(6, 8, 2, 5, 5) for one in (values, found))
    mean = values.mean(axes[name], keepdim=True)
    variance = values.var(axes[name], correction=0, keepdim=True)
    torch.testing.assert_close(found, (values - mean) / (variance + 1e-5).sqrt())


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_takes_vectors(name: str) -> None:
    """``axes`` 0 is ``[N, C]``: normalized, or left as they are where they cannot be."""
    values = torch.randn(4, 8) * 3 + 2
    found = NORMS[name](8, 0)(values).detach()
    assert found.shape == values.shape
    if torch.equal(found, values):
        assert name in {"none", "instance"}
    else:
        assert min(float(found.mean(axis).abs().max()) for axis in (0, 1)) < 1e-5 or name == "group"


def test_maps_of_one_pixel_cannot_be_normalized_alone() -> None:
    """The user's mistake, with the norm that can."""
    with pytest.raises(EdgebenchError, match=r"^model\.norm: 'instance' cannot normalize maps of"):
        NORMS["instance"](8, 2)(torch.zeros(2, 8, 1, 1))


@pytest.mark.parametrize("features", [1, 6, 8, 12, 24])
def test_groups_divide_the_features(features: int) -> None:
    """The largest number up to the one asked for that divides them."""
    norm = NORMS["group"](features, 2, norm_groups=8)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == {1: 1, 6: 6, 8: 8, 12: 6, 24: 8}[features]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_the_shape(name: str) -> None:
    """It maps any shape to itself, is not linear, and differentiates as it says."""
    layer = ACTIVATIONS[name]()
    values = torch.randn(3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    assert layer(values).shape == values.shape
    assert not torch.allclose(layer(values) + layer(-values), 2 * layer(values * 0)) or name in {
        "sigmoid",
        "tanh",
    }
    assert torch.autograd.gradcheck(layer, values.requires_grad_())


def wide() -> nn.Module:
    """Return a network with layers large enough for their statistics to be steady."""
    conv, dense = nn.Conv2d(64, 128, 3), nn.Linear(512, 256)
    return nn.Sequential(conv, nn.BatchNorm2d(128), nn.Flatten(), dense)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        # PyTorch draws uniformly within +-1/sqrt(fan-in): deviation 1/sqrt(3 fan-in).
        ("default", {}, lambda fan_in, _: 1 / math.sqrt(3 * fan_in)),
        ("kaiming", {}, lambda fan_in, _: math.sqrt(2 / fan_in)),
        ("xavier", {}, lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        ("normal", {"init_scale": 0.3}, lambda *_: 0.3),
    ],
)
def test_weights_are_drawn_as_published(
    name: str, given: dict[str, float], expected: object
) -> None:
    """The deviation of each layer's weights within 2 %."""
    torch.manual_seed(0)
    model = INITIALIZATIONS[name](wide(), **given)
    assert isinstance(model, nn.Sequential)
    assert isinstance(model[0], nn.Conv2d)
    for layer, fan_in, fan_out in ((model[0], 64 * 9, 128 * 9), (model[3], 512, 256)):
        deviation = float(layer.weight.detach().std())
        assert deviation == pytest.approx(expected(fan_in, fan_out), rel=0.02)


@pytest.mark.parametrize("name", INITIALIZATIONS)
def test_an_initialization_follows_the_seed_and_spares_norms(name: str) -> None:
    """The same seed, the same weights; biases are zero unless PyTorch's are kept."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(INITIALIZATIONS[name](wide()).state_dict())
    assert all(torch.equal(one, states[1][key]) for key, one in states[0].items())
    assert not torch.equal(states[0]["0.weight"], states[2]["0.weight"])
    assert bool((states[0]["1.weight"] == 1).all())
    assert bool((states[0]["3.bias"] == 0).all()) == (name != "default")


def test_a_bias_that_the_norm_takes_off_is_left_out() -> None:
    """Batch and instance norm subtract each feature's mean; the others do not."""
    for name in NORMS:
        [conv, *_] = normalized_conv(3, 8, 3, norm=NORMS.choice(name))
        assert isinstance(conv, nn.Conv2d)
        assert (conv.bias is None) == (name in {"batch", "instance"}), name


@pytest.mark.parametrize("norm", NORMS)
def test_the_last_norm_begins_small_before_a_wide_dense_layer(norm: str) -> None:
    """At 256 / fan-in, where that is below 1 and is asked for; the other norms begin at 1."""
    for begin, fan_in, scale in (("fan_in", 1024, 0.25), ("fan_in", 256, 1.0), ("one", 1024, 1.0)):
        features, _ = conv_blocks(
            (3, 8, 8),
            width=4,
            blocks=2,
            convs_per_block=1,
            layers=Layers(norm=NORMS.choice(norm), activation=ACTIVATIONS.choice("relu")),
        )
        scale_last_norm(features, fan_in, begin)  # type: ignore[arg-type]  # a literal
        named = features.named_parameters()
        weights = [p for name, p in named if p.ndim == 1 and "weight" in name]
        assert [float(weight.detach()[0]) for weight in weights] == (
            [] if norm == "none" else [1.0, scale]
        )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("position", ["before", "after"])
def test_the_norm_stands_where_it_is_put(norm: str, position: Any) -> None:
    """Convolution, norm, activation, or convolution, activation, norm; dense layers alike."""
    layers = Layers(
        norm=NORMS.choice(norm), activation=ACTIVATIONS.choice("tanh"), norm_position=position
    )
    built = [layers.conv(3, 8, 3, stride=2, padding=1)]
    built += [layers.dense(8, 4)] if norm != "instance" else []  # which leaves vectors alone
    for linear, *others in built:
        assert isinstance(linear, nn.Conv2d | nn.Linear)
        tanh = [isinstance(layer, nn.Tanh) for layer in others]
        if norm == "none":
            assert tanh == [True]
        else:
            assert tanh == ([False, True] if position == "before" else [True, False])
        # Behind the activation no norm can take a bias off.
        assert (linear.bias is None) == (position == "before" and norm in {"batch", "instance"})


@pytest.mark.parametrize(("scaling", "kept"), [("inverted", 4 / 3), ("unscaled", 1.0)])
def test_dropout_scales_what_it_keeps_or_not(scaling: Any, kept: float) -> None:
    """A quarter is dropped, the others are divided by the share kept, or not at all."""
    torch.manual_seed(0)
    [layer] = dropouts(0.25, scaling)
    values = torch.ones(100, 100)
    found = layer.train()(values)
    assert torch.unique(found).tolist() == pytest.approx([0.0, kept])
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(layer.eval()(values), values)
    assert dropouts(0.0, scaling) == []
