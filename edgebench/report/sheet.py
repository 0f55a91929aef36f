"""Filters as images: one, and many side by side."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from matplotlib.image import imsave

Kernels = npt.NDArray[np.float64]
SIDE, GAP = 48, 3
"""Pixels of a filter's longer side in a picture, about, and between two."""


def stretched(kernel: Kernels) -> Kernels:
    """Return a filter [C, H, W] as an image in 0..1: [H, W, 3] of three channels, else [H, W].

    It is stretched to its own range, so brightness compares within a filter only; of other than
    three channels the mean is shown.
    """
    low, high = kernel.min(), kernel.max()
    unit: Kernels = (kernel - low) / (high - low) if high > low else np.zeros_like(kernel)
    grey: Kernels = unit.mean(axis=0)
    return unit.transpose(1, 2, 0) if len(unit) == 3 else grey


def filters_png(weights: npt.ArrayLike) -> bytes:
    """Return the filters (out, in, height, width) side by side as a PNG, each stretched."""
    images = [stretched(kernel) for kernel in np.asarray(weights, dtype=np.float64)]
    height, width = images[0].shape[:2]
    scale = max(SIDE // max(height, width), 1)
    across = int(np.ceil(np.sqrt(len(images) * 1.6)))
    down = int(np.ceil(len(images) / across))
    cell = (height * scale + GAP, width * scale + GAP)
    sheet = np.ones((down * cell[0] + GAP, across * cell[1] + GAP, 3))
    for index, image in enumerate(images):
        tile = np.kron(image.reshape(height, width, -1), np.ones((scale, scale, 1)))
        top, left = (GAP + n * size for n, size in zip(divmod(index, across), cell, strict=True))
        sheet[top : top + height * scale, left : left + width * scale] = tile
    out = io.BytesIO()
    imsave(out, sheet, format="png")
    return out.getvalue()
