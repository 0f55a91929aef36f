"""Operators -> stages: what the firmware runs as one step, and which rows it reads for a row.

A stage is an operator with what is fused into it. Images lie channels last, so that a row of an
image is one piece of memory; a stage that computes row by row can stand in a chain whose tensors
are rings of a few rows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgebench.footprint.rows.layouts import Layout
from edgebench.profiling import Operator, Profile, Tensor


@dataclass(frozen=True)
class Window:
    """Which rows a stage reads: step ``y`` needs ``span`` rows from ``y * stride - pad`` on.

    After every ``per_row`` steps a row of the result is complete: one for each row that a pool
    takes the maximum of, all of them for the mean of an image.
    """

    steps: int
    span: int = 1
    stride: int = 1
    pad: int = 0
    per_row: int = 1

    def needed(self, step: int, height: int) -> tuple[int, int]:
        """Return the first row that is read at ``step``, and the one after the last."""
        start = step * self.stride - self.pad
        return max(start, 0), min(max(start + self.span, 0), height)


@dataclass(frozen=True)
class Stage:
    """One step: its operators, the memory that it reads and writes, and how.

    Attributes:
        operators: The one that does the work, then those that are fused behind it.
        pool: The maximum pool among them, or None.
        sources: The tensors that it reads, one for each activation among the operands.
        targets: The tensors that it writes; all but a split have one.
        bytes: Of the first target, with the working memory that begins where it does.
        window: The rows that it reads for a row, or None where it needs all at once.
        streams: Whether it can stand in a chain of stages: none of its tensors is an alias.
        in_place: Whether the target may lie where the first source lay.
        pool: The maximum pool that is computed inside a convolution, or None.
    """

    operators: tuple[Operator, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    bytes: int
    window: Window | None = None
    streams: bool = False
    in_place: bool = False
    pool: Operator | None = None

    @property
    def main(self) -> Operator:
        """Return the operator that does the work."""
        return self.operators[0]

    @property
    def target(self) -> str:
        """Return the tensor that it writes, the first of several."""
        return self.targets[0]

    @property
    def fused(self) -> tuple[Operator, ...]:
        """Return the activations that are computed on the result."""
        return tuple(one for one in self.operators[1:] if one is not self.pool)


@dataclass(frozen=True)
class Network:
    """The stages of a profile in order.

    ``memory`` maps each tensor to the one whose memory it is; ``layouts`` says how each lies in
    it; ``heights`` is the number of rows that a tensor is made of. ``profile`` is the one given,
    with the moves between layouts as operators of their own (``Identity``).
    """

    profile: Profile
    stages: tuple[Stage, ...]
    layouts: Mapping[str, Layout]
    memory: Mapping[str, str] = field(default_factory=dict)

    def root(self, name: str) -> str:
        """Return the tensor whose memory ``name`` is."""
        return self.memory.get(name, name)

    @functools.cached_property
    def dies(self) -> Mapping[str, int]:
        """Return the last stage that makes or reads each piece of memory, by its place.

        An input that nothing reads dies at -1; an output lives to the end, one place behind all.
        """
        found = {self.root(name): -1 for name in self.profile.inputs}
        for place, stage in enumerate(self.stages):
            found |= dict.fromkeys((*stage.targets, *stage.sources), place)
        return found | {self.root(name): len(self.stages) for name in self.profile.outputs}

    def height(self, name: str) -> int:
        """Return how many rows a piece of memory has."""
        return height(self.profile.tensors[name])


def height(tensor: Tensor) -> int:
    """Return the rows of an image or a signal; anything else is one row."""
    return tensor.shape[2] if len(tensor.shape) in (3, 4) else 1


def network(profile: Profile) -> Network:
    """Return the stages that the firmware runs for ``profile``."""
    from edgebench.footprint.rows.arranging import arranged

    laid, layouts, memory = arranged(profile)
    readers: dict[str, list[Operator]] = {}
    for operator in laid.operators:
        for name in dict.fromkeys(operator.inputs):
            readers.setdefault(name, []).append(operator)
    stages: list[Stage] = []
    taken: set[int] = set()
    for operator in laid.operators:
        if operator.kind == "alias" or id(operator) in taken:
            continue
        chain, pool = _chain(laid, operator, readers)
        taken.update(id(one) for one in chain)
        stages.append(_stage(laid, layouts, memory, tuple(chain), pool))
    return Network(laid, tuple(stages), layouts, memory)


FUSING = frozenset({"conv", "depthwise", "dense", "eltwise", "norm", "pool", "matmul", "convert",
                    "transpose", "reduce", "activation"})  # fmt: skip
"""Kinds behind which an activation is computed on the result where it lies."""

CLAMPS = frozenset({"Relu", "Clip"})
"""Activations that never turn the order of two numbers: a maximum may be taken before them."""


def _chain(
    profile: Profile, operator: Operator, readers: Mapping[str, list[Operator]]
) -> tuple[list[Operator], Operator | None]:
    """Return ``operator`` with what is fused behind it, and the pool among these."""
    chain, pool = [operator], None
    if operator.kind not in FUSING or len(operator.outputs) != 1:
        return chain, None
    while True:
        last = chain[-1].outputs[0]
        found = readers.get(last, [])
        if last in profile.outputs or len(found) != 1:
            return chain, pool
        following = found[0]
        if following.kind == "activation" and len(following.inputs) == 1:
            if not _elementwise(profile, following):
                return chain, pool
        elif pool is None and _pools_inside(profile, chain, following):
            pool = following
        else:
            return chain, pool
        chain.append(following)


def _elementwise(profile: Profile, operator: Operator) -> bool:
    """Tell whether an activation writes what it reads: the same type, constants of one element."""
    source, target = (profile.tensors[one[0]] for one in (operator.inputs, operator.outputs))
    small = all(one.elements == 1 for one in operator.operands[1:] if one is not None)
    held = source.quantization is not None or not source.quantized
    return source.dtype == target.dtype and small and held


def _pools_inside(profile: Profile, chain: list[Operator], pool: Operator) -> bool:
    """Tell whether ``pool`` runs inside the convolution before it: windows that meet nowhere."""
    if chain[0].kind != "conv" or pool.op != "MaxPool" or len(pool.inputs) != 1:
        return False
    if any(one.op not in CLAMPS for one in chain[1:]):
        return False
    attributes = pool.attributes
    source, target = (profile.tensors[one[0]] for one in (pool.inputs, pool.outputs))
    inside = all(
        size * step <= whole
        for size, step, whole in zip(
            target.shape[2:], attributes["strides"], source.shape[2:], strict=False
        )
    )
    return (
        attributes["kernel"] == attributes["strides"]
        and not any(attributes["pads"])
        and set(attributes["dilations"]) == {1}
        and inside
        and source.quantization == target.quantization
    )


def _stage(
    profile: Profile,
    layouts: Mapping[str, Layout],
    memory: Mapping[str, str],
    chain: tuple[Operator, ...],
    pool: Operator | None,
) -> Stage:
    main = chain[0]
    target = chain[-1].outputs[0]
    sources = tuple(memory.get(name, name) for name in main.inputs)
    window = _window(profile, layouts, chain, pool)
    size = profile.tensors[target].bytes
    if averages_image(main, profile.tensors[main.inputs[0]]) and window is not None:  # 32-bit sums
        size = max(size, 4 * profile.tensors[target].elements)
    return Stage(
        operators=chain,
        sources=sources,
        targets=chain[-1].outputs,
        bytes=size,
        window=window,
        streams=window is not None and sources == main.inputs,
        in_place=_in_place(profile, layouts, main),
        pool=pool,
    )


def _window(
    profile: Profile,
    layouts: Mapping[str, Layout],
    chain: tuple[Operator, ...],
    pool: Operator | None,
) -> Window | None:
    """Return the rows that a stage reads, or None where it is not computed row by row."""
    main, target = chain[0], profile.tensors[chain[-1].outputs[0]]
    tensors = [profile.tensors[name] for name in (*main.inputs, *main.outputs)]
    images = all(len(one.shape) == len(target.shape) for one in tensors)
    if not images or len(target.shape) not in (3, 4) or target.shape[0] != 1 or not main.inputs:
        return None
    last = all(
        layouts[one.name].same(Layout.channels_last(one.shape)) for one in (*tensors, target)
    )
    if not last:
        return None
    source = tensors[0]
    if main.kind in ("conv", "depthwise") or main.op in ("MaxPool", "AveragePool"):
        span, stride, top = _vertical(main)
        height = 1 if pool is None else int(pool.attributes["kernel"][0])
        return Window(target.shape[2] * height, span, stride, top, height)
    if averages_image(main, source):
        return Window(source.shape[2], per_row=source.shape[2])
    alike = all(one.shape == target.shape for one in tensors)
    whole = all(one is None or one.name in profile.tensors for one in main.operands)
    if main.kind in ("eltwise", "activation") and alike and whole:
        return Window(target.shape[2])
    return None


def _vertical(operator: Operator) -> tuple[int, int, int]:
    """Return span, stride and pad of a window over rows."""
    attributes = operator.attributes
    span = (attributes["kernel"][0] - 1) * attributes["dilations"][0] + 1
    return span, attributes["strides"][0], attributes["pads"][0]


def averages_image(operator: Operator, source: Tensor) -> bool:
    """Tell whether an operator is the mean of each channel over the whole image."""
    if len(source.shape) != 4 or source.shape[0] != 1:
        return False
    if operator.op == "GlobalAveragePool":
        return True
    return (
        operator.op == "ReduceMean"
        and operator.attributes.get("axes") == (2, 3)
        and bool(operator.attributes.get("keepdims", 1))
    )


def _in_place(profile: Profile, layouts: Mapping[str, Layout], main: Operator) -> bool:
    """Tell whether each element of the result depends on the element in its place alone."""
    if main.kind not in ("eltwise", "activation") or not main.inputs:
        return False
    target = profile.tensors[main.outputs[0]]
    source = profile.tensors[main.inputs[0]]
    alike = source.bytes == target.bytes and source.shape == target.shape
    return alike and layouts[source.name].same(layouts[target.name])
