"""From a trained model to proven ONNX files: export, int8, and the ladder over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export import Preprocessing, answers, to_onnx, torch_answers
from edgebench.handover.bundle import Vectors
from edgebench.parity import Ladder, Limits, climb
from edgebench.quantization import (
    COUNT,
    Calibration,
    Choice,
    best,
    candidates,
    float_operators,
    spread,
)

if TYPE_CHECKING:
    import torch

VECTORS = 16  # golden vectors in a hand-over


@dataclass(frozen=True)
class Images:
    """Pixels uint8 ``[N, C, H, W]`` and labels ``[N]`` of one split."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """How a model is to be exported; the most accurate of ``settings`` is kept."""

    opset: int = 18
    softmax: bool = False
    int8: bool = True
    settings: Mapping[str, Calibration] = field(default_factory=candidates)
    count: int = COUNT
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Proven:
    """The files that a request asked for, and the ladder over them."""

    float_model: onnx.ModelProto
    choice: Choice | None
    ladder: Ladder
    calibration_images: int

    def int8_report(self) -> dict[str, Any] | None:
        """Return what a proof says about the quantisation, or None where there is none."""
        if self.choice is None:
            return None
        stay = float_operators(self.choice.model)
        return {
            "candidate": self.choice.name,
            "validation_accuracy": dict(self.choice.tried),
            "calibration_images": self.calibration_images,
            "float_operators": [
                {"name": one.name, "op": one.op, "reason": one.reason} for one in stay
            ],
        }


def prove(
    model: torch.nn.Module,
    preprocessing: Preprocessing,
    request: Request,
    *,
    train: Images,
    validation: Images,
    judged: Images,
) -> Proven:
    """Export ``model`` and climb the ladder on the images of ``judged``.

    Calibration sees the images of ``train`` only, and the choice among int8 candidates those of
    ``validation``; so ``judged`` may be the test split.

    Raises:
        EdgebenchError: an image set does not suit the model, or the export is refused.
    """
    shape = train.pixels.shape[1:]
    if not len(judged.pixels):
        raise EdgebenchError("the ladder needs at least 1 image, but the split has 0")
    exported = to_onnx(
        model,
        (shape[0], shape[1], shape[2]),
        opset=request.opset,
        softmax=request.softmax,
        metadata=preprocessing.metadata(),
    )
    seen = min(request.count, len(train.pixels))
    choice = None
    if request.int8:
        calibration = preprocessing.apply(train.pixels[spread(len(train.pixels), seen)])
        choice = best(
            exported,
            calibration,
            preprocessing.apply(validation.pixels),
            validation.labels,
            settings=request.settings,
            count=request.count,
        )
    ladder = climb(
        model,
        exported,
        choice.model if choice else None,
        pixels=judged.pixels,
        labels=judged.labels,
        preprocessing=preprocessing,
        limits=request.limits,
    )
    return Proven(exported, choice, ladder, seen)


def golden_vectors(
    model: torch.nn.Module, proven: Proven, preprocessing: Preprocessing, judged: Images
) -> Vectors:
    """Return ``VECTORS`` evenly spaced images of ``judged`` with the answers of every side."""
    import torch

    chosen = spread(len(judged.pixels), VECTORS)
    pixels = np.ascontiguousarray(judged.pixels[chosen])
    inputs = preprocessing.apply(pixels)
    logits = torch.from_numpy(torch_answers(model, torch.from_numpy(inputs)))
    if proven.float_model.graph.output[0].name == "probabilities":
        logits = torch.softmax(logits, 1)
    single = answers(proven.float_model, inputs)
    small = answers(proven.choice.model, inputs) if proven.choice else single
    return Vectors(pixels, inputs, judged.labels[chosen], logits.numpy(), single, small)
