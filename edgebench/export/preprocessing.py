"""What a pixel goes through before the network; it travels inside the ONNX file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

KEYS = ("mean", "std", "classes", "layout", "formula")


@dataclass(frozen=True)
class Preprocessing:
    """What a pixel goes through before the network, and what the classes are called.

    ``mean`` and ``std`` are per channel in units of ``pixel / 255``; the input of the network is
    ``(pixel / 255 - mean) / std`` in the ``layout`` NCHW.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    layout: str = "NCHW"
    formula: str = field(default="(pixel / 255 - mean) / std", init=False)

    def metadata(self) -> dict[str, str]:
        """Return the properties that carry this inside an ONNX file, each as JSON text."""
        return {
            f"edgebench.{name}": json.dumps(getattr(self, name), ensure_ascii=False)
            for name in KEYS
        }

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Turn uint8 ``[N, C, H, W]`` into the float32 input of the network, same shape."""
        mean, std = (
            np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (self.mean, self.std)
        )
        scaled: npt.NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return scaled

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Preprocessing | None:
        """Read it back from the metadata of ``model``; None where the model carries none."""
        found = {entry.key: entry.value for entry in model.metadata_props}
        try:
            mean, std, classes, layout = (
                json.loads(found[f"edgebench.{name}"])
                for name in ("mean", "std", "classes", "layout")
            )
        except (KeyError, json.JSONDecodeError):
            return None
        return cls(tuple(mean), tuple(std), tuple(classes), layout)
