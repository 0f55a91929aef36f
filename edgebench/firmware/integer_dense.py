"""Dense layers of signed bytes."""

from __future__ import annotations

import numpy as np

from edgebench.firmware.integers import integers, packed
from edgebench.firmware.layer import Layer
from edgebench.firmware.operators.convolution import blocked_bias, struct
from edgebench.firmware.operators.dense import held_matrix
from edgebench.firmware.values import Unsupported


def integer_dense(layer: Layer) -> str:
    """Write a dense layer of signed bytes in blocks of four results."""
    if float(layer.attributes.get("alpha", 1.0)) != 1.0:
        raise Unsupported("it multiplies by a factor")
    found = integers(layer, held_matrix(layer))
    outputs, inputs = found.weights.shape
    padded = np.zeros((-(-outputs // 4) * 4, inputs), found.weights.dtype)
    padded[:outputs] = found.weights
    fields = {
        "rows": layer.activation().elements // inputs, "inputs": inputs, "outputs": outputs,
        "weights": layer.array("weights", packed(padded, 4), "int8_t"),
        "bias": layer.array("bias", blocked_bias(found.folded, 1, 4), "int32_t"),
        "result": found.result(layer.array("scales", blocked_bias(found.scales, 1, 4), "float")),
    }  # fmt: skip
    body = struct("dense_s8_t", fields)
    return f"{body}\ndense_s8(&k, x, y);"
