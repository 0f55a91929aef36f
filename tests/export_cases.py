"""What the export tests share: every family with every named choice, exported once a session."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import torch

from edgebench.export import Preprocessing, to_onnx
from edgebench.models import MODELS
from edgebench.registry import options

SHAPE = (3, 16, 16)
CLASSES = 5
SMALL = {"width": 4, "hidden": 16, "blocks": 2}  # wherever a family has these options
PREPROCESSING = Preprocessing(
    mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), classes=("ant", "bee", "cat", "dog", "élan")
)
Case = tuple[str, tuple[tuple[str, object], ...]]


def cases() -> list[Case]:
    """Return each family at its defaults and with each choice of each of its named options."""
    found: list[Case] = []
    for family in MODELS:
        schema = options(MODELS[family])
        found.append((family, ()))
        for name, option in schema.items():
            found += [
                (family, ((name, choice),))
                for choice in option.choices()
                if choice != option.default
            ]
    return found


def label(case: Case) -> str:
    """Return a readable test id, as ``vgg-activation=gelu``."""
    return "-".join([case[0], *(f"{name}={value}" for name, value in case[1])])


def build(case: Case) -> torch.nn.Module:
    """Return the network of ``case`` in training mode, its batch norms with lived-in statistics."""
    family, chosen = case
    small = {name: value for name, value in SMALL.items() if name in options(MODELS[family])}
    torch.manual_seed(7)
    model = MODELS[family](SHAPE, CLASSES, **{**small, **dict(chosen)})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


@functools.cache
def exported(case: Case, opset: int = 18) -> tuple[torch.nn.Module, onnx.ModelProto]:
    """Return the network of ``case`` and its export; treat both as read-only."""
    model = build(case)
    return model, to_onnx(model, SHAPE, opset=opset, metadata=PREPROCESSING.metadata())


def pixels(count: int, seed: int = 0) -> torch.Tensor:
    """Return smooth random uint8 images ``[count, *SHAPE]``: neighbouring pixels are alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, SHAPE[1:], mode="bilinear")
    return (fine * 255).to(torch.uint8)


def normalised(images: torch.Tensor) -> np.ndarray:
    """Return ``(pixel / 255 - mean) / std`` as float32, written out for the tests to compare."""
    mean = np.array(PREPROCESSING.mean, np.float32).reshape(1, -1, 1, 1)
    std = np.array(PREPROCESSING.std, np.float32).reshape(1, -1, 1, 1)
    scaled: np.ndarray = (images.numpy().astype(np.float32) / 255 - mean) / std
    return scaled
