"""The few sensible int8 settings, and the choice of the most accurate on held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError, unknown
from edgebench.export.inference import Images, onnx_logits
from edgebench.export.quantization.calibration import Calibration
from edgebench.export.quantization.qdq import COUNT, quantize
from edgebench.registry import Registry

AUTO = "auto"  # try every candidate
CANDIDATES: Registry[Calibration] = Registry("int8 candidate")
CANDIDATES.add("minmax", Calibration("minmax"))
CANDIDATES.add("percentile-99.999", Calibration("percentile", 99.999))
CANDIDATES.add("percentile-99.99", Calibration("percentile", 99.99))
CANDIDATES.add("percentile-99.9", Calibration("percentile", 99.9))
CANDIDATES.add("entropy", Calibration("entropy"))


def candidates(name: str = AUTO) -> dict[str, Calibration]:
    """Return the candidate called ``name``, or all for ``auto``; raises EdgebenchError."""
    if name == AUTO:
        return dict(CANDIDATES)
    if name not in CANDIDATES:
        raise EdgebenchError(unknown("int8 candidate", name, [AUTO, *CANDIDATES]))
    return {name: CANDIDATES[name]}


@dataclass(frozen=True)
class Choice:
    """The int8 model that was kept, its candidate's name, and the accuracy of each one tried.

    ``predicted`` are the classes ``[N]`` that it takes the validation images for.
    """

    name: str
    model: onnx.ModelProto
    accuracy: float
    tried: dict[str, float]
    predicted: npt.NDArray[np.int64] = field(repr=False)


def best(
    onnx_model: onnx.ModelProto,
    calibration: Images,
    images: Images,
    labels: npt.NDArray[np.int64],
    *,
    settings: Mapping[str, Calibration] = CANDIDATES,
    count: int = COUNT,
) -> Choice:
    """Quantize by each of ``settings`` and keep the most accurate; ties go to the first.

    ``calibration`` are training images, ``images`` and ``labels`` the validation split, all
    normalized ``[N, C, H, W]``; the test split has no part in the choice.

    Raises:
        EdgebenchError: see `quantize`.
    """
    kept: Choice | None = None
    tried: dict[str, float] = {}
    for name, setting in settings.items():
        model = quantize(
            onnx_model,
            calibration,
            method=setting.method,
            percentile=setting.percentile,
            count=count,
        )
        predicted = onnx_logits(model, images).argmax(1)
        tried[name] = float((predicted == labels).mean())
        if kept is None or tried[name] > kept.accuracy:
            kept = Choice(name, model, tried[name], tried, predicted)
    assert kept is not None  # noqa: S101 - nobody asks for none
    return kept
