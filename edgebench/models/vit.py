"""A vision transformer (Dosovitskiy et al., An Image is Worth 16x16 Words, 2021), small and plain.

Tokens are averaged instead of a class token (Beyer, Zhai and Kolesnikov, Better plain ViT
baselines, 2022); layer norms stand before each branch.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from edgebench.errors import EdgebenchError
from edgebench.models import ACTIVATIONS, MODELS
from edgebench.models.layers import (
    DEFAULT_INIT,
    ActivationOption,
    Count,
    DropoutScaling,
    Fraction,
    Initialized,
    dropouts,
)

_GELU = ACTIVATIONS.choice("gelu")


class Attention(nn.Module):
    """Multi-head self-attention, softmax(Q K^T / sqrt(d)) V in each head."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (
            nn.Linear(features, features) for _ in range(4)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Take and return tokens ``[N, T, D]``."""
        count, features = tokens.shape[1:]
        size = features // self.heads

        def split(values: Tensor) -> Tensor:  # [N, T, D] -> [N, T, heads, size]
            return values.reshape(-1, count, self.heads, size)

        query = split(self.query(tokens)).transpose(1, 2) / math.sqrt(size)
        scores = query @ split(self.key(tokens)).permute(0, 2, 3, 1)  # [N, heads, T, T]
        mixed = scores.softmax(-1) @ split(self.value(tokens)).transpose(1, 2)
        found: Tensor = self.output(mixed.transpose(1, 2).reshape(-1, count, features))
        return found


class Block(nn.Module):
    """Attention, then a small network of each token by itself; each is added to its input."""

    def __init__(
        self, features: int, heads: int, hidden: int, activation: nn.Module, drop: list[nn.Module]
    ) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(features), Attention(features, heads))
        self.mlp = nn.Sequential(
            nn.LayerNorm(features),
            nn.Linear(features, hidden),
            activation,
            *drop,
            nn.Linear(hidden, features),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Take and return tokens ``[N, T, D]``."""
        tokens = tokens + self.attention(tokens)
        found: Tensor = tokens + self.mlp(tokens)
        return found


class Tokens(nn.Module):
    """Cuts an image into patches, each projected to one token, and adds where it was."""

    def __init__(
        self, input_shape: tuple[int, int, int], patch: int, features: int, *, position: bool
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(input_shape[0], features, patch, stride=patch)
        count = (input_shape[1] // patch) * (input_shape[2] // patch)
        self.position = nn.Parameter(torch.empty(1, count, features)) if position else None
        if self.position is not None:
            nn.init.trunc_normal_(self.position, std=0.02)  # as in the paper's code

    def forward(self, images: Tensor) -> Tensor:
        """Take images ``[N, C, H, W]``, return tokens ``[N, T, D]``."""
        tokens: Tensor = self.projection(images).flatten(2).transpose(1, 2)
        return tokens if self.position is None else tokens + self.position


class Mean(nn.Module):
    """Averages the tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Take ``[N, T, D]``, return ``[N, D]``."""
        return tokens.mean(1)


@MODELS.register
def vit(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    patch: Count = 4,
    dim: Count = 64,
    depth: Annotated[int, Ge(1), Le(24)] = 6,
    heads: Count = 4,
    mlp_ratio: Annotated[float, Ge(0.25), Le(8.0)] = 2.0,
    position_embedding: bool = True,
    activation: ActivationOption = _GELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build a vision transformer: patches, ``depth`` blocks, layer norm, mean, Linear classes.

    ``patch`` pixels square are one token of ``dim`` features; attention has ``heads`` heads; the
    network in a block has ``mlp_ratio`` times ``dim`` features, and ``dropout`` is the share of
    them that training drops. Takes ``[N, *input_shape]``, returns logits ``[N, classes]``.

    Raises:
        EdgebenchError: ``patch`` does not divide the image, or ``heads`` does not divide ``dim``.
    """
    _check(input_shape, patch, dim, heads)
    hidden = max(1, round(mlp_ratio * dim))
    blocks = [
        Block(dim, heads, hidden, activation(), dropouts(dropout, dropout_scaling))
        for _ in range(depth)
    ]
    network: nn.Module = init(
        nn.Sequential(
            Tokens(input_shape, patch, dim, position=position_embedding),
            *blocks,
            nn.LayerNorm(dim),
            Mean(),
            nn.Linear(dim, classes),
        )
    )
    return network


def _check(input_shape: tuple[int, int, int], patch: int, dim: int, heads: int) -> None:
    _, height, width = input_shape
    mistakes = []
    if height % patch or width % patch:
        mistakes.append(
            f"model.patch: {patch} does not divide {height}x{width} pixels; the nearest valid "
            f"value is {_nearest_divisor(math.gcd(height, width), patch)}"
        )
    if dim % heads:
        mistakes.append(
            f"model.heads: {heads} does not divide {dim} features; the nearest valid value is "
            f"{_nearest_divisor(dim, heads)}"
        )
    if mistakes:
        raise EdgebenchError(*mistakes)


def _nearest_divisor(number: int, wanted: int) -> int:
    divisors = (n for n in range(1, number + 1) if number % n == 0)
    return min(divisors, key=lambda divisor: abs(divisor - wanted))
