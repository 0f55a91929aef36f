"""Chooses how each tensor lies in memory, and writes the moves between layouts as operators.

Convolutions and pools want channels last; a dense layer takes any order, since its weights are
packed to it; what is computed element by element keeps the order of its input; all else reads and
writes with strides. Where an operator cannot take a tensor as it lies, an ``Identity`` moves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgebench.footprint.rows.layouts import Layout
from edgebench.profiling import Constant, Operator, Profile, Tensor

IMAGE = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
"""Operators beside convolutions that read and write images."""


@dataclass
class _Arranging:
    """The operators so far, and how each tensor lies."""

    tensors: dict[str, Tensor]
    layouts: dict[str, Layout] = field(default_factory=dict)
    memory: dict[str, str] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    def moved(self, name: str, layout: Layout) -> str:
        """Return a tensor with the elements of ``name`` in ``layout``, copied where needed."""
        if self.layouts[name].same(layout):
            return name
        source = self.tensors[name]
        copy = f"{name}.moved{len(self.operators)}"
        self.tensors[copy] = replace(source, name=copy)
        self.layouts[copy] = layout
        operand = source
        self.operators.append(
            Operator(f"{copy}", "Identity", "transpose", (name,), (copy,), operands=(operand,))
        )
        return copy

    def strided(self, name: str) -> str:
        """Return a tensor that strides of its own axes can read."""
        layout, shape = self.layouts[name], self.tensors[name].shape
        if layout.reshaped(shape).shape == shape:
            self.layouts[name] = layout.reshaped(shape)
            return name
        return self.moved(name, Layout.plain(shape))


def arranged(profile: Profile) -> tuple[Profile, Mapping[str, Layout], Mapping[str, str]]:
    """Return ``profile`` with its moves, the layout of each tensor, and whose memory it is."""
    state = _Arranging(dict(profile.tensors))
    for name in profile.inputs:
        state.layouts[name] = _of_input(profile, profile.tensors[name])
    for operator in profile.operators:
        if operator.kind == "alias":
            _alias(state, operator)
        else:
            _place(state, operator)
    outputs = [
        state.moved(name, Layout.plain(profile.tensors[name].shape)) for name in profile.outputs
    ]
    found = replace(
        profile,
        operators=tuple(state.operators),
        tensors=state.tensors,
        outputs=tuple(outputs),
    )
    return found, state.layouts, state.memory


def _of_input(profile: Profile, tensor: Tensor) -> Layout:
    """Return how an input lies: channels last, as a camera gives them, unless it is transposed."""
    readers = [one for one in profile.operators if tensor.name in one.inputs]
    image = any(_reads_image(one) for one in readers)
    turned = any(one.op == "Transpose" for one in readers)
    if len(tensor.shape) == 4 and not turned:
        return Layout.channels_last(tensor.shape)
    if len(tensor.shape) == 3 and image:
        return Layout.channels_last(tensor.shape)
    return Layout.plain(tensor.shape)


def _reads_image(operator: Operator) -> bool:
    return operator.kind in ("conv", "depthwise") or operator.op in IMAGE


def _alias(state: _Arranging, operator: Operator) -> None:
    """Give the result of a reshape or a free transpose the memory of what it reads."""
    source = operator.inputs[0]
    layout, shape = state.layouts[source], state.tensors[source].shape
    if operator.op == "Transpose" and layout.reshaped(shape).shape == shape:
        layout = layout.reshaped(shape).transposed(tuple(operator.attributes["perm"]))
    elif operator.op in ("Slice", "Split") or len(operator.outputs) > 1:
        _place(state, replace(operator, kind="slice"))
        return
    elif operator.op == "Transpose":
        _place(state, replace(operator, kind="transpose"))
        return
    if layout.reshaped(shape) != Layout.plain(shape) and _regroups(state, operator):
        source = state.moved(source, Layout.plain(shape))
        layout = state.layouts[source]
    for name in operator.outputs:
        state.memory[name] = state.memory.get(source, source)
        state.layouts[name] = layout.reshaped(state.tensors[name].shape)
    state.operators.append(replace(operator, inputs=(source,)))


def _regroups(state: _Arranging, operator: Operator) -> bool:
    """Tell whether a reshape gives axes that no strides of the moved memory can say.

    A vector may be in any order, since what reads it is a dense layer whose weights are packed to
    it; with more axes the elements must lie as in ONNX.
    """
    shape = state.tensors[operator.outputs[0]].shape
    vector = sum(size != 1 for size in shape) <= 1
    layout = state.layouts[operator.inputs[0]].reshaped(shape)
    return layout.shape != shape and not vector


def _place(state: _Arranging, operator: Operator) -> None:
    """Bring the operands of an operator into the order that it reads, and say how it writes."""
    wanted: dict[str, str] = {}
    tensors = state.tensors
    elementwise = operator.kind in ("activation", "convert") and len(operator.inputs) == 1
    for name in dict.fromkeys(operator.inputs):
        shape = tensors[name].shape
        if _reads_image(operator) or _pools(operator, shape):
            wanted[name] = state.moved(name, Layout.channels_last(shape))
        elif _dense_of_vector(operator, tensors[name]) or elementwise:
            wanted[name] = name
        elif operator.kind == "dense":
            wanted[name] = state.moved(name, Layout.plain(shape))
        else:
            wanted[name] = state.strided(name)
    first = wanted[operator.inputs[0]] if operator.inputs else ""
    for name in operator.outputs:
        shape = tensors[name].shape
        state.layouts[name] = Layout.plain(shape)
        if _reads_image(operator):
            state.layouts[name] = Layout.channels_last(shape)
        elif elementwise or _keeps_order(state, operator, wanted, shape):
            state.layouts[name] = state.layouts[first]
    operands = tuple(
        one if one is None or isinstance(one, Constant) else replace(one, name=wanted[one.name])
        for one in operator.operands
    )
    inputs = tuple(wanted[name] for name in operator.inputs)
    state.operators.append(replace(operator, inputs=inputs, operands=operands))


def _pools(operator: Operator, shape: tuple[int, ...]) -> bool:
    """Tell whether a reduction is the mean of an image's channels."""
    return (
        operator.op == "ReduceMean"
        and len(shape) == 4
        and operator.attributes.get("axes") == (2, 3)
    )


def _dense_of_vector(operator: Operator, source: Tensor) -> bool:
    """Tell whether ``operator`` is a dense layer whose constant weights any order suits."""
    one_row = source.elements == source.shape[-1]
    weights = len(operator.operands) > 1 and isinstance(operator.operands[1], Constant)
    return operator.kind == "dense" and weights and one_row


def _keeps_order(
    state: _Arranging, operator: Operator, wanted: Mapping[str, str], shape: tuple[int, ...]
) -> bool:
    """Tell whether the result of an element-wise operator lies as its first input does."""
    if operator.kind not in ("eltwise", "pad", "slice", "concat") or not wanted:
        return False
    first = wanted[operator.inputs[0]]
    layout = state.layouts[first]
    if operator.kind == "eltwise":
        return state.tensors[first].shape == shape and layout.shape == shape
    return False
