"""What the export tests share: every family with the choices of its options, exported once."""

from __future__ import annotations

import copy
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path

import family_instances
import filelock
import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits

from edgebench.errors import EdgebenchError
from edgebench.export import Preprocessing, quantize, serialize, to_onnx
from edgebench.models import INITIALIZATIONS, MODELS
from edgebench.registry import bind, options

SHAPE = (3, 16, 16)  # of the networks that tests write themselves
CLASSES = 5
SHARED = "EDGEBENCH_TEST_EXPORTS"
"""The variable that names the folder of this test run's exports."""
PREPROCESSING = Preprocessing(
    mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), classes=("ant", "bee", "cat", "dog", "élan")
)
Case = tuple[str, tuple[tuple[str, object], ...]]


@functools.cache
def cases() -> list[Case]:
    """Return each family at its defaults and some cases more, in which every choice comes up.

    The choices of all options advance together from case to case, and each family begins where the
    one before ended: a new family adds a few exports, whatever the number of activations. Options
    that choose among numbers are sizes: they repeat layers, and cost minutes at their largest.
    """
    choices = {
        family: {
            name: option.choices()
            for name, option in options(MODELS[family]).items()
            if option.registry is not INITIALIZATIONS  # weights, no graph
            and any(isinstance(choice, str) for choice in option.choices())
        }
        for family in MODELS
    }
    longest = max(len(all_) for found in choices.values() for all_ in found.values())
    count = math.ceil(longest / len(MODELS))
    found: list[Case] = []
    for place, family in enumerate(MODELS):
        found.append((family, ()))
        for step in range(place * count, (place + 1) * count):
            chosen = [(name, all_[step % len(all_)]) for name, all_ in choices[family].items()]
            found.append((family, tuple(chosen)))
    return [case for case in dict.fromkeys(found) if _can_be_built(case)]


def _can_be_built(case: Case) -> bool:
    """Tell whether the family takes these choices: a dense network has no instance norm."""
    try:
        network(case)
    except EdgebenchError:
        return False
    return True


def label(case: Case) -> str:
    """Return a readable test id, as ``vgg-norm=batch-activation=gelu``."""
    return "-".join([case[0], *(f"{name}={value}" for name, value in case[1])])


@functools.cache
def network(case: Case) -> tuple[torch.nn.Module, tuple[int, int, int]]:
    """Return the network of ``case`` and its input shape; see `build`. Read-only."""
    family, chosen = case
    torch.manual_seed(7)
    model, shape = family_instances.build(family, dict(chosen), classes=CLASSES)
    return lived_in(model), shape


def build(case: Case) -> torch.nn.Module:
    """Return a new network of ``case`` in training mode, as if it had been trained."""
    return copy.deepcopy(network(case)[0]).train()


def lived_in(model: torch.nn.Module) -> torch.nn.Module:
    """Give every weight that begins at one number numbers of its own, as training does; in place.

    What is equal, as the scales and statistics of fresh norms, is written once by the exporter, and
    a bias of zeros is left out.
    """
    generator = torch.Generator().manual_seed(7)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and bool((tensor == tensor.flatten()[0]).all()):
            low, high = (0.5, 1.5) if name.endswith(("weight", "var")) else (-0.5, 0.5)
            tensor.data.uniform_(low, high, generator=generator)
    return model


@functools.cache
def exported(case: Case, opset: int = 18) -> tuple[torch.nn.Module, onnx.ModelProto]:
    """Return the network of ``case`` and its export; treat both as read-only.

    One process of the test run exports and leaves the file to the others.
    """
    model, shape = network(case)
    file = Path(os.environ[SHARED]) / f"{label(case)}-{opset}.onnx"
    with filelock.FileLock(f"{file}.lock"):
        if not file.exists():
            graph = to_onnx(model, shape, opset=opset, metadata=PREPROCESSING.metadata())
            file.write_bytes(serialize(graph))
    return model, onnx.load(file)


def shape_of(case: Case) -> tuple[int, int, int]:
    """Return the shape of the images that the network of ``case`` takes."""
    return network(case)[1]


def images_of(case: Case, count: int, seed: int = 0) -> np.ndarray:
    """Return ``count`` inputs of the network of ``case``, float32 ``[count, C, H, W]``."""
    return normalized(pixels(count, seed, shape_of(case)))


@functools.cache
def int8(case: Case) -> onnx.ModelProto:
    """Return the export of ``case`` quantized on 200 images; read-only."""
    return quantize(exported(case)[1], images_of(case, 200), count=200)


def pixels(count: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """Return smooth random uint8 images ``[count, *shape]``: neighbouring pixels are alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    return (fine * 255).to(torch.uint8)


def normalized(images: torch.Tensor) -> np.ndarray:
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
    model = MODELS["gap"]((1, 16, 16), 10, **bind(MODELS["gap"], {"width": 8, "blocks": 2}))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    inputs = torch.from_numpy(preprocessing.apply(pixels[train].numpy()))
    for epoch in range(8):
        shuffled = torch.randperm(1437, generator=torch.Generator().manual_seed(epoch))
        for batch in shuffled.split(64):
            loss = torch.nn.functional.cross_entropy(model(inputs[batch]), labels[train][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    return Trained(model, pixels[train], pixels[test], labels[train], labels[test], preprocessing)


@functools.cache
def handed() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the float32 and the int8 export of the trained network; read-only."""
    made = trained()
    graph = to_onnx(made.model, (1, 16, 16), metadata=made.preprocessing.metadata())
    return graph, quantize(graph, made.preprocessing.apply(made.train.numpy()), count=256)
