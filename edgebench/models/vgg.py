"""VGG-style: convolution blocks, then a hidden dense layer (Simonyan and Zisserman, 2014)."""

from __future__ import annotations

from torch import nn

from edgebench.models import MODELS
from edgebench.models.layers import (
    Activation,
    Count,
    Depth,
    Fraction,
    Norm,
    activation_layer,
    conv_blocks,
    soften,
)


@MODELS.register
def vgg(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: Count = 64,
    blocks: Depth = 3,
    convs_per_block: Depth = 1,
    hidden: Count = 1024,
    norm: Norm = "batch",
    activation: Activation = "relu",
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Build a VGG-style network: blocks, flatten, Linear ``hidden``, activation, Linear classes.

    ``width`` filters in the first block, doubling per block; ``dropout`` is the share of the
    hidden layer's outputs that training drops. Takes ``[N, *input_shape]``, returns logits
    ``[N, classes]``. The defaults on 3x32x32 are the reference's VGG-style network: 4.58 M
    parameters.
    """
    features, (channels, height, size) = conv_blocks(
        input_shape,
        width=width,
        blocks=blocks,
        convs_per_block=convs_per_block,
        norm=norm,
        activation=activation,
    )
    soften(features, channels * height * size)
    head: list[nn.Module] = [nn.Linear(channels * height * size, hidden)]
    head.append(activation_layer(activation))
    if dropout:
        head.append(nn.Dropout(dropout))
    return nn.Sequential(features, nn.Flatten(), *head, nn.Linear(hidden, classes))
