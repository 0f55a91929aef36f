"""Normalizations that are a layer: the mean image, and ZCA whitening.

They need more numbers than a mean and a deviation per channel. The layer stands first in the model
and its numbers, from the training split alone, are constants of it: so they travel with the model,
and every footprint counts what they cost at inference.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Normalization = Literal["channel", "mean_image", "zca", "none"]
"""What is taken off pixels scaled to 0..1: see `DataOptions.normalization`."""
ZCA_EPSILON = 0.1
"""Is added to each variance before its root is taken, where a channel's variance is 1."""
AT_ONCE = 1000  # images, as float32


class MeanImage(nn.Module):
    """Takes off the mean of the training images, pixel by pixel."""

    offset: Tensor

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(1, *input_shape))

    def forward(self, images: Tensor) -> Tensor:
        """Take and return images ``[N, C, H, W]``."""
        return images + self.offset

    def fit(self, images: Tensor, std: tuple[float, ...]) -> None:
        """Set the numbers from training images uint8 ``[N, C, H, W]``, deviations per channel."""
        self.offset.copy_(-_mean(images, std))


class Whitening(nn.Module):
    """ZCA: takes the mean image off, and what pixels tell of each other (Bell and Sejnowski, 1997).

    W = U (S + epsilon)^(-1/2) U^T, with the eigenvectors U and eigenvalues S of the covariance of
    the training images' pixels: the outputs are uncorrelated and still look like the images
    (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, appendix A).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        size = math.prod(input_shape)
        self.register_buffer("weight", torch.zeros(size, size))
        self.register_buffer("bias", torch.zeros(size))

    def forward(self, images: Tensor) -> Tensor:
        """Take and return images ``[N, C, H, W]``, always in float32."""
        kind = images.device.type
        if kind in {"cpu", "cuda"} and torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._whitened(images)
        return self._whitened(images)

    def _whitened(self, images: Tensor) -> Tensor:
        return functional.linear(images.flatten(1), self.weight, self.bias).view(images.shape)

    def fit(self, images: Tensor, std: tuple[float, ...]) -> None:
        """Set the numbers from training images uint8 ``[N, C, H, W]``, deviations per channel."""
        mean = _mean(images, std)
        covariance = torch.zeros_like(self.weight, dtype=torch.float32)
        for part in torch.split(images, AT_ONCE):
            centred = (_scaled(part, std) - mean).flatten(1)
            covariance.addmm_(centred.T, centred)
        values, vectors = torch.linalg.eigh(covariance / len(images))
        roots = (values.clamp_min(0) + ZCA_EPSILON).rsqrt()
        self.weight.copy_((vectors * roots) @ vectors.T)
        self.bias.copy_(-self.weight @ mean.flatten())


def input_layer(
    normalization: Normalization, input_shape: tuple[int, int, int]
) -> MeanImage | Whitening | None:
    """Return the layer of a normalization, not yet fitted; None for one that needs none."""
    if normalization == "mean_image":
        return MeanImage(input_shape)
    return Whitening(input_shape) if normalization == "zca" else None


def input_cost(normalization: Normalization, input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return the MACs and the float32 bytes that a normalization adds to a model."""
    size = math.prod(input_shape)
    if normalization == "zca":
        return size * size, 4 * (size * size + size)
    return 0, 4 * size if normalization == "mean_image" else 0


def _scaled(images: Tensor, std: tuple[float, ...]) -> Tensor:
    deviation = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    return images.float() / 255 / deviation


def _mean(images: Tensor, std: tuple[float, ...]) -> Tensor:
    """Return the mean image ``[1, C, H, W]`` of pixels divided by 255 and their deviation."""
    total = torch.stack([part.double().sum(0) for part in torch.split(images, AT_ONCE)]).sum(0)
    return _scaled(total / len(images), std)
