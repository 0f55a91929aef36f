"""What the vendor's kernels need of memory: scratch, padded inputs, and where outputs may grow."""

from __future__ import annotations

from math import prod

from edgebench.footprint.kernels import CONVOLUTIONS, Kernel, Schedule, image
from edgebench.footprint.st.complexity import assumed
from edgebench.footprint.st.versions import CORE_2, Version
from edgebench.profiling import Operator, Profile

MOST_PATCHES = 5_120
"""Bytes of input patches that a spatial integer kernel keeps at most."""


_MOVES = frozenset({"alias", "pad", "concat", "slice", "gather", "copy", "transpose", "convert"})
_INTEGER_KINDS = frozenset({"conv", "depthwise", "dense", "pool", "activation"})
_INTEGER_OPERATORS = frozenset({"Add", "Sub", "Mul", "Min", "Max", "Sum", "Softmax"})
"""What reports show in integers, beside moves; other operators may run in floats."""


def scratches(plan: Schedule, version: Version) -> dict[int, int]:
    """Return the bytes of working memory of each step that needs some."""
    found = {
        step: scratch(plan.profile, kernel, version) for step, kernel in enumerate(plan.kernels)
    }
    return {step: size for step, size in found.items() if size}


def scratch(profile: Profile, kernel: Kernel, version: Version = CORE_2) -> int:
    """Return the bytes of working memory that ``kernel`` needs while it runs."""
    main = kernel.main
    if kernel.kind == "dense" and profile.is_quantized(main):
        return _dense_scratch(profile, main)
    if kernel.kind not in CONVOLUTIONS:
        return 0
    if profile.is_quantized(main):
        own, element = _integer_scratch(profile, main, version), 1
    else:
        patched = version.float_patch and main.kind != "depthwise"
        own, element = 4 * _patch(main) if patched else 0, 4
    pool = kernel.fused("pool")
    if pool is not None:
        _, width, channels = image(profile.tensors[main.outputs[0]])
        own += int(pool.attributes["kernel"][0]) * width * channels * element
    return own


def _patch(operator: Operator) -> int:
    """Return the elements of the input that one output element sees."""
    weight = operator.constant("weight")
    return prod(weight.shape[1:]) if weight else prod(operator.attributes["kernel"])


def _dense_scratch(profile: Profile, operator: Operator) -> int:
    weight = operator.constant("weight")
    columns = profile.tensors[operator.inputs[0]].elements
    rows = profile.tensors[operator.outputs[0]].elements
    per_channel = bool(weight and weight.quantization and weight.quantization.channels > 1)
    return 2 * (columns + 5 * rows) if per_channel else 2 * columns


def integer_kernel(operator: Operator) -> str:
    """Return which of the vendor's integer convolution kernels serves ``operator``.

    Seen: ``rgb`` for three input channels, ``sssa8`` for one, ``deep`` for 16 and more. Between
    them the kernel whose patches of all channels take less is assumed.
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
    if channels >= 16 or 2 * _patch(operator) * outputs > MOST_PATCHES:
        return "deep"
    return "sssa8"


def _integer_scratch(profile: Profile, operator: Operator, version: Version) -> int:
    """Return the scratch of an integer convolution; K is the patch, C its output channels.

    Equal on every node of the layouts of 8.1 to 2.2: 126 depthwise, 233 pointwise, 25 spatial.
    """
    kernel, patch = integer_kernel(operator), _patch(operator)
    channels = image(profile.tensors[operator.outputs[0]])[2]
    if kernel in ("dw", "dw_3x3"):
        return channels * (3 * patch + 10) + 1
    if kernel == "pw":
        return 4 * patch + 10 * channels
    patches = min(2 * patch * channels, MOST_PATCHES)
    return 4 * patch + version.channel_scratch * channels + patches


def unsettled(plan: Schedule) -> dict[int, int]:
    """Return the bytes that steps may take beside their tensors, where that is not settled.

    Where no report shows a kernel its scratch is not known, and without an integer kernel the
    tools run it in floats between two conversions: room for what the step reads and writes, in
    floats. A transposed convolution may be an ordinary one over a padded copy of its input with
    zeros in between. An output that the file gives in floats may be converted to them.
    """
    floats = {plan.memory(name) for name in plan.profile.output_types}
    found: dict[int, int] = {}
    for step, kernel in enumerate(plan.kernels):
        leaving = floats.intersection(plan.writes(kernel))
        if leaving:
            found[step] = 4 * sum(plan.sizes[name] for name in leaving)
        if _settled(plan.profile, kernel.main):
            continue
        tensors = [plan.profile.tensors[name] for name in (*kernel.main.inputs, kernel.output)]
        found[step] = found.get(step, 0) + 4 * sum(one.elements for one in tensors)
        if kernel.kind == "deconv":
            height, width, _ = image(tensors[-1])
            channels = image(tensors[0])[2]
            reach = [size - 1 for size in (*kernel.main.attributes["kernel"], 1)]
            copy = (height + reach[0]) * (width + reach[1]) * channels
            found[step] = max(found[step], copy * (1 if tensors[0].quantized else 4))
    return found


def _settled(profile: Profile, operator: Operator) -> bool:
    """Tell whether reports show the kernel that runs ``operator``, or it only moves elements."""
    if operator.kind in _MOVES:
        return True
    if operator.kind == "resize":
        return not assumed(operator)
    if profile.is_quantized(operator):
        return operator.kind in _INTEGER_KINDS or operator.op in _INTEGER_OPERATORS
    return operator.kind in ("activation", "eltwise") or not assumed(operator)


def reads_beyond(profile: Profile, kernel: Kernel) -> bool:
    """Tell whether the kernel reads one byte past its input, as the ``rgb`` ones do."""
    main = kernel.main
    return main.kind == "conv" and profile.is_quantized(main) and integer_kernel(main) == "rgb"


def overlap(plan: Schedule, kernel: Kernel, name: str, version: Version = CORE_2) -> int | None:
    """Return how far below its input's start ``kernel`` must store its output; None: nowhere.

    The distance D in bytes lets the output grow into the part of the input ``name`` that is
    already consumed. Fitted on 77 overlapped pairs of the reports, exact on 75.
    """
    profile, main = plan.profile, kernel.main
    source, target = plan.sizes[name], plan.sizes[plan.writes(kernel)[0]]
    if kernel.kind in CONVOLUTIONS:
        blocked = profile.is_quantized(main) and not _grows(main, source, target, version)
        return None if blocked else _convolution_overlap(profile, kernel)
    if kernel.kind == "pad":
        return max(target - source, 0)
    if kernel.kind == "convert":
        return 4 if target <= source else None
    elementwise = kernel.kind in ("activation", "eltwise", "softmax", "norm") and target <= source
    unpadded_pool = main.op == "MaxPool" and not any(main.attributes["pads"])
    return 0 if elementwise or unpadded_pool else None


def _grows(operator: Operator, source: int, target: int, version: Version) -> bool:
    """Tell whether an integer convolution of ``version`` may grow into its input, by its sizes."""
    square = len(set(operator.attributes["kernel"])) == 1
    if version.square_growth and operator.kind == "conv" and not square:
        return False
    return version.widest_growth is None or target < version.widest_growth * source


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
    element = 1 if source.quantized else 4
    pixel = out_channels * element
    out_row, in_row = out_width * pixel, in_width * in_channels * element
    padded = any((top, left, bottom, right))
    if source.quantized:
        slack = (1 + left) * pixel if padded else 0
        return max(
            (row + 1 + top) * out_row + slack - row * step * in_row for row in range(out_height + 1)
        )
    slack = (1 + 2 * left) * pixel if padded else 0
    return max(
        (-(-row // step) + 1 + top) * out_row + slack - row * in_row
        for row in range(out_height * step + 2)
    )
