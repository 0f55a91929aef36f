"""MobileNetV2: inverted residuals (Sandler et al., 2018, table 2), for small images."""

from __future__ import annotations

from torch import Tensor, nn

from edgebench.models import ACTIVATIONS, MODELS
from edgebench.models.layers import (
    BATCH_NORM,
    DEFAULT_INIT,
    ActivationOption,
    Count,
    DropoutScaling,
    Fraction,
    Initialized,
    Layers,
    NormOption,
    WidthMultiplier,
    dropouts,
    normalized_conv,
)

FIRST, LAST = 32, 1280  # filters of the first and the last convolution
STAGES = (
    (False, 16, 1, 1), (True, 24, 2, 1), (True, 32, 3, 2), (True, 64, 4, 2), (True, 96, 3, 1),
    (True, 160, 3, 2), (True, 320, 1, 1),
)  # fmt: skip
"""Whether a stage's blocks expand, its filters, its blocks, the stride of its first block."""
MULTIPLE = 8  # of which the paper's code makes all numbers of filters
_RELU6 = ACTIVATIONS.choice("relu6")


class Added(nn.Module):
    """Adds what a branch computes to its input, without an activation."""

    def __init__(self, branch: nn.Sequential) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, images: Tensor) -> Tensor:
        """Take and return images ``[N, C, H, W]``."""
        found: Tensor = images + self.branch(images)
        return found


@MODELS.register
def mobilenet_v2(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width_multiplier: WidthMultiplier = 1.0,
    expansion: Count = 6,
    norm: NormOption = BATCH_NORM,
    activation: ActivationOption = _RELU6,
    dropout: Fraction = 0.0,
    dropout_scaling: DropoutScaling = "inverted",
    init: Initialized = DEFAULT_INIT,
) -> nn.Module:
    """Build MobileNetV2: Conv3x3, 17 inverted residuals, Conv1x1, global average pooling, Linear.

    An inverted residual is a Conv1x1 to ``expansion`` times the channels, a depthwise Conv3x3 and
    a Conv1x1 without activation, added to its input where the shapes agree. ``width_multiplier``
    scales all filters, in multiples of 8; the last convolution never has fewer than 1,280. The
    first convolution and the second stage have stride 1, not the paper's 2, for 32x32 pixels.
    ``dropout`` is the share of the pooled features that training drops. Takes
    ``[N, *input_shape]``, returns logits ``[N, classes]``.
    """
    layers = Layers(norm=norm, activation=activation)
    channels = _multiple(FIRST * width_multiplier)
    features = layers.conv(input_shape[0], channels, 3, padding=1)
    for expands, count, blocks, first_stride in STAGES:
        filters = _multiple(count * width_multiplier)
        for block in range(blocks):
            stride = 1 if block else first_stride
            inner = channels * expansion if expands else channels
            branch = nn.Sequential(
                *(layers.conv(channels, inner, 1) if expands else ()),
                *layers.conv(inner, inner, 3, stride=stride, padding=1, groups=inner),
                *normalized_conv(inner, filters, 1, norm=norm),
            )
            features.append(Added(branch) if stride == 1 and channels == filters else branch)
            channels = filters
    last = _multiple(LAST * max(1.0, width_multiplier))
    features += layers.conv(channels, last, 1)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropouts(dropout, dropout_scaling)]
    network: nn.Module = init(nn.Sequential(*features, *head, nn.Linear(last, classes)))
    return network


def _multiple(filters: float) -> int:
    """Round to a multiple of 8, up where that would take away more than a tenth."""
    rounded = max(MULTIPLE, int(filters + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return rounded + MULTIPLE if rounded < 0.9 * filters else rounded
