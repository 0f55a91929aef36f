"""The few sensible int8 settings, and the choice of the most accurate on held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.export import Images, answers
from edgebench.quantization.calibration import Calibration
from edgebench.quantization.qdq import COUNT, quantize
from edgebench.registry import Registry

AUTO = "auto"  # try every candidate
CANDIDATES: Registry[Calibration] = Registry("int8 candidate")
CANDIDATES.add("minmax", Calibration("minmax"))
CANDIDATES.add("percentile-99.999", Calibration("percentile", 99.999))
CANDIDATES.add("percentile-99.99", Calibration("percentile", 99.99))
CANDIDATES.add("percentile-99.9", Calibration("percentile", 99.9))
CANDIDATES.add("entropy", Calibration("entropy"))


@dataclass(frozen=True)
class Choice:
    """The int8 model that was kept, its candidate's name, and the accuracy of each one tried."""

    name: str
    model: onnx.ModelProto
    accuracy: float
    tried: dict[str, float]


def best(
    onnx_model: onnx.ModelProto,
    calibration: Images,
    images: Images,
    labels: npt.NDArray[np.int64],
    *,
    names: Sequence[str] = (AUTO,),
    count: int = COUNT,
) -> Choice:
    """Quantise by each candidate of ``names`` and keep the most accurate; ties go to the first.

    ``calibration`` are training images, ``images`` and ``labels`` the validation split, all
    normalised ``[N, C, H, W]``; the test split has no part in the choice.

    Raises:
        EdgebenchError: a name is no candidate (with the nearest), or `quantize` refuses.
    """
    wanted = list(CANDIDATES) if AUTO in names else list(names)
    settings = {name: CANDIDATES[name] for name in wanted}
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
        tried[name] = float((answers(model, images).argmax(1) == labels).mean())
        if kept is None or tried[name] > kept.accuracy:
            kept = Choice(name, model, tried[name], tried)
    assert kept is not None  # noqa: S101 - names is never empty
    return kept
