"""Operators -> kernels: what a runtime executes as one step, after its fusions.

A kernel reads and writes tensors in the arena; shapes that only change their name share memory.
The channel-last view (height, width, channels) of a tensor is what vendor rules are written in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

from edgebench.profiling import Operator, Profile, Tensor

CONVOLUTIONS = frozenset({"conv", "depthwise"})
REQUANTIZED = frozenset({"Relu", "Clip"})
"""Activations that cost nothing after integers: they are the limits of the requantization."""


@dataclass(frozen=True)
class Kernel:
    """One executed step: the operators fused into it, in order; the first gives it its kind."""

    operators: tuple[Operator, ...]

    @property
    def main(self) -> Operator:
        """Return the operator that does the work."""
        return self.operators[0]

    @property
    def name(self) -> str:
        """Return the name of the operator that does the work."""
        return self.main.name

    @property
    def op(self) -> str:
        """Return the ONNX operators of the step, joined by ``+``."""
        return "+".join(one.op for one in self.operators)

    @property
    def kind(self) -> str:
        """Return the class of rule of the main operator."""
        return self.main.kind

    @property
    def output(self) -> str:
        """Return the first tensor that the step writes."""
        return self.operators[-1].outputs[0]

    def fused(self, kind: str) -> Operator | None:
        """Return the operator of ``kind`` that was fused behind the main one, or None."""
        return next((one for one in self.operators[1:] if one.kind == kind), None)


@dataclass(frozen=True)
class Schedule:
    """The kernels of a profile in order, and which tensors share memory.

    ``storage`` maps each tensor to the tensor whose memory it is; ``steps`` excludes what moves
    nothing.
    """

    profile: Profile
    kernels: tuple[Kernel, ...]
    storage: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Return the bytes of each piece of memory."""
        found: dict[str, int] = {}
        for name, tensor in self.profile.tensors.items():
            root = self.storage.get(name, name)
            found[root] = max(found.get(root, 0), tensor.bytes)
        return found

    def memory(self, name: str) -> str:
        """Return the piece of memory that tensor ``name`` lies in."""
        return self.storage.get(name, name)

    def reads(self, kernel: Kernel) -> tuple[str, ...]:
        """Return the pieces of memory that ``kernel`` reads."""
        return self._touched[id(kernel)][0]

    def writes(self, kernel: Kernel) -> tuple[str, ...]:
        """Return the pieces of memory that ``kernel`` writes."""
        return self._touched[id(kernel)][1]

    @cached_property
    def _touched(self) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return what each kernel reads and writes: every analysis asks it of all of them."""
        found = {}
        for kernel in self.kernels:
            made = {name for one in kernel.operators for name in one.outputs}
            read = [name for one in kernel.operators for name in one.inputs if name not in made]
            pairs = (read, kernel.operators[-1].outputs)
            reads, writes = (tuple(dict.fromkeys(map(self.memory, names))) for names in pairs)
            found[id(kernel)] = reads, writes
        return found


def schedule(
    profile: Profile, *, pools: bool, activations: bool, integer_pools: bool | None = None
) -> Schedule:
    """Fuse the operators of ``profile`` into kernels.

    Args:
        profile: The operators in order.
        pools: Fuse convolution + activation + max pool into one kernel.
        integer_pools: The same for integer convolutions; by default as ``pools``.
        activations: Fuse an activation into the convolution, dense or eltwise before it; the
            clamps of integer kernels (ReLU, clip) are fused in any case.
    """
    readers = _readers(profile)
    fused = {False: pools, True: pools if integer_pools is None else integer_pools}
    kernels: list[Kernel] = []
    storage: dict[str, str] = {}
    taken: set[int] = set()
    for operator in profile.operators:
        if id(operator) in taken:
            continue
        if operator.kind == "alias":
            source = operator.inputs[0]
            storage |= dict.fromkeys(operator.outputs, storage.get(source, source))
            continue
        pooled = fused[profile.is_quantized(operator)]
        chain = _chain(profile, operator, readers, pools=pooled, activations=activations)
        taken.update(id(one) for one in chain)
        kernels.append(Kernel(tuple(chain)))
    return Schedule(profile, tuple(kernels), storage)


def with_pads_apart(profile: Profile) -> Profile:
    """Return ``profile`` with the pads that were merged into convolutions as steps of their own.

    An interpreter runs a Pad of the graph as an operator, with an output of its own.
    """
    operators: list[Operator] = []
    tensors = dict(profile.tensors)
    for operator in profile.operators:
        own = operator.own_pads
        if own is None or len(own) != 4:
            operators.append(operator)
            continue
        source = profile.tensors[operator.inputs[0]]
        merged = [all_ - one for all_, one in zip(operator.attributes["pads"], own, strict=True)]
        sides = [
            size + merged[axis] + merged[axis + 2] for axis, size in enumerate(source.shape[2:])
        ]
        padded = replace(source, name=f"{operator.name}.padded", shape=(*source.shape[:2], *sides))
        tensors[padded.name] = padded
        step = Operator(f"{operator.name}.pad", "Pad", "pad", operator.inputs[:1], (padded.name,))
        attributes = {**operator.attributes, "pads": own}
        inputs = (padded.name, *operator.inputs[1:])
        apart = replace(operator, inputs=inputs, attributes=attributes, own_pads=None)
        operators += [step, apart]
    return replace(profile, operators=tuple(operators), tensors=tensors)


def with_inputs_apart(profile: Profile) -> Profile:
    """Return ``profile`` with its inputs in the types that the file gives them.

    An interpreter holds a float input beside the integers that an operator of the graph makes of
    it. Outputs stay as they are: converters write a dequantization where the interpreter has none.
    """
    tensors = dict(profile.tensors)
    renamed = {name: f"{name}.{dtype}" for name, dtype in profile.input_types.items()}
    for name, outside in renamed.items():
        dtype = profile.input_types[name]
        tensors[outside] = replace(tensors[name], name=outside, dtype=dtype, quantization=None)
    steps = [
        Operator(outside, "QuantizeLinear", "convert", (outside,), (name,))
        for name, outside in renamed.items()
    ]
    return replace(
        profile,
        operators=(*steps, *profile.operators),
        tensors=tensors,
        inputs=tuple(renamed.get(name, name) for name in profile.inputs),
    )


def _readers(profile: Profile) -> dict[str, list[Operator]]:
    found: dict[str, list[Operator]] = {}
    for operator in profile.operators:
        for name in operator.inputs:
            found.setdefault(name, []).append(operator)
    return found


def _chain(
    profile: Profile,
    operator: Operator,
    readers: Mapping[str, list[Operator]],
    *,
    pools: bool,
    activations: bool,
) -> list[Operator]:
    """Return ``operator`` and those behind it that run in the same kernel."""
    chain = [operator]
    if operator.kind not in CONVOLUTIONS | {"dense", "eltwise", "deconv"}:
        return chain
    quantized = profile.is_quantized(operator)
    following = _only_reader(profile, operator, readers)
    if following is not None and following.kind == "activation" and len(following.inputs) == 1:
        clamp = quantized and following.op in REQUANTIZED
        behind = _only_reader(profile, following, readers)
        pooled = pools and _fusible(profile, operator, behind)
        if clamp or activations or pooled:
            chain.append(following)
            following = behind
    if pools and following is not None and _fusible(profile, operator, following):
        chain.append(following)
    return chain


def _only_reader(
    profile: Profile, operator: Operator, readers: Mapping[str, list[Operator]]
) -> Operator | None:
    if len(operator.outputs) != 1 or operator.outputs[0] in profile.outputs:
        return None
    found = readers.get(operator.outputs[0], [])
    return found[0] if len(found) == 1 else None


def _fusible(profile: Profile, convolution: Operator, pool: Operator | None) -> bool:
    """Tell whether the vendor's tools run this pool inside the convolution before it.

    Seen fused: unpadded max pools behind float convolutions and behind the integer kernels of
    spatial convolutions. Seen apart: integer pointwise convolutions, global pools.
    """
    if pool is None or pool.op != "MaxPool" or convolution.kind != "conv":
        return False
    if any(pool.attributes["pads"]) or any(d != 1 for d in pool.attributes["dilations"]):
        return False
    pointwise = prod(convolution.attributes["kernel"]) == 1
    return not (pointwise and profile.is_quantized(convolution))


def image(tensor: Tensor) -> tuple[int, int, int]:
    """Return (height, width, channels) of a tensor whose channels come first in ONNX.

    A signal has its length as the height; vectors have neither height nor width.
    """
    shape = tensor.shape[1:]
    if len(shape) <= 1:
        return 1, 1, prod(shape)
    channels, height, *rest = shape
    width = prod(rest)
    return (width, 1, channels) if height == 1 else (height, width, channels)
