"""The inputs of a model: which there are, which sizes are open, what the user states of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from edgebench.errors import EdgebenchError, unknown
from edgebench.profiling.graph import Value
from edgebench.profiling.inference import type_name
from edgebench.profiling.limits import check_shape

Shapes = Mapping[str, tuple[int, ...] | None]
"""The whole shape of an input by its name; None freezes it: a constant that ships."""


def read_inputs(
    infos: Sequence[onnx.ValueInfoProto], image: tuple[int, ...] | None, stated: Shapes
) -> list[Value]:
    """Return the inputs of a model, those that are frozen as constants.

    Args:
        infos: As the model declares them.
        image: The dimensions after the batch of the one input that nothing else is stated of.
        stated: What is known of inputs by name.

    Raises:
        EdgebenchError: Several inputs of which more than one is not stated, sizes that are open or
            do not fit, a name that no input has; all mistakes together.
    """
    names = [info.name for info in infos]
    mistakes = [unknown("input", name, names) for name in stated if name not in names]
    rest = [info for info in infos if info.name not in stated]
    if not infos:
        raise EdgebenchError("the model has no input")
    if len(rest) > 1:
        mistakes.append(_several(rest))
    if image is not None and not rest:
        mistakes.append(f"the inputs are all stated by name; {_text(image)} is one too many")
    if mistakes:
        raise EdgebenchError(*mistakes)
    found = []
    for info in infos:
        whole = stated.get(info.name)
        frozen = info.name in stated and whole is None
        shape = _sizes(info, whole) if info.name in stated else _image_sizes(info, image)
        check_shape(f"the input '{info.name}'", shape)
        dtype = type_name(info.type.tensor_type.elem_type, f"the input '{info.name}'")
        found.append(Value(info.name, shape, dtype, constant=frozen))
    return found


def _several(infos: Sequence[onnx.ValueInfoProto]) -> str:
    quoted = ", ".join(f"'{info.name}'" for info in infos[:10])
    more = f" and {len(infos) - 10} more" if len(infos) > 10 else ""
    last = infos[-1]
    sizes = last.type.tensor_type.shape.dim
    shape = _text([dim.dim_value or 1 for dim in sizes]) if sizes else "1"
    return (
        f"the model has {len(infos)} inputs ({quoted}{more}); an image classifier has one: state "
        f"the shapes of the others, as in --input {last.name}={shape}, or freeze them to "
        f"constants, as in --input {last.name}=frozen"
    )


def _declared(info: onnx.ValueInfoProto) -> list[int]:
    """Return the declared sizes, 0 where one is open."""
    kind = info.type
    if not kind.HasField("tensor_type"):
        raise EdgebenchError(f"the input '{info.name}' is no tensor")
    return [max(0, dim.dim_value) for dim in kind.tensor_type.shape.dim]


def _image_sizes(info: onnx.ValueInfoProto, image: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the input's shape with a batch of 1; ``image`` binds the open image dimensions."""
    sizes = _declared(info)
    if not sizes:
        raise EdgebenchError(
            f"the input '{info.name}' declares no shape; export the model with one, or state it "
            f"as in --input {info.name}=1x3x224x224"
        )
    sizes[0] = sizes[0] or 1
    if image is not None:
        if len(image) != len(sizes) - 1 or any(
            fixed not in (0, asked) for fixed, asked in zip(sizes[1:], image, strict=True)
        ):
            raise _unfit(info, image)
        sizes[1:] = image
    return _closed(info, sizes)


def _sizes(info: onnx.ValueInfoProto, whole: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape that is stated for an input by name; frozen, the one that it declares."""
    sizes = _declared(info)
    if whole is None:
        return _closed(info, [sizes[0] or 1, *sizes[1:]] if sizes else [])
    if not sizes:
        return whole
    if len(whole) != len(sizes) or any(
        fixed not in (0, asked) for fixed, asked in zip(sizes, whole, strict=True)
    ):
        raise _unfit(info, whole)
    return whole


def _unfit(info: onnx.ValueInfoProto, shape: Sequence[int]) -> EdgebenchError:
    return EdgebenchError(
        f"the input '{info.name}' is {_dims(info)}; {_text(shape)} does not fit it"
    )


def _closed(info: onnx.ValueInfoProto, sizes: list[int]) -> tuple[int, ...]:
    """Return the sizes; raises EdgebenchError that asks for those that are open, by name."""
    dims = info.type.tensor_type.shape.dim
    missing = [
        dim.dim_param or f"dimension {index}"
        for index, (size, dim) in enumerate(zip(sizes, dims, strict=True))
        if size == 0
    ]
    if missing:
        example = _text([size or 224 for size in sizes])
        raise EdgebenchError(
            f"the input '{info.name}' is {_dims(info)}: only the batch may be open; state "
            f"{' and '.join(dict.fromkeys(missing))}, as in --input {info.name}={example}"
        )
    return tuple(sizes)


def _dims(info: onnx.ValueInfoProto) -> str:
    dims = info.type.tensor_type.shape.dim
    return "[" + ", ".join(str(d.dim_value or d.dim_param or "?") for d in dims) + "]"


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
