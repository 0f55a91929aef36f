"""Finds a model with its weights and images: a file, a run, a hand-over, a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgebench import export
from edgebench.errors import EdgebenchError
from edgebench.firmware.values import Array
from edgebench.metrics import Dtype
from edgebench.profiling import Profile, constant_data

IMAGES = 100
"""Images that the firmware is compared with ONNX Runtime on."""

CALIBRATED = (
    "calibrated on random images: sizes and instructions hold, classes do not; "
    "'edgebench export RUN -o DIR' quantizes on the data set"
)

INPUTS = "inputs.npz"
"""The golden images that stand beside a model in a hand-over."""
_LINKS = ("QuantizeLinear", "DequantizeLinear")
_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Named:
    """A model with its weights, its operators, and images with what ONNX Runtime makes of them.

    ``spread`` is how far ONNX Runtime is from itself on them: an int8 graph as it is written
    against the same with operators fused. ``notes`` say what the figures do not hold for. ``run``
    is the run of the record that the model was fetched from, as it was named, or "".
    """

    name: str
    profile: Profile
    constants: Mapping[str, Array]
    images: Array
    expected: Array
    spread: float = 0.0
    notes: tuple[str, ...] = ()
    run: str = ""


def named(
    name: str,
    fetch: export.Fetch,
    *,
    dtype: Dtype | None = None,
    options: Mapping[str, Any] = _NONE,
    image: tuple[int, ...] | None = None,
    images: int = IMAGES,
) -> Named:
    """Return the model called ``name``.

    Args:
        name: An ONNX file, the folder of a hand-over, a run (id, ``STUDY:NUMBER``,
            ``STUDY:best``), or a family, whose weights are then random.
        fetch: Brings the exported model of a run into a local file.
        dtype: ``float32`` or ``int8``; by default as the model is.
        options: Of a family.
        image: C, H, W of a family (default 3x32x32).
        images: How many images to compare on; those of a hand-over first, random ones then.

    Raises:
        EdgebenchError: Nothing has that name, or it cannot be had in that type.
    """
    fetched: list[str] = []

    def noted(run: str, asked: Dtype | None) -> Path:
        fetched.append(run)
        return fetch(run, asked)

    model, golden, notes = _found(name, noted, dtype, options, image)
    shape = _shape(model)
    pictures = np.random.default_rng(0).normal(0, 1, (max(images, 1), *shape)).astype(np.float32)
    if golden is not None:
        count = min(len(golden), len(pictures))
        pictures[:count] = golden[:count]
    if dtype == "int8" and not _quantized(model):
        model = export.quantize(model, pictures)
        notes = (*notes, CALIBRATED)
    if dtype == "float32" and _quantized(model):
        export.check_dtype(name, "int8", dtype)
    found = of_model(model, pictures, name)
    return replace(found, notes=notes, run=fetched[0] if fetched else "")


def of_model(model: onnx.ModelProto, images: Array, name: str) -> Named:
    """Return a model with what ONNX Runtime makes of ``images``, float32 ``[N, ...]``.

    Raises:
        EdgebenchError: ONNX Runtime does not run the model.
    """
    profile, constants = constant_data(model)
    expected, spread = reference(model, images)
    return Named(name, profile, constants, images, expected, spread)


def _found(
    name: str,
    fetch: export.Fetch,
    dtype: Dtype | None,
    options: Mapping[str, Any],
    image: tuple[int, ...] | None,
) -> tuple[onnx.ModelProto, Array | None, tuple[str, ...]]:
    """Return the model, golden images where there are some, and notes."""
    path = export.located(name, fetch, dtype)
    if path is not None:
        if options:
            raise EdgebenchError("--set is for families; an exported model is as it is")
        golden = path.parent / INPUTS
        if not golden.is_file():
            return export.load(path), None, ()
        with np.load(golden) as arrays:
            return export.load(path), arrays["inputs"].astype(np.float32), ()
    model = export.family_model(name, options, image or (3, 32, 32))
    return model, None, ("random weights: sizes and instructions hold, classes do not",)


def _quantized(model: onnx.ModelProto) -> bool:
    return any(node.op_type in _LINKS for node in model.graph.node)


def _shape(model: onnx.ModelProto) -> tuple[int, ...]:
    """Return the shape of an image; raises EdgebenchError where it is open."""
    constants = {one.name for one in model.graph.initializer}
    sources = [one for one in model.graph.input if one.name not in constants]
    if len(sources) != 1:
        raise EdgebenchError(f"the firmware has one input, but the model has {len(sources)}")
    sizes = tuple(one.dim_value for one in sources[0].type.tensor_type.shape.dim)
    if len(sizes) < 2 or not all(sizes[1:]):
        raise EdgebenchError("the model leaves sizes of its input open; fix them before")
    return sizes[1:]


def reference(model: onnx.ModelProto, images: Array) -> tuple[Array, float]:
    """Return the first output of ONNX Runtime, an image at a time, and how far it is from itself.

    An int8 graph is run as it is written, and with what ONNX Runtime fuses, which is rounded at
    other places: the largest difference of the two is what a third arithmetic can do no better.

    Raises:
        EdgebenchError: ONNX Runtime does not run the model.
    """
    found = _outputs(model, images, as_written=_quantized(model))
    if not _quantized(model):
        return found, 0.0
    other = _outputs(model, images, as_written=False)
    return found, float(np.abs(found.astype(np.float64) - other).max())


def _outputs(model: onnx.ModelProto, images: Array, *, as_written: bool) -> Array:
    try:
        running = export.session(model, threads=1, as_written=as_written)
        source = running.get_inputs()[0].name
        return np.concatenate([running.run(None, {source: one[None]})[0] for one in images])
    except export.runtime_errors() as error:
        first = str(error).splitlines()[0]
        raise EdgebenchError(f"ONNX Runtime does not run the model: {first}") from error
