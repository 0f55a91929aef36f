"""What training computes otherwise to be quicker gives what the network as built gives."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import Tensor, nn

from edgebench.training.quickening import quickened

CPU = torch.device("cpu")
LAST = torch.channels_last


def gradients(
    model: nn.Module, images: Tensor, *, bfloat16: bool = False, quick: bool = True
) -> list[Tensor]:
    """Return the output and the gradients of the images and of all parameters."""
    model.zero_grad()
    images = images.clone().requires_grad_()
    with quickened(model, CPU, watched=False) if quick else contextlib.nullcontext():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            found = model(images)
        # Each value counts differently, so that no gradient is right by accident.
        weights = torch.linspace(-1, 1, found.numel()).view_as(found)
        (found.float() * weights).sum().backward()
    assert images.grad is not None
    return [found, images.grad, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6()])
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1)])
def test_a_pool_ahead_of_relu_is_the_same_bit_for_bit(
    activation: nn.Module, pool: nn.Module
) -> None:
    """Also where values of a window are equal, negative, zero, or clipped from above."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, padding=1)
    model = nn.Sequential(conv, nn.BatchNorm2d(8, momentum=0.0), activation, pool)
    with torch.no_grad():
        model[1].weight.copy_(torch.linspace(-9, 9, 8))
    images = torch.randint(-1, 2, (4, 3, 9, 9)).float().to(memory_format=LAST)
    for bfloat16 in (False, True):
        built = gradients(model, images, bfloat16=bfloat16, quick=False)
        quick = gradients(model, images, bfloat16=bfloat16)
        assert all(torch.equal(one, other) for one, other in zip(built, quick, strict=True))
    only = nn.Sequential(activation, pool)  # values on the bounds of the clip, many of them equal
    bounds = torch.randint(-1, 8, (4, 3, 9, 9)).float()
    pairs = zip(gradients(only, bounds, quick=False), gradients(only, bounds), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_layers_trade_places_and_go_back() -> None:
    """Within, the pool stands first; an error brings the order back as well."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    names = list(model.state_dict())
    with contextlib.suppress(ValueError), quickened(model, CPU, watched=False):
        assert [type(one) for one in model[1:]] == [nn.MaxPool2d, nn.ReLU]
        assert list(model.state_dict()) == names
        raise ValueError
    assert [type(one) for one in model[1:]] == [nn.ReLU, nn.MaxPool2d]


@pytest.mark.parametrize(
    "layers",
    [
        (nn.LeakyReLU(), nn.MaxPool2d(2)),  # rounding can make its values equal
        (nn.ReLU(inplace=True), nn.MaxPool2d(2)),  # others may read what it overwrites
        (nn.ReLU(), nn.AvgPool2d(2)),
        (nn.ReLU(), nn.MaxPool2d(2, return_indices=True)),
    ],
)
def test_other_layers_stay_where_they_are(layers: tuple[nn.Module, nn.Module]) -> None:
    """Where the same is not certain; and where somebody watches the steps."""
    model = nn.Sequential(*layers)
    with quickened(model, CPU, watched=False):
        assert list(model) == list(layers)
    clipped = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    with quickened(clipped, CPU, watched=True):
        assert type(clipped[0]) is nn.ReLU


def test_a_strided_depthwise_convolution_leaves_bfloat16() -> None:
    """Its gradients are nearer to those of float32, and its output is what autocast's is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1, groups=16, bias=False))
    images = torch.randn(4, 16, 12, 12).to(memory_format=LAST)
    exact = gradients(model, images, quick=False)
    built = gradients(model, images, bfloat16=True, quick=False)
    quick = gradients(model, images, bfloat16=True)
    assert quick[0].dtype == built[0].dtype == torch.bfloat16
    for one, other, wanted in zip(quick, built, exact, strict=True):
        torch.testing.assert_close(one.float(), other.float(), rtol=0.02, atol=0.02)
        assert (one.float() - wanted).norm() < (other.float() - wanted).norm()
    assert all(map(torch.equal, exact, gradients(model, images)))  # without autocast the same


def test_a_copy_convolves_with_its_own_weights() -> None:
    """A network that is copied while it trains is one of its own."""
    model = nn.Sequential(nn.Conv2d(4, 4, 3, 2, groups=4))
    images = torch.randn(1, 4, 5, 5)
    wanted = model(images)
    with quickened(model, CPU, watched=False):
        twin = copy.deepcopy(model)
        with torch.no_grad():
            model[0].weight.zero_()
        assert torch.equal(twin(images), wanted)
        assert not torch.equal(model(images), wanted)
    assert "forward" not in vars(model[0])
