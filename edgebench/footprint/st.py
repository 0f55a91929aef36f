"""The rules of ST Edge AI Core / X-CUBE-AI, as 78 public reports of it show them.

The vendor documents none of these formulas; they were inferred from reports of versions 7.2 to
Core 4.0 and agree with 1,675 of their 1,694 executed nodes. Where no report shows an operator, the
factor is assumed by analogy, listed in ``ASSUMED``, and every figure that rests on it says so.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from edgebench.footprint.kernels import CONVOLUTIONS, Kernel, Schedule, image
from edgebench.profiling import Operator, Profile, Tensor

# Operations an output element, of what is computed element by element.
MEASURED: dict[str, int] = {
    "Relu": 1, "LeakyRelu": 1, "Clip": 2, "PRelu": 2, "Sigmoid": 10, "Tanh": 10, "Elu": 11,
    "Softmax": 15, "Sqrt": 12, "Reciprocal": 5, "Div": 5, "Pow": 10, "Neg": 1,
    "Add": 1, "Sub": 1, "Mul": 1, "Min": 1, "Max": 1,
    "BatchNormalization": 2, "LayerNormalization": 27, "InstanceNormalization": 12,
    "QuantizeLinear": 2, "DequantizeLinear": 2, "Cast": 2,
}  # fmt: skip
ASSUMED: dict[str, int] = {
    "Abs": 1, "Sign": 1, "Floor": 1, "Ceil": 1, "Round": 1, "Not": 1, "ThresholdedRelu": 1,
    "HardSigmoid": 4, "HardSwish": 5, "Swish": 11, "Gelu": 13, "Erf": 10, "Exp": 10, "Log": 10,
    "Sin": 10, "Cos": 10, "Celu": 11, "Selu": 12, "Softplus": 20, "Softsign": 7, "Mish": 31,
    "Sum": 1, "Mean": 2, "Mod": 5, "Equal": 1, "Greater": 1, "Less": 1, "GreaterOrEqual": 1,
    "LessOrEqual": 1, "And": 1, "Or": 1, "Where": 1, "LogSoftmax": 16,
    "GroupNormalization": 12, "RMSNormalization": 14, "LRN": 20, "LpNormalization": 14,
}  # fmt: skip
_ASSUMED_INPUT_FACTOR = {
    "ReduceMax": 1, "ReduceMin": 1, "ReduceSum": 1, "ReduceSumSquare": 2, "ReduceL2": 2,
    "ReduceL1": 2, "ArgMax": 1, "ArgMin": 1,
}  # fmt: skip
_ASSUMED_OTHERS = frozenset({"ConvTranspose", "DepthToSpace", "SpaceToDepth"})
_INPUT_FACTORS = {"ReduceMean": 2} | _ASSUMED_INPUT_FACTOR
_FREE = frozenset({"alias", "pad", "concat", "slice", "gather", "copy"})


def macc(profile: Profile, operator: Operator) -> int | None:
    """Return the vendor's complexity of one operator; None where there is no rule for it."""
    kind = operator.kind
    if kind in CONVOLUTIONS | {"dense", "deconv", "matmul"}:
        bias = operator.constant("bias")
        return operator.macs + (bias.elements if bias else 0)
    if kind in _FREE or (kind == "resize" and _takes_nearest(operator)):
        return 0
    reduces = kind in ("reduce", "argmax")
    factor = _INPUT_FACTORS.get(operator.op) if reduces else _output_factor(operator)
    elements = profile.tensors[(operator.inputs if reduces else operator.outputs)[0]].elements
    return None if factor is None else int(factor * elements)


def _output_factor(operator: Operator) -> float | None:
    """Return the operations an output element costs."""
    if operator.kind == "pool" and operator.op != "LpPool":
        return float(prod(operator.attributes["kernel"]))
    if operator.kind == "transpose":
        return 0.5
    return MEASURED.get(operator.op) or ASSUMED.get(operator.op)


def _takes_nearest(operator: Operator) -> bool:
    return bool(operator.attributes.get("mode", "nearest") == "nearest")


def assumed(operator: Operator) -> bool:
    """Tell whether the complexity of ``operator`` rests on an assumption, not on a report."""
    return operator.op in {*ASSUMED, *_ASSUMED_INPUT_FACTOR, *_ASSUMED_OTHERS}


def kernel_macc(profile: Profile, kernel: Kernel) -> int | None:
    """Return the complexity of a kernel: its operators' sum, the clamps of integer kernels free."""
    total = 0
    for index, operator in enumerate(kernel.operators):
        if index and operator.op in ("Relu", "Clip") and profile.is_quantised(kernel.main):
            continue
        cost = macc(profile, operator)
        if cost is None:
            return None
        total += cost
    return total


# Scratch ----------------------------------------------------------------------------------------


def scratch(profile: Profile, kernel: Kernel) -> int:
    """Return the bytes of working memory that ``kernel`` needs while it runs."""
    main = kernel.main
    if kernel.kind == "dense" and profile.is_quantised(main):
        return _dense_scratch(profile, main)
    if kernel.kind not in CONVOLUTIONS:
        return 0
    own = _integer_scratch(profile, main) if profile.is_quantised(main) else _float_scratch(main)
    pool = kernel.fused("pool")
    if pool is not None:
        _, width, channels = image(profile.tensors[main.outputs[0]])
        element = 1 if profile.is_quantised(main) else 4
        own += int(pool.attributes["kernel"][0]) * width * channels * element
    return own


def _patch(operator: Operator) -> int:
    """Return the elements of the input that one output element sees."""
    weight = operator.constant("weight")
    return prod(weight.shape[1:]) if weight else prod(operator.attributes["kernel"])


def _float_scratch(operator: Operator) -> int:
    return 0 if operator.kind == "depthwise" else 4 * _patch(operator)


def _dense_scratch(profile: Profile, operator: Operator) -> int:
    weight = operator.constant("weight")
    columns = profile.tensors[operator.inputs[0]].elements
    rows = profile.tensors[operator.outputs[0]].elements
    per_channel = bool(weight and weight.quantisation and weight.quantisation.channels > 1)
    return 2 * (columns + 5 * rows) if per_channel else 2 * columns


def integer_kernel(operator: Operator) -> str:
    """Return which of the vendor's integer convolution kernels serves ``operator``.

    Seen: ``rgb`` for three input channels, ``sssa8`` for one, ``deep`` for 16 and more. Between
    them the kernel with less scratch is assumed.
    """
    kernel, weight = operator.attributes["kernel"], operator.constant("weight")
    if operator.kind == "depthwise":
        return "dw_3x3" if tuple(kernel) == (3, 3) else "dw"
    if prod(kernel) == 1:
        return "pw"
    channels = weight.shape[1] * operator.attributes["group"] if weight else 1
    if channels == 3:
        return "rgb"
    outputs = weight.shape[0] if weight else 1
    if channels >= 16 or 2 * _patch(operator) * outputs > 5120:
        return "deep"
    return "sssa8"


def _integer_scratch(profile: Profile, operator: Operator) -> int:
    """Return the scratch of an integer convolution; K is the patch, C its output channels."""
    kernel, patch = integer_kernel(operator), _patch(operator)
    channels = image(profile.tensors[operator.outputs[0]])[2]
    if kernel in ("dw", "dw_3x3"):
        return channels * (3 * patch + 10) + 1
    if kernel == "pw":
        return 4 * patch + 10 * channels
    if kernel == "deep":
        return 4 * patch + 14 * channels + 5120
    return 4 * patch + channels * (2 * patch + 14)


def reads_beyond(profile: Profile, kernel: Kernel) -> bool:
    """Tell whether the kernel reads one byte past its input, as the ``rgb`` ones do."""
    main = kernel.main
    return main.kind == "conv" and profile.is_quantised(main) and integer_kernel(main) == "rgb"


def with_padded_buffers(profile: Profile) -> Profile:
    """Return ``profile`` with a pad step before each integer convolution that needs one.

    The ``deep`` and 3x3 depthwise kernels read an input that was copied into a padded buffer.
    """
    operators: list[Operator] = []
    tensors = dict(profile.tensors)
    for operator in profile.operators:
        if _needs_padded_input(profile, operator):
            source = profile.tensors[operator.inputs[0]]
            padded = replace(
                source, name=f"{operator.name}.padded", shape=_padded(source, operator)
            )
            tensors[padded.name] = padded
            pad = Operator(
                f"{operator.name}.pad", "Pad", "pad", operator.inputs[:1], (padded.name,)
            )
            attributes = {**operator.attributes, "pads": (0, 0, 0, 0)}
            inputs = (padded.name, *operator.inputs[1:])
            operators += [pad, replace(operator, inputs=inputs, attributes=attributes)]
        else:
            operators.append(operator)
    return replace(profile, operators=tuple(operators), tensors=tensors)


def _needs_padded_input(profile: Profile, operator: Operator) -> bool:
    return (
        operator.kind in CONVOLUTIONS
        and profile.is_quantised(operator)
        and any(operator.attributes["pads"])
        and integer_kernel(operator) in ("deep", "dw_3x3")
    )


def _padded(source: Tensor, operator: Operator) -> tuple[int, ...]:
    """Return the shape of the padded copy.

    With explicit pads it is what they say. For SAME padding the vendor's tools always add
    kernel - 1, also where a stride of 2 on an even image needs one row less (seen in 1.0.0).
    """
    top, left, bottom, right = operator.attributes["pads"]
    more = [top + bottom, left + right]
    if str(operator.attributes.get("auto_pad", "")).startswith("SAME"):
        more = [size - 1 for size in operator.attributes["kernel"]]
    sides = [size + extra for size, extra in zip(source.shape[2:], more, strict=False)]
    return (*source.shape[:2], *sides)


# Overlap ----------------------------------------------------------------------------------------


def overlap(plan: Schedule, kernel: Kernel, name: str) -> int | None:
    """Return how far below its input's start ``kernel`` must store its output; None: nowhere.

    The distance D in bytes lets the output grow into the part of the input ``name`` that is
    already consumed. Fitted on 77 overlapped pairs of the reports, exact on 75.
    """
    profile, main = plan.profile, kernel.main
    source, target = plan.sizes[name], plan.sizes[plan.writes(kernel)[0]]
    if kernel.kind in CONVOLUTIONS:
        return _convolution_overlap(profile, kernel)
    if kernel.kind == "pad":
        return max(target - source, 0)
    if kernel.kind == "convert":
        return 4 if target <= source else None
    if kernel.kind in ("activation", "eltwise", "softmax", "norm") and target <= source:
        return 0
    if main.op == "MaxPool" and not any(main.attributes["pads"]):
        return 0
    return None


def _convolution_overlap(profile: Profile, kernel: Kernel) -> int | None:
    """Walk the rows of the output: each must end below the input rows that are still to be read."""
    main, pool = kernel.main, kernel.fused("pool")
    if len(main.attributes["kernel"]) != 2:
        return None
    source, target = profile.tensors[main.inputs[0]], profile.tensors[kernel.output]
    _, in_width, in_channels = image(source)
    out_height, out_width, out_channels = image(target)
    signal = len(source.shape) == 4 and source.shape[2] == 1 and source.shape[3] > 1
    side = 1 if signal else 0  # a signal written as an image of height 1 runs along its width
    step = int(main.attributes["strides"][side])
    if pool is not None:
        step *= int(pool.attributes["strides"][side])
    top, left, bottom, right = (int(pad) for pad in main.attributes["pads"])
    if signal:
        top, left, bottom, right = left, top, right, bottom
    element = 1 if source.quantised else 4
    pixel = out_channels * element
    out_row, in_row = out_width * pixel, in_width * in_channels * element
    padded = any((top, left, bottom, right))
    if source.quantised:
        slack = (1 + left) * pixel if padded else 0
        return max(
            (row + 1 + top) * out_row + slack - row * step * in_row for row in range(out_height + 1)
        )
    slack = (1 + 2 * left) * pixel if padded else 0
    return max(
        (-(-row // step) + 1 + top) * out_row + slack - row * in_row
        for row in range(out_height * step + 2)
    )


# Code and runtime ---------------------------------------------------------------------------------

# Objects of the legacy C API that each kernel keeps in RAM, bytes (Core 2.0-2.2, 7 reports).
_RUNTIME = {
    "dense": 96, "activation": 96, "softmax": 100, "conv": 160, "depthwise": 160, "pool": 136,
    "eltwise": 100, "norm": 108, "pad": 124,
}  # fmt: skip


def runtime_ram(plan: Schedule) -> int:
    """Return the bytes of the runtime's own objects: tensors, arrays and nodes.

    420 + 76 an array + 60 a flattened tensor + each node's own. Exact on the 7 float reports
    that could be checked; integer graphs come within a few per cent.
    """
    profile = plan.profile
    arrays = len(profile.inputs) + len(profile.constants)
    total = 420
    for kernel in plan.kernels:
        arrays += len(plan.writes(kernel)) + _scratch_arrays(profile, kernel)
        pooled = kernel.fused("pool") is not None
        total += 204 if pooled else _RUNTIME.get(kernel.kind, 100)
    return total + 76 * arrays + 60 * _flattened(profile)


def _scratch_arrays(profile: Profile, kernel: Kernel) -> int:
    if scratch(profile, kernel) == 0:
        return 0
    return 2 if kernel.fused("pool") is not None else 1


def _flattened(profile: Profile) -> int:
    """Count the reshapes before a dense layer that join more than one dimension."""
    dense = {name for one in profile.operators if one.kind == "dense" for name in one.inputs}
    return sum(
        one.kind == "alias"
        and one.outputs[0] in dense
        and sum(size > 1 for size in profile.tensors[one.inputs[0]].shape) > 1
        for one in profile.operators
    )


# Code sizes are looked up, not computed: sums of the parts below are within a fifth of the 27
# reports that state them, and inside the bracket that published figures leave for float CNNs.
_FLOAT_CODE = {
    "conv": 3_100, "depthwise": 2_600, "pool": 1_300, "softmax": 1_800, "eltwise": 500,
    "norm": 200, "concat": 300, "transpose": 500, "matmul": 1_200, "reduce": 700, "resize": 800,
}  # fmt: skip
_INTEGER_CODE = {
    "conv": 8_600, "depthwise": 5_000, "pw": 5_000, "pool": 1_500, "softmax": 4_400,
    "eltwise": 4_000, "pad": 900, "concat": 500, "convert": 1_000, "resize": 800,
}  # fmt: skip
_TRANSCENDENTAL = frozenset({"Sigmoid", "Tanh", "Elu", "Erf", "Gelu", "Exp", "Swish", "Mish"})


def code(plan: Schedule) -> int:
    """Return the estimated bytes of kernels and C library that the graph links."""
    profile = plan.profile
    parts: dict[str, int] = {"base": 9_400 if profile.dtype == "int8" else 8_850}
    for kernel in plan.kernels:
        quantised = profile.is_quantised(kernel.main)
        table = _INTEGER_CODE if quantised else _FLOAT_CODE
        kind = kernel.kind
        if quantised and kind == "conv" and prod(kernel.main.attributes["kernel"]) == 1:
            kind = "pw"
        parts[f"{quantised}{kind}"] = table.get(kind, 0)
        if kernel.fused("pool") is not None and not quantised:
            parts["fused"] = 3_000
        if any(one.op in _TRANSCENDENTAL for one in kernel.operators):
            parts["transcendental"] = 1_600
    return sum(parts.values())
