"""GAP: convolution blocks, then global average pooling (Lin, Chen and Yan, 2013)."""

from __future__ import annotations

from torch import nn

from edgebench.models import MODELS
from edgebench.models.layers import (
    Activation,
    Count,
    Depth,
    Fraction,
    Norm,
    conv_blocks,
    soften,
)


@MODELS.register
def gap(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: Count = 64,
    blocks: Depth = 3,
    convs_per_block: Depth = 1,
    norm: Norm = "batch",
    activation: Activation = "relu",
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Build a GAP network: blocks, global average pooling, Linear classes.

    ``width`` filters in the first block, doubling per block; ``dropout`` is the share of the
    pooled features that training drops. Takes ``[N, *input_shape]``, returns logits
    ``[N, classes]``. The defaults on 3x32x32 are the reference's GAP network: 0.37 M parameters.
    """
    features, (channels, _, _) = conv_blocks(
        input_shape,
        width=width,
        blocks=blocks,
        convs_per_block=convs_per_block,
        norm=norm,
        activation=activation,
    )
    soften(features, channels)
    head: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if dropout:
        head.append(nn.Dropout(dropout))
    return nn.Sequential(features, *head, nn.Linear(channels, classes))
