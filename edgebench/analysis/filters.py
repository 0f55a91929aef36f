"""The first layer's filters: what the network looks for in an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.data import Dataset
from edgebench.training import Training

if TYPE_CHECKING:
    import onnx


def first_filters(model: onnx.ModelProto) -> np.ndarray | None:
    """Return the weights (out, in, height, width) of the first 2-D convolution, or None."""
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and (found := constants.get(node.input[1])) is not None:
            weights = numpy_helper.to_array(found)
            return weights if weights.ndim == 4 else None
    return None


@dataclass(kw_only=True)
class Filters(Analysis):
    """The weights of the first layer that reads the image, each as an image.

    A convolution's filters as they are; a dense layer's weights in the shape of the image.
    """

    _filters: list[Any] = field(default_factory=list, init=False)

    def on_end(self, model: nn.Module, dataset: Dataset, training: Training) -> None:  # noqa: ARG002 - the protocol
        """Read the weights of the best epoch."""
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                self._filters = layer.weight.detach().cpu().tolist()
                return
            if isinstance(layer, nn.Linear):
                if layer.in_features == np.prod(dataset.input_shape):
                    shaped = layer.weight.detach().cpu().view(-1, *dataset.input_shape)
                    self._filters = shaped.tolist()
                return

    def artifact(self) -> dict[str, Any]:
        """Return ``filters`` (out, in, height, width), empty where no layer reads the image."""
        return {"filters": self._filters}


ANALYSES.add("filters", Filters)
