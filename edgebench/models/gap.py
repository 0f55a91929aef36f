"""Convolution blocks and global average pooling (Lin, Chen and Yan, 2013)."""

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
def gap(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: Count = 64,
    blocks: Depth = 3,
    convs_per_block: Depth = 1,
    kernel: Kernel = 3,
    norm: NormOption = BATCH_NORM,
    norm_position: NormPosition = "before",
    activation: ActivationOption = RELU,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
    last_norm_scale: LastNormScale = "fan_in",
) -> nn.Module:
    """Build a GAP network: blocks, global average pooling, Linear classes.

    ``width`` filters of ``kernel`` x ``kernel`` pixels in the first block, doubling per block;
    ``dropout`` is the share of the pooled features that training drops; ``last_norm_scale`` is
    where the scale of the norm before the dense layer begins (`scale_last_norm`). Takes
    ``[N, *input_shape]``, returns logits ``[N, classes]``. The defaults on 3x32x32 are the
    reference's GAP network: 0.37 M parameters.
    """
    features, (channels, _, _) = conv_blocks(
        input_shape,
        width=width,
        blocks=blocks,
        convs_per_block=convs_per_block,
        kernel=kernel,
        layers=Layers(norm=norm, activation=activation, norm_position=norm_position),
    )
    scale_last_norm(features, channels, last_norm_scale)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropouts(dropout, dropout_scaling)]
    network: nn.Module = init(nn.Sequential(features, *head, nn.Linear(channels, classes)))
    return network
