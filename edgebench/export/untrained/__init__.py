"""The ONNX graph that an untrained model will export to, in milliseconds.

An export takes a second or more, a footprint needs the graph alone. So the model is traced
symbolically and each layer is written down as the exporter would write it: batch norms folded,
names after the modules, weights by their dimensions without data. A test over every family proves
that the profile of this graph is the profile of the export. What has no rule here is exported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from edgebench.export.conversion import to_onnx

if TYPE_CHECKING:
    from torch import nn

__all__ = ["untrained_graph"]


def untrained_graph(
    model: nn.Module, input_shape: tuple[int, int, int], *, softmax: bool = False
) -> onnx.ModelProto:
    """Return the graph that ``model`` exports to, without weight data; ``model`` is not changed.

    Args:
        model: Takes ``[N, *input_shape]``, returns logits; it is read as in evaluation.
        input_shape: Channels, height and width.
        softmax: Append a softmax to the logits.
    """
    from torch import fx

    from edgebench.export.untrained.rules import RULES
    from edgebench.export.untrained.writer import NoRuleError, Writer

    try:
        graph = fx.Tracer().trace(model)
        return Writer(model, graph, RULES).write(input_shape, softmax)
    except (NoRuleError, fx.proxy.TraceError, TypeError):
        return to_onnx(model, input_shape, softmax=softmax)
