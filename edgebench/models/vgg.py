"""VGG-style: convolution blocks, then a hidden dense layer (Simonyan and Zisserman, 2014)."""

from __future__ import annotations

from torch import nn

from edgebench.models import MODELS
from edgebench.models.layers import (
    BATCH_NORM,
    DEFAULT_INIT,
    RELU,
    ActivationOption,
    Count,
    Depth,
    DropoutScaling,
    Fraction,
    Initialized,
    Kernel,
    LastNormScale,
    Layers,
    NormOption,
    NormPosition,
    conv_blocks,
    dropouts,
    scale_last_norm,
)


@MODELS.register
def vgg(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: Count = 64,
    blocks: Depth = 3,
    convs_per_block: Depth = 1,
    kernel: Kernel = 3,
    hidden: Count = 1024,
    norm: NormOption = BATCH_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
    last_norm_scale: LastNormScale = "fan_in",
) -> nn.Module:
    """Build a VGG-style network: blocks, flatten, Linear ``hidden``, activation, Linear classes.

    ``width`` filters of ``kernel`` x ``kernel`` pixels in the first block, doubling per block;
    ``dropout`` is the share of the hidden layer's outputs that training drops;
    ``last_norm_scale`` is where the scale of the norm before the dense layer begins
    (`scale_last_norm`). Takes ``[N, *input_shape]``, returns logits ``[N, classes]``. The defaults
    on 3x32x32 are the reference's VGG-style network: 4.58 M parameters.
    """
    features, (channels, height, size) = conv_blocks(
        input_shape,
        width=width,
        blocks=blocks,
        convs_per_block=convs_per_block,
        kernel=kernel,
        layers=Layers(norm=norm, activation=activation, norm_position=norm_position),
    )
    scale_last_norm(features, channels * height * size, last_norm_scale)
    head = [nn.Linear(channels * height * size, hidden), activation()]
    head += dropouts(dropout, dropout_scaling)
    network: nn.Module = init(
        nn.Sequential(features, nn.Flatten(), *head, nn.Linear(hidden, classes))
    )
    return network
