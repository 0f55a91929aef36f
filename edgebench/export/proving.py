"""From a trained model to proven ONNX files: export, int8, and the ladder over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.conversion import check_opset, to_onnx
from edgebench.export.parity import Ladder, Limits, run_ladder
from edgebench.export.preprocessing import Preprocessing
from edgebench.export.quantization import (
    COUNT,
    Calibration,
    Choice,
    best,
    candidates,
    check_count,
    evenly_spaced,
    float_operators,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LabelledImages:
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

    def __post_init__(self) -> None:
        """Refuse what cannot be done before anything is computed; raises EdgebenchError."""
        check_opset(self.opset)
        check_count(self.count)


@dataclass(frozen=True)
class Proven:
    """The files that a request asked for, and the ladder over them."""

    float_model: onnx.ModelProto
    choice: Choice | None
    ladder: Ladder
    calibration_images: int

    def int8_report(self) -> dict[str, Any] | None:
        """Return what a proof says about the quantization, or None where there is none."""
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
    train: LabelledImages,
    validation: LabelledImages,
    evaluation: LabelledImages,
) -> Proven:
    """Export ``model``, quantize it where asked, and compare all of them on ``evaluation``.

    Calibration sees the images of ``train`` only, and the choice among int8 candidates those of
    ``validation``; so ``evaluation`` may be the test split. A rung that failed is in the ladder:
    `require_passed` raises it.

    Raises:
        EdgebenchError: an image set does not suit the model, or the export is refused.
    """
    if not len(evaluation.pixels):
        raise EdgebenchError("the ladder needs at least 1 image, but the split has 0")
    _, channels, height, width = train.pixels.shape
    exported = to_onnx(
        model,
        (channels, height, width),
        opset=request.opset,
        softmax=request.softmax,
        metadata=preprocessing.metadata(),
    )
    chosen = evenly_spaced(len(train.pixels), request.count)
    choice = None
    if request.int8:
        choice = best(
            exported,
            preprocessing.apply(train.pixels[chosen]),
            preprocessing.apply(validation.pixels),
            validation.labels,
            settings=request.settings,
            count=request.count,
        )
    ladder = run_ladder(
        model,
        exported,
        choice.model if choice else None,
        pixels=evaluation.pixels,
        labels=evaluation.labels,
        preprocessing=preprocessing,
        limits=request.limits,
    )
    return Proven(exported, choice, ladder, len(chosen))
