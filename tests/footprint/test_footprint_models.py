"""Networks that people really use, measured end to end from their ONNX export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from edgebench.export import to_onnx
from edgebench.footprint import CONVENTIONS, Footprint, measure
from edgebench.profiling import profile


def by_hand(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count convolutions and linear layers by the shapes they are called with."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:  # noqa: ARG001 - a hook
        nonlocal total
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            patch = height * width * module.in_channels // module.groups
            total += output.numel() * patch
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return total


def checked(found: Footprint, others: dict[str, Footprint]) -> None:
    """Assert that the arena lies between the least possible and one static buffer a tensor."""
    assert others["bound"].activations_bytes <= found.activations_bytes
    assert found.activations_bytes <= others["static-c"].activations_bytes
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: torchvision.models.mobilenet_v2(weights=None), (3, 96, 96)),
        (lambda: torchvision.models.resnet18(weights=None), (3, 64, 64)),
    ],
    ids=["mobilenet_v2", "resnet18"],
)
def test_networks_of_torchvision(
    build: Callable[[], nn.Module], shape: tuple[int, int, int]
) -> None:
    """MACs by hand, parameters with every batch norm folded, and an arena within its bounds."""
    model = build()
    found = profile(to_onnx(model, shape))
    assert found.macs == by_hand(model, shape)
    norms = [one for one in model.modules() if isinstance(one, nn.BatchNorm2d)]
    trained = sum(parameter.numel() for parameter in model.parameters())
    assert found.parameters == trained - sum(norm.num_features for norm in norms)
    figures = {name: measure(found, name) for name in CONVENTIONS}
    checked(figures["st"], figures)


def test_a_small_vision_transformer() -> None:
    """Linear layers by hand, and the two products of activations of each head."""
    model = VisionTransformer(32, 8, 2, 4, 64, 128, num_classes=10)
    found = profile(to_onnx(model, (3, 32, 32)))
    tokens, width, blocks = 17, 64, 2
    patches = 16 * 64 * 3 * 8 * 8
    block = tokens * width * 3 * width + tokens * width * width + 2 * tokens * width * 128
    attention = 2 * tokens * tokens * width
    assert found.macs == patches + blocks * (block + attention) + width * 10
    figures = {name: measure(found, name) for name in CONVENTIONS}
    checked(figures["st"], figures)


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return ReLU(body + shortcut)."""
        body = self.second(torch.relu(self.first(images)))
        return torch.relu(body + self.short(images))


class ResNet8(nn.Module):
    """The residual network of a well-known benchmark: 78,744 B of int8 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        self.body = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        value = self.body(torch.relu(self.stem(images)))
        logits: torch.Tensor = self.head(torch.flatten(self.pool(value), 1))
        return logits


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Export the residual network once; return its file and its MACs by hand."""
    model, path = ResNet8(), tmp_path_factory.mktemp("residual") / "plain.onnx"
    onnx.save(to_onnx(model, (3, 32, 32)), path)
    return path, by_hand(model, (3, 32, 32))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the quantizer's own imports
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_an_int8_residual_network(
    form: str, per_channel: bool, residual: tuple[Path, int], tmp_path: Path
) -> None:
    """Quantized by ONNX Runtime in each of its forms: one footprint, whatever the form."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self.left = iter([{"input": np.ones((1, 3, 32, 32), np.float32)}] * 2)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    plain, macs = residual
    path = tmp_path / "int8.onnx"
    quantize_static(
        str(plain), str(path), Reader(), quant_format=QuantFormat[form], per_channel=per_channel,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    found = profile(path)
    assert (found.dtype, found.macs) == ("int8", macs)
    assert found.weights_bytes == 78_744  # as the vendor's model zoo prints it: 76.90 KiB
    figures = {name: measure(found, name) for name in CONVENTIONS}
    checked(figures["st"], figures)
    assert figures["st"].activations_bytes == 56_672
