"""The second source: what fvcore counts of a network, against formulas written out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from export_cases import Case, cases, exported, label, network
from torch import nn
from torch.nn import functional

from edgebench.export import count_macs
from edgebench.export.audit import attention_macs
from edgebench.profiling import profile

WIDTH, HEADS, TOKENS = 16, 4, 25  # 5 x 5 patches of a 20 x 20 image


class Attention(nn.Module):
    """Patches, then multi-head attention in PyTorch's fused form."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``[N, WIDTH]``."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        parts = self.qkv(tokens).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts.unbind(0))
        projected: torch.Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return projected.mean(1)


class Library(nn.Module):
    """The same with PyTorch's own module, which has a fast path of its own in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.mix = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``[N, WIDTH]``."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        mixed: torch.Tensor = self.mix(tokens, tokens, tokens, need_weights=False)[0]
        return mixed.mean(1)


@pytest.mark.parametrize("case", cases(), ids=label)
def test_both_sources_agree_on_every_family(case: Case) -> None:
    """Fvcore on the PyTorch model counts what the profile counts in the export."""
    model, shape = network(case)
    assert count_macs(model, shape) == profile(exported(case)[1]).macs


@pytest.mark.parametrize("network_of", [Attention, Library])
def test_attention_is_counted_by_hand(network_of: type[nn.Module]) -> None:
    """Patches, four projections, and 2 N^2 d in each head for the scores and the mixture."""
    patches = TOKENS * WIDTH * 3 * 4 * 4
    projections = 4 * TOKENS * WIDTH * WIDTH
    products = HEADS * 2 * TOKENS**2 * (WIDTH // HEADS)
    assert count_macs(network_of(), (3, 20, 20)) == patches + projections + products


@pytest.mark.parametrize(
    ("query", "key", "value", "expected"),
    [
        ((1, 4, 25, 4), (1, 4, 25, 4), (1, 4, 25, 4), 2 * 4 * 25**2 * 4),
        ((2, 3, 5, 7), (2, 3, 11, 7), (2, 3, 11, 13), 2 * 3 * 5 * 11 * (7 + 13)),
        ((5, 7), (11, 7), (11, 7), 2 * 5 * 11 * 7),
    ],
    ids=["self", "cross", "one head"],
)
def test_the_formula_of_attention(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], expected: int
) -> None:
    """N M d for the scores and N M e for the mixture, by the shapes alone."""
    assert attention_macs(query, key, value) == expected


@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_a_convolution_is_counted_however_it_is_padded(padding: str | int) -> None:
    """Each output meets one filter: 8 x 3 x 3 x 3 at each of its places."""
    model = nn.Conv2d(3, 8, 3, padding=padding)
    places = {"same": 20 * 16, "valid": 18 * 14, 1: 20 * 16}[padding]
    assert count_macs(model, (3, 20, 16)) == places * 8 * 3 * 3 * 3


def test_norms_and_pools_are_no_products() -> None:
    """Only convolutions and matrix products count, as in the profile."""
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3 * 4 * 4, 5), nn.LayerNorm(5)
    )
    assert count_macs(model, (3, 8, 8)) == 3 * 4 * 4 * 5


def test_a_model_without_weights_counts_the_same() -> None:
    """On the meta device there is nothing to read but shapes."""
    assert count_macs(Attention().to("meta"), (3, 20, 20)) == count_macs(Attention(), (3, 20, 20))


def test_the_model_and_pytorchs_settings_are_left_alone() -> None:
    """Weights, mode and the random state stay, and attention keeps its fast path."""
    model = Library().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    fast = torch.backends.mha.get_fastpath_enabled()
    count_macs(model, (3, 20, 20))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled() is fast
