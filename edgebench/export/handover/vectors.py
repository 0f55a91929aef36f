"""Golden vectors: sixteen images with the logits of every side, to compare with anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgebench.export.inference import Images, Logits, onnx_logits, torch_logits
from edgebench.export.preprocessing import Preprocessing
from edgebench.export.proving import LabelledImages, Proven
from edgebench.export.quantization import evenly_spaced

if TYPE_CHECKING:
    import torch

COUNT = 16


@dataclass(frozen=True)
class Vectors:
    """Golden vectors: N images as pixels and as network inputs, and the logits of each side.

    ``torch`` are the logits of the trained PyTorch model, which `verify` cannot run again.
    """

    pixels: npt.NDArray[np.uint8]  # [N, C, H, W]
    inputs: Images  # [N, C, H, W]
    labels: npt.NDArray[np.int64]  # [N]
    torch: Logits  # [N, classes]
    onnx: Logits  # [N, classes]
    int8: Logits  # [N, classes]


def golden_vectors(
    model: torch.nn.Module, proven: Proven, preprocessing: Preprocessing, evaluation: LabelledImages
) -> Vectors:
    """Return ``COUNT`` evenly spaced images of ``evaluation`` with the logits of every side."""
    import torch

    chosen = evenly_spaced(len(evaluation.pixels), COUNT)
    pixels = np.ascontiguousarray(evaluation.pixels[chosen])
    inputs = preprocessing.apply(pixels)
    logits = torch.from_numpy(torch_logits(model, torch.from_numpy(inputs)))
    if proven.float_model.graph.output[0].name == "probabilities":
        logits = torch.softmax(logits, 1)
    single = onnx_logits(proven.float_model, inputs)
    small = onnx_logits(proven.choice.model, inputs) if proven.choice else single
    return Vectors(pixels, inputs, evaluation.labels[chosen], logits.numpy(), single, small)
