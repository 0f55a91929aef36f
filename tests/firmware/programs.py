"""What the tests of the firmware share: small models, and what ONNX Runtime makes of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx_graphs import Sketchpad

from edgebench.export import quantize
from edgebench.firmware import (
    Program,
    build,
    output_step,
    reference,
    run_on_host,
    write_program,
)
from edgebench.profiling import constant_data

Array = np.ndarray[Any, Any]


def drawn(write: Callable[[Sketchpad], str], **more: Any) -> onnx.ModelProto:
    """Return the model that ``write`` draws, with numbers in its weights."""
    pad = Sketchpad()
    model = pad.model(write(pad), **more)
    generator = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.raw_data:
            continue
        values = generator.normal(0, 0.4, tuple(tensor.dims)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def images_for(model: onnx.ModelProto, count: int) -> Array:
    """Return normal numbers in the shape of a model's input."""
    shape = [one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return np.random.default_rng(1).normal(0, 1, (count, *shape)).astype(np.float32)


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the int8 graph of a model, calibrated on normal numbers."""
    return quantize(model, images_for(model, 16))


def expected(model: onnx.ModelProto, images: Array) -> Array:
    """Return the first output of ONNX Runtime, which runs the graph as it is written."""
    found: Array = reference(model, images)[0]
    return found.reshape(len(images), -1)


def allowed(program: Program, model: onnx.ModelProto, images: Array) -> float:
    """Return a step of the output, and how far ONNX Runtime's two ways to run a graph are apart."""
    return 1.01 * output_step(program) + reference(model, images)[1]


def written(model: onnx.ModelProto, plan: str = "streaming") -> Program:
    """Return the C of a model."""
    return write_program(*constant_data(model), plan=plan)


def outputs(program: Program, images: Array, extra: Sequence[str] = ()) -> Array:
    """Compile for this machine, every warning an error, and return the real-valued outputs."""
    with tempfile.TemporaryDirectory() as folder:
        built = build(program, Path(folder), "host", extra=("-Werror", *extra))
        return run_on_host(program, built, images)
