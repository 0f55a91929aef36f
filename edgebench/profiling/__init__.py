"""ONNX graph -> operators in order: what is computed, by what, with which shapes and constants.

`profile` needs numpy and onnx alone, reads no weights, and knows no deployment tool: how much
memory and how many operations a runtime charges for these rows is `edgebench.footprint`'s matter.
`constant_data` reads the weights too, for whoever generates code from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.collector import paused
from edgebench.errors import EdgebenchError
from edgebench.profiling.operators import (
    Constant,
    Operator,
    Profile,
    Quantization,
    Tensor,
)

if TYPE_CHECKING:
    import onnx

    from edgebench.profiling.graph import Array, Graph

__all__ = [
    "Constant",
    "Operator",
    "Profile",
    "Quantization",
    "Tensor",
    "constant_data",
    "profile",
]


@paused()
def profile(
    model: onnx.ModelProto | Path | str | bytes,
    *,
    input_shape: tuple[int, ...] | None = None,
    inputs: Mapping[str, tuple[int, ...] | None] | None = None,
) -> Profile:
    """Return the operators of ``model`` in the order they run.

    Batch norms are folded, quantize/dequantize pairs become integer operators, layout transposes
    are free, and a dynamic batch is read as 1. Weights may be absent: their dimensions suffice.

    Args:
        model: A path, the bytes of a file, or a model in memory (which is not changed).
        input_shape: Binds the dimensions after the batch, where the model leaves them open.
        inputs: The whole shape of inputs by name; None freezes an input to a constant. Of several
            inputs, all but one must be stated.

    Raises:
        EdgebenchError: No readable ONNX model, an unknown opset, open shapes, weights in a missing
            external file, several inputs, figures that no device has, or neither a convolution nor
            a dense layer.
    """
    from edgebench.profiling.reading import read

    return _profiled(read(model), input_shape, inputs)[0]


@paused()
def constant_data(
    model: onnx.ModelProto | Path | str | bytes,
    *,
    input_shape: tuple[int, ...] | None = None,
    inputs: Mapping[str, tuple[int, ...] | None] | None = None,
) -> tuple[Profile, dict[str, Array]]:
    """Return the profile of ``model`` and the data of every constant that its rows name.

    The keys are the ``value`` of constants and the names of scales and zero points. Weights are in
    the type that they are held in, batch norms and factors folded in.

    Raises:
        EdgebenchError: As `profile`, or the model stores no data for a constant.
    """
    from edgebench.profiling.reading import read

    found, graph = _profiled(read(model, weights=True), input_shape, inputs)
    names = {one.value for one in found.constant_outputs}
    for operator in found.operators:
        for operand in (*operator.operands, *operator.constants):
            if isinstance(operand, Constant):
                names.add(operand.value)
    tensors = [*found.tensors.values(), *found.constant_outputs]
    tensors += [one for operator in found.operators for one in operator.operands if one is not None]
    for tensor in tensors:
        if tensor.quantization is not None:
            names |= {tensor.quantization.scale or "", tensor.quantization.zero_point or ""}
    return found, {name: graph.values[name].content() for name in sorted(names - {""})}


def _profiled(
    model: onnx.ModelProto,
    input_shape: tuple[int, ...] | None,
    inputs: Mapping[str, tuple[int, ...] | None] | None,
) -> tuple[Profile, Graph]:
    from edgebench.profiling.building import build
    from edgebench.profiling.counting import profile_of
    from edgebench.profiling.simplify import simplify

    try:
        graph = simplify(build(model, input_shape, inputs))
    except UnicodeDecodeError as error:
        raise EdgebenchError(f"a name in the model is not UTF-8: {error.object!r:.60}") from error
    found = profile_of(graph)
    if not any(operator.macs for operator in found.operators) and not found.unknown:
        raise EdgebenchError(
            "the model has no convolution and no dense layer, so there is nothing to measure"
        )
    return found, graph
