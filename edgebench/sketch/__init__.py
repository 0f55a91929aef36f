"""The gate: the ONNX graph that an untrained model will export to, in milliseconds.

An export takes a second or more, a footprint needs the graph alone. So the model is traced
symbolically and each layer is written down as the exporter would write it: batch norms folded,
names after the modules, weights by their dimensions without data. A test over every family proves
that the profile of the sketch is the profile of the export. What has no rule here is exported.
"""

from __future__ import annotations

import onnx
from torch import fx, nn

from edgebench.export import to_onnx
from edgebench.sketch.rules import RULES
from edgebench.sketch.writer import NoRuleError, Writer

__all__ = ["sketch"]


def sketch(
    model: nn.Module, input_shape: tuple[int, int, int], *, softmax: bool = False
) -> onnx.ModelProto:
    """Return the graph that ``model`` exports to, without weight data; ``model`` is not changed.

    Args:
        model: Takes ``[N, *input_shape]``, returns logits; it is read as in evaluation.
        input_shape: Channels, height and width.
        softmax: Append a softmax to the logits.
    """
    try:
        graph = fx.Tracer().trace(model)
        return Writer(model, graph, RULES).write(input_shape, softmax)
    except (NoRuleError, fx.proxy.TraceError, TypeError):
        return to_onnx(model, input_shape, softmax=softmax)
