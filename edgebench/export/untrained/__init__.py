"""The ONNX graph that an untrained model will export to, in milliseconds.

An export takes a second or more, a footprint needs the graph alone. So the ATen operators that the
model calls are recorded on the meta device, and each is written down as the exporter would write
it: batch norms folded, names after the modules, weights by their dimensions without data. A test
over every family proves that the profile of this graph is the profile of the export. What has no
rule here is exported.
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
    """Return the graph that ``model`` exports to once it is trained, without weight data.

    ``model`` is neither run nor changed, and may be on the meta device; no random number is drawn.
    The graph is for one image: where the batch enters shape arithmetic, it is written as 1.

    Args:
        model: Takes ``[N, *input_shape]``, returns logits; it is read as in evaluation.
        input_shape: Channels, height and width.
        softmax: Append a softmax to the logits.

    Raises:
        EdgebenchError: PyTorch cannot export the model, nor has it a rule for all of it.
    """
    from edgebench.export.twins import with_made_up_weights
    from edgebench.export.untrained.rules import RULES
    from edgebench.export.untrained.trace import NoRuleError, trace
    from edgebench.export.untrained.writer import Writer

    try:
        recorded = trace(model, input_shape, frozenset(RULES))
        return Writer(recorded, RULES).write(input_shape, softmax=softmax)
    except (NoRuleError, RuntimeError, NotImplementedError, TypeError, ValueError):
        # No rule, or a step that needs values: the export decides, and names a true mistake.
        return to_onnx(with_made_up_weights(model), input_shape, softmax=softmax)
