"""What the vendor's importer does to a graph before it lowers it: constants and padded copies."""

from __future__ import annotations

from dataclasses import replace

from edgebench.footprint.kernels import CONVOLUTIONS, with_inputs_apart
from edgebench.footprint.st.memory import integer_kernel
from edgebench.profiling import Constant, Operator, Profile, Tensor


def deployed(profile: Profile) -> Profile:
    """Return ``profile`` as the vendor's tools run it.

    The float input of a TFLite file is kept and converted by a step of its own; two reports of
    models that were quantized in ONNX have none.
    """
    if profile.lite:
        profile = with_inputs_apart(profile)
    return with_padded_buffers(with_shipped_constants(with_norms_folded(profile)))


def with_norms_folded(profile: Profile) -> Profile:
    """Return ``profile`` without the batch norms that fold into the convolution behind them.

    Their factors go into its weights and their shifts into its bias. Where the convolution pads,
    its zeros would be shifted too, so there the norm stays.
    """
    readers: dict[str, list[Operator]] = {}
    for operator in profile.operators:
        for name in operator.inputs:
            readers.setdefault(name, []).append(operator)
    found: dict[str, Operator] = {}
    for norm in profile.operators:
        conv = _convolution_behind(profile, norm, readers)
        if conv is not None:
            found[norm.name] = replace(norm, op="Identity", kind="alias", constants=())
            if conv.constant("bias") is None:
                shape = (profile.tensors[conv.outputs[0]].shape[1],)
                bias = Constant(f"{conv.name}.bias", shape, "float32", role="bias")
                found[conv.name] = replace(conv, constants=(*conv.constants, bias))
    return replace(profile, operators=tuple(found.get(one.name, one) for one in profile.operators))


def _convolution_behind(
    profile: Profile, norm: Operator, readers: dict[str, list[Operator]]
) -> Operator | None:
    """Return the unpadded float convolution that alone reads ``norm``, or None."""
    if norm.op != "BatchNormalization" or profile.is_quantized(norm):
        return None
    name = norm.outputs[0]
    while name not in profile.outputs and len(readers.get(name, ())) == 1:
        reader = readers[name][0]
        if reader.kind == "alias":
            name = reader.outputs[0]
            continue
        unpadded = reader.kind in CONVOLUTIONS and not any(reader.attributes["pads"])
        return reader if unpadded else None
    return None


def with_shipped_constants(profile: Profile) -> Profile:
    """Return ``profile`` with the constants that the vendor's integer kernels ship.

    A dense layer without a bias gets one of 32 bits, of zeros; the one element of an elementwise
    operand is stored once a node, in four bytes; data read with two scales are two arrays.
    """
    shipped = tuple(_shipped(profile, one) for one in profile.operators)
    return replace(profile, operators=_apart_by_scale(shipped))


def _apart_by_scale(operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """Return ``operators`` with an array of its own for each scale that a constant is read with.

    Tensors of the same bytes are one initializer in a converted file (the zero biases of
    convolutions, mostly). With scales of their own they were tensors of their own, and a kernel
    takes the data and the scale of its array together.
    """
    scales: dict[str, str] = {}
    found = []
    for operator in operators:
        constants = []
        for one in operator.constants:
            scale = one.quantization.scale if one.quantization else None
            shared = scale is None or scales.setdefault(one.name, scale) == scale
            constants.append(one if shared else replace(one, name=f"{one.name}.{scale}"))
        shipped = tuple(constants)
        same = shipped == operator.constants
        found.append(operator if same else replace(operator, constants=shipped))
    return tuple(found)


def _shipped(profile: Profile, operator: Operator) -> Operator:
    if operator.kind not in ("dense", "eltwise") or not profile.is_quantized(operator):
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
        and profile.is_quantized(operator)
        and any(operator.attributes["pads"])
        and integer_kernel(operator) in ("deep", "dw_3x3")
    )


def _padded(source: Tensor, operator: Operator) -> tuple[int, ...]:
    """Return the shape of the padded copy.

    An explicit pad is what it says. For SAME padding the vendor's tools always add kernel - 1 (as
    far as its dilation spreads it), also where a stride of 2 on an even image needs one row less
    (seen in 8.0 to 9.0). A converter writes SAME as pads whose end exceeds their start;
    ``own_pads`` are those without a merged Pad.
    """
    top, left, bottom, right = operator.attributes["pads"]
    windows = zip(operator.attributes["kernel"], operator.attributes["dilations"], strict=True)
    reach = [apart * (size - 1) for size, apart in windows]
    if str(operator.attributes.get("auto_pad", "")).startswith("SAME"):
        more = reach
    else:
        own = operator.own_pads or (top, left, bottom, right)
        more = [top + bottom, left + right]
        for axis in (0, 1):
            if len(own) == 4 and own[axis + 2] > own[axis]:
                more[axis] += max(reach[axis] - own[axis] - own[axis + 2], 0)
    sides = [size + extra for size, extra in zip(source.shape[2:], more, strict=False)]
    return (*source.shape[:2], *sides)
