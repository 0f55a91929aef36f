"""What decays follows the data: the layer before a norm is found in any forward pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgebench.models import MODELS, NORMS
from edgebench.registry import bind
from edgebench.training.decay import decayed_parameters

SHAPE = (3, 8, 8)


def names(model: nn.Module, which: str = "unnormalized") -> set[str]:
    """Return the names of the parameters of ``model`` that decay."""
    chosen = {id(one) for one in decayed_parameters(model, SHAPE, which)}  # type: ignore[arg-type]  # parametrised
    return {name for name, one in model.named_parameters() if id(one) in chosen}


class PostActivation(nn.Module):
    """A residual block whose second norm comes before the addition (He et al., 2016)."""

    def __init__(self) -> None:
        super().__init__()
        # Defined in an order that no forward pass follows.
        self.head = nn.Linear(4, 2)
        self.norm2, self.norm1 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.conv2, self.conv1 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        first = torch.relu(self.norm1(self.conv1(images)))
        second = torch.relu(self.norm2(self.conv2(first)) + first)
        logits: Tensor = self.head(second.mean((2, 3)))
        return logits


class PreActivation(nn.Module):
    """A residual block whose sum is normalized: no convolution's output alone is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)  # defined right after conv2, and reads the sum
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        first = self.conv1(images)
        logits: Tensor = self.head(self.norm(self.conv2(first) + first).mean((2, 3)))
        return logits


class Shared(nn.Module):
    """One convolution whose output is read by a norm and by a second reader."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        first = self.conv(images)
        logits: Tensor = self.head((self.norm(first) * torch.sigmoid(first)).mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (PostActivation, {"head.weight"}),
        (PreActivation, {"conv1.weight", "conv2.weight", "head.weight"}),
        (Shared, {"conv.weight", "head.weight"}),
    ],
)
def test_the_graph_decides(build: Callable[[], nn.Module], expected: set[str]) -> None:
    """Whatever the order of definition, beside residual additions and second readers."""
    assert names(build()) == expected


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_takes_the_scale_off(norm: str) -> None:
    """A weight is left out exactly where ten times the weight gives the same network.

    The scale is tried on the network itself, with tiny weights made large against the norm's
    epsilon.
    """
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), NORMS[norm](8, 2), nn.Tanh(), nn.Flatten(), nn.Linear(288, 4)]
    model = nn.Sequential(*layers).train()
    decayed = names(model)
    model.double()
    images = torch.randn(6, *SHAPE, dtype=torch.float64)
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            continue
        with torch.no_grad():
            before = model(images)
            layer = model.get_submodule(name.partition(".")[0])
            for parameter in layer.parameters():
                parameter.mul_(10)
            same = torch.allclose(model(images), before, rtol=1e-3, atol=1e-3)
            for parameter in layer.parameters():
                parameter.div_(10)
        assert same == (name not in decayed)


@pytest.mark.parametrize(
    ("which", "norm", "expected"),
    [
        ("all", "batch", 3 * 3 + 2 * 2),
        ("weights", "batch", 3 + 2),
        ("unnormalized", "batch", 2),
        ("unnormalized", "none", 3 + 2),
    ],
)
def test_what_is_decayed(which: str, norm: str, expected: int) -> None:
    """VGG-style: three convolutions, each with a norm of two vectors, and two dense layers."""
    family = MODELS["vgg"]
    model = family(SHAPE, 10, **bind(family, {"width": 2, "hidden": 4, "norm": norm}))
    assert len(names(model, which)) == expected


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(192, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2)],
        [nn.Linear(192, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)],
        [nn.Linear(192, 4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2)],
    ],
    ids=["layer norm", "norm after the activation", "dropout between"],
)
def test_dense_layers_too(layers: list[nn.Module]) -> None:
    """A rectifier or a dropout between the layer and its norm passes the scale on."""
    assert names(nn.Sequential(nn.Flatten(), *layers)) == {f"{len(layers)}.weight"}


def test_looking_changes_nothing() -> None:
    """No random number is drawn, and statistics, mode and gradients stay."""
    network = PostActivation().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    decayed_parameters(network, SHAPE, "unnormalized")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_without_gradients_decays_whole() -> None:
    """What is no function of a weight has no graph to follow."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 2))

        def forward(self, images: Tensor) -> Tensor:
            return images.new_zeros(len(images), 2)

    assert names(Constant()) == {"weight"}
