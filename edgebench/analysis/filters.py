"""The first layer's filters: what the network looks for in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
