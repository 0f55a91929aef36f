"""What the export tests share: every family with every named choice, exported once a session."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits

from edgebench.export import Preprocessing, quantize, to_onnx
from edgebench.models import MODELS
from edgebench.registry import bind, options

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
    model = MODELS[family](SHAPE, CLASSES, **bind(MODELS[family], {**small, **dict(chosen)}))
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


@dataclass(frozen=True)
class Trained:
    """A GAP network trained on the real digits, and its data as uint8 ``[N, 1, 16, 16]``."""

    model: torch.nn.Module
    train: torch.Tensor
    test: torch.Tensor
    train_labels: torch.Tensor
    test_labels: torch.Tensor
    preprocessing: Preprocessing


@functools.cache
def trained() -> Trained:
    """Train on 1,437 digits for some seconds, to about 95 % of the 360 others; read-only."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None]
    images = torch.nn.functional.interpolate(images, (16, 16), mode="bilinear")
    pixels = (images * 255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    share = pixels[train].float() / 255
    preprocessing = Preprocessing(
        (round(share.mean().item(), 4),),
        (round(share.std().item(), 4),),
        tuple("0123456789"),
    )
    torch.manual_seed(0)
    model = MODELS["gap"]((1, 16, 16), 10, width=8, blocks=2)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    inputs = torch.from_numpy(preprocessing.apply(pixels[train].numpy()))
    for epoch in range(8):
        shuffled = torch.randperm(1437, generator=torch.Generator().manual_seed(epoch))
        for batch in shuffled.split(64):
            loss = torch.nn.functional.cross_entropy(model(inputs[batch]), labels[train][batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    return Trained(model, pixels[train], pixels[test], labels[train], labels[test], preprocessing)


@functools.cache
def handed() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the float32 and the int8 export of the trained network; read-only."""
    made = trained()
    graph = to_onnx(made.model, (1, 16, 16), metadata=made.preprocessing.metadata())
    return graph, quantize(graph, made.preprocessing.apply(made.train.numpy()), count=256)
