"""What the vendor's kernels need of memory: scratch, padded inputs, and where outputs may grow."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from edgebench.footprint.kernels import CONVOLUTIONS, Kernel, Schedule, image
from edgebench.footprint.st.versions import CORE_2, Version
from edgebench.profiling import Constant, Operator, Profile, Tensor

MOST_PATCHES = 5_120
"""Bytes of input patches that a spatial integer kernel keeps at most."""


def scratches(plan: Schedule, version: Version) -> dict[int, int]:
    """Return the bytes of working memory of each step that needs some."""
    found = {
        step: scratch(plan.profile, kernel, version) for step, kernel in enumerate(plan.kernels)
    }
    return {step: size for step, size in found.items() if size}


def scratch(profile: Profile, kernel: Kernel, version: Version = CORE_2) -> int:
    """Return the bytes of working memory that ``kernel`` needs while it runs."""
    main = kernel.main
    if kernel.kind == "dense" and profile.is_quantised(main):
        return _dense_scratch(profile, main)
    if kernel.kind not in CONVOLUTIONS:
        return 0
    if profile.is_quantised(main):
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
    per_channel = bool(weight and weight.quantisation and weight.quantisation.channels > 1)
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


def with_shipped_constants(profile: Profile) -> Profile:
    """Return ``profile`` with the constants that the vendor's integer kernels ship.

    A dense layer without a bias gets one of 32 bits, of zeros; the one element of an elementwise
    operand is stored once a node, in four bytes.
    """
    return replace(profile, operators=tuple(_shipped(profile, one) for one in profile.operators))


def _shipped(profile: Profile, operator: Operator) -> Operator:
    if operator.kind not in ("dense", "eltwise") or not profile.is_quantised(operator):
        return operator
    found = list(operator.constants)
    if operator.kind == "eltwise":
        found = [
            replace(one, name=f"{operator.name}.{one.name}", shape=(1,), dtype="int32")
            if one.elements == 1
            else one
            for one in found
        ]
    elif operator.constant("weight") is not None and operator.constant("bias") is None:
        columns = profile.tensors[operator.outputs[0]].shape[-1]
        found.append(Constant(f"{operator.name}.bias", (columns,), "int32", role="bias"))
    return replace(operator, constants=tuple(found))


def _needs_padded_input(profile: Profile, operator: Operator) -> bool:
    return (
        operator.kind in CONVOLUTIONS
        and profile.is_quantised(operator)
        and any(operator.attributes["pads"])
        and integer_kernel(operator) in ("deep", "dw_3x3")
    )


def _padded(source: Tensor, operator: Operator) -> tuple[int, ...]:
    """Return the shape of the padded copy.

    An explicit pad is what it says. For SAME padding the vendor's tools always add kernel - 1,
    also where a stride of 2 on an even image needs one row less (seen in 8.0 to 9.0). A converter
    writes SAME as pads whose end exceeds their start; ``own_pads`` are those without a merged Pad.
    """
    top, left, bottom, right = operator.attributes["pads"]
    reach = [size - 1 for size in operator.attributes["kernel"]]
    if str(operator.attributes.get("auto_pad", "")).startswith("SAME"):
        more = reach
    else:
        own = operator.attributes.get("own_pads", (top, left, bottom, right))
        more = [top + bottom, left + right]
        for axis in (0, 1):
            if len(own) == 4 and own[axis + 2] > own[axis]:
                more[axis] += max(reach[axis] - own[axis] - own[axis + 2], 0)
    sides = [size + extra for size, extra in zip(source.shape[2:], more, strict=False)]
    return (*source.shape[:2], *sides)


def overlap(plan: Schedule, kernel: Kernel, name: str, version: Version = CORE_2) -> int | None:
    """Return how far below its input's start ``kernel`` must store its output; None: nowhere.

    The distance D in bytes lets the output grow into the part of the input ``name`` that is
    already consumed. Fitted on 77 overlapped pairs of the reports, exact on 75.
    """
    profile, main = plan.profile, kernel.main
    source, target = plan.sizes[name], plan.sizes[plan.writes(kernel)[0]]
    if kernel.kind in CONVOLUTIONS:
        blocked = profile.is_quantised(main) and not _grows(main, source, target, version)
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
