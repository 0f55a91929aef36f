"""Which parameters decay: found by following the data, not by the order of definition."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from edgebench.training.recipe import DecayedParameters

_NORMS = frozenset({"NativeBatchNorm", "NativeGroupNorm", "NativeLayerNorm", "FusedRmsNorm"})
_WEIGHTED = frozenset({"Addmm", "Baddbmm", "Bmm", "Convolution", "Linear", "Mm"})
"""What multiplies by a weight: the layer that a parameter belongs to."""
_PASSING = frozenset(
    {
        *("AdaptiveAvgPool2D", "AvgPool2D", "MaxPool2DWithIndices", "Mean", "Relu", "LeakyRelu"),
        *("Clone", "Expand", "Permute", "Repeat", "ReshapeAlias", "Select", "Slice", "Squeeze"),
        *("T", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View"),
    }
)
"""What passes a positive factor on, f(c x) = c f(x), so that a norm behind it takes it off."""

Node = Any  # torch.autograd.graph.Node; PyTorch's stubs know too little of it


def decayed_parameters(
    model: nn.Module, input_shape: tuple[int, int, int], which: DecayedParameters
) -> list[nn.Parameter]:
    """Return the parameters that `Recipe.decayed_parameters` names, in the model's order."""
    if which == "all":
        return list(model.parameters())
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    if which == "weights":
        return weights
    normalized = _normalized(model, input_shape)
    return [weight for weight in weights if id(weight) not in normalized]


def _normalized(model: nn.Module, input_shape: tuple[int, int, int]) -> set[int]:
    """Return the ids of the parameters whose layer's output is read by norms alone.

    They are scale-invariant: what their layer computes, with its bias, may be multiplied by any
    positive factor and the network's output stays. The graph is that of one forward pass of a copy
    without data (PyTorch's meta device), which draws no random number and touches no buffer of
    ``model``.
    """
    originals = {}
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty)
            originals[id(empty)] = id(tensor)
        memo[id(tensor)] = empty
    shadow = copy.deepcopy(model, memo).eval()  # what `memo` holds is not copied
    with torch.enable_grad():
        logits = shadow(torch.empty(2, *input_shape, device="meta"))
    readers, nodes = _readers(logits.grad_fn)
    return {
        originals[id(node.variable)]
        for node in nodes
        if hasattr(node, "variable") and _only_norms_read(node, readers)
    }


def _readers(last: Node | None) -> tuple[dict[Node, list[Node]], list[Node]]:
    """Return who reads each operation's output, and all operations of the graph."""
    readers: dict[Node, list[Node]] = defaultdict(list)
    found: list[Node] = []
    waiting = [last] if last is not None else []
    while waiting:
        node = waiting.pop()
        found.append(node)
        for source, _ in node.next_functions:
            if source is None:
                continue
            if source not in readers:
                waiting.append(source)
            readers[source].append(node)
    return readers, found


def _only_norms_read(leaf: Node, readers: dict[Node, list[Node]]) -> bool:
    """Tell whether every way from a parameter leads through its layer to a norm."""
    layers = list(_ends(leaf, readers))
    ends = [end for layer in layers for end in _ends(layer, readers)]
    return (
        bool(ends)
        and all(_kind(layer) in _WEIGHTED for layer in layers)
        and all(_kind(end) in _NORMS for end in ends)
    )


def _ends(node: Node, readers: dict[Node, list[Node]]) -> Iterator[Node]:
    """Yield the first operations after ``node`` that do more than pass a factor on."""
    for reader in readers.get(node, []):
        if _kind(reader) in _PASSING:
            yield from _ends(reader, readers)
        else:
            yield reader


def _kind(node: Node) -> str:
    """Return the operation's name as PyTorch derives it, without ``Backward0``."""
    return str(node.name()).partition("Backward")[0]
