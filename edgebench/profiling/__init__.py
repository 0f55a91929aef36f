"""ONNX graph -> operators in order: what is computed, by what, with which shapes and constants.

`profile` needs numpy and onnx alone, reads no weights, and knows no deployment tool: how much
memory and how many operations a runtime charges for these rows is `edgebench.footprint`'s matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import EdgebenchError
from edgebench.profiling.operators import (
    Constant,
    Operator,
    Profile,
    Quantisation,
    Tensor,
)

if TYPE_CHECKING:
    import onnx

__all__ = ["Constant", "Operator", "Profile", "Quantisation", "Tensor", "profile"]


def profile(
    model: onnx.ModelProto | Path | str | bytes,
    *,
    input_shape: tuple[int, ...] | None = None,
) -> Profile:
    """Return the operators of ``model`` in the order they run.

    Batch norms are folded, quantise/dequantise pairs become integer operators, layout transposes
    are free, and a dynamic batch is read as 1. Weights may be absent: their dimensions suffice.

    Args:
        model: A path, the bytes of a file, or a model in memory (which is not changed).
        input_shape: Binds the dimensions after the batch, where the model leaves them open.

    Raises:
        EdgebenchError: No readable ONNX model, an unknown opset, open shapes, weights in a missing
            external file, not exactly one input, or neither a convolution nor a dense layer.
    """
    from edgebench.profiling.building import build
    from edgebench.profiling.counting import profile_of
    from edgebench.profiling.reading import read
    from edgebench.profiling.simplify import simplify

    found = profile_of(simplify(build(read(model), input_shape)))
    if not any(operator.macs for operator in found.operators) and not found.unknown:
        raise EdgebenchError(
            "the model has no convolution and no dense layer, so there is nothing to measure"
        )
    return found
