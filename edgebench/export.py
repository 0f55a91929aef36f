"""PyTorch to ONNX: one file, canonical bytes, and the proof that it is the model that was trained.

Layout: images are float32 ``[N, C, H, W]``, normalised, with a dynamic batch dimension named
``batch``; the input is called ``input`` and the output ``logits`` (``probabilities`` with a
softmax). Only `to_onnx` and `parity` need PyTorch; the rest runs with onnx, onnxruntime and numpy.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgebench.errors import EdgebenchError

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch

Images = npt.NDArray[np.float32]  # [N, C, H, W], normalised
Logits = npt.NDArray[np.float32]  # [N, classes]

OPSETS = range(18, 23)  # the exporter honours no opset below 18
IR_VERSION = 10  # what ONNX Runtime 1.22 and newer read at all of these opsets
BATCH = 256  # images a call: bounds the memory of a run over a whole test split
_NOISY = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
_NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Preprocessing:
    """What a pixel goes through before the network, and what the answers are called.

    ``mean`` and ``std`` are per channel in units of ``pixel / 255``; the input of the network is
    ``(pixel / 255 - mean) / std`` in the ``layout`` NCHW.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    layout: str = "NCHW"
    formula: str = field(default="(pixel / 255 - mean) / std", init=False)

    def metadata(self) -> dict[str, str]:
        """Return the properties that carry this inside an ONNX file, each as JSON text."""
        return {
            f"edgebench.{name}": json.dumps(getattr(self, name), ensure_ascii=False)
            for name in ("mean", "std", "classes", "layout", "formula")
        }

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Preprocessing | None:
        """Read it back from the metadata of ``model``; None where the model carries none."""
        found = {entry.key: entry.value for entry in model.metadata_props}
        try:
            mean, std, classes, layout = (
                json.loads(found[f"edgebench.{name}"])
                for name in ("mean", "std", "classes", "layout")
            )
        except (KeyError, json.JSONDecodeError):
            return None
        return cls(tuple(mean), tuple(std), tuple(classes), layout)


@dataclass(frozen=True)
class Parity:
    """How far two sets of logits are apart: absolute differences and the share of equal answers."""

    max_abs_diff: float
    mean_abs_diff: float
    top1_agreement: float
    images: int


def to_onnx(
    model: torch.nn.Module,
    input_shape: tuple[int, int, int],
    *,
    opset: int = 18,
    softmax: bool = False,
    metadata: Mapping[str, str] = _NO_METADATA,
) -> onnx.ModelProto:
    """Export a copy of ``model`` in evaluation mode, batch norms folded, in canonical form.

    ``input_shape`` is ``(channels, height, width)``. The user's model is neither moved nor
    changed, nothing is printed, and the same weights give the same bytes (`serialise`).

    Raises:
        EdgebenchError: the opset is outside 18..22, or PyTorch cannot export the model.
    """
    import torch

    check_opset(opset)
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    if softmax:
        twin = torch.nn.Sequential(twin, torch.nn.Softmax(dim=1))
    twin = twin.to(memory_format=torch.contiguous_format)
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                twin,
                (torch.zeros(2, *input_shape),),
                input_names=["input"],
                output_names=["probabilities" if softmax else "logits"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        first = str(error.__cause__ or error).strip().splitlines()[0]
        raise EdgebenchError(
            f"the model cannot be exported for input {'x'.join(map(str, input_shape))}: {first}"
        ) from error
    assert program is not None  # noqa: S101 - None only where a path is given
    return canonical(program.model_proto, metadata)


def check_opset(opset: int) -> None:
    """Refuse an opset that the exporter would silently not honour; raises EdgebenchError."""
    if opset not in OPSETS:
        close = min(max(opset, OPSETS[0]), OPSETS[-1])
        raise EdgebenchError(
            f"opset {opset} is not one of {OPSETS[0]} to {OPSETS[-1]}; the nearest is {close}"
        )


def canonical(model: onnx.ModelProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return a checked copy without litter: no paths, no stack traces, plain pool and flatten.

    The exporter leaves source paths and stack traces in the metadata of nodes and values; they
    would leak the machine and change the bytes with the folder.
    """
    clean = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = clean.graph
    _plain_pooling(graph)
    _plain_flatten(graph)
    _drop_unused_constants(graph)
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        part.doc_string = ""
        part.ClearField("metadata_props")
    del graph.value_info[:]
    graph.name = "edgebench"
    opset = next(entry.version for entry in clean.opset_import if entry.domain in ("", "ai.onnx"))
    del clean.opset_import[:], clean.functions[:], clean.metadata_props[:]
    clean.opset_import.add(domain="", version=opset)
    clean.ir_version = IR_VERSION
    clean.producer_name, clean.producer_version = "edgebench", ""
    clean.doc_string = ""
    for key in sorted(metadata):
        clean.metadata_props.add(key=key, value=metadata[key])
    inferred = onnx.shape_inference.infer_shapes(clean, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def serialise(model: onnx.ModelProto) -> bytes:
    """Return the bytes of ``model``; equal models give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write ``model`` to ``path``, which holds either the whole file or what it held before.

    Raises:
        EdgebenchError: the folder is missing or the disk refuses the bytes.
    """
    write_atomically(path, serialise(model))


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path`` and rename, so that a killed process leaves no half file under it."""
    handle, name = None, ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise EdgebenchError(f"cannot write '{path}': {error.strerror or error}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def session(model: onnx.ModelProto | bytes, *, threads: int = 0) -> ort.InferenceSession:
    """Open ``model`` in ONNX Runtime on the CPU with ``threads`` threads (0: one a core)."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    content = model if isinstance(model, bytes) else serialise(model)
    return ort.InferenceSession(content, settings, providers=["CPUExecutionProvider"])


def answers(model: onnx.ModelProto | bytes, images: Images, *, threads: int = 0) -> Logits:
    """Return the first output of ``model`` for ``images`` ``[N, C, H, W]``, as ``[N, classes]``."""
    running = session(model, threads=threads)
    name = running.get_inputs()[0].name
    parts = [running.run(None, {name: images[i : i + BATCH]})[0] for i in _starts(len(images))]
    return np.concatenate(parts)


def torch_answers(model: torch.nn.Module, images: torch.Tensor) -> Logits:
    """Return what a float32 CPU copy of ``model`` says in evaluation mode, as ``[N, classes]``."""
    import torch

    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    with torch.inference_mode():
        parts = [
            twin(images[i : i + BATCH].to("cpu", torch.float32)).numpy()
            for i in _starts(len(images))
        ]
    return np.concatenate(parts)


def difference(reference: Logits, candidate: Logits) -> Parity:
    """Compare two sets of logits ``[N, classes]``; a NaN on either side makes the maximum NaN."""
    apart = np.abs(reference.astype(np.float64) - candidate.astype(np.float64))
    same = reference.argmax(1) == candidate.argmax(1)
    return Parity(float(apart.max()), float(apart.mean()), float(same.mean()), len(reference))


def parity(
    model: torch.nn.Module, onnx_model: onnx.ModelProto | bytes, images: torch.Tensor
) -> Parity:
    """Compare PyTorch with ONNX Runtime on normalised ``images`` ``[N, C, H, W]``.

    ONNX Runtime uses as many threads as PyTorch is allowed, so that workers keep to their share.

    Raises:
        EdgebenchError: there is no image to compare on.
    """
    import torch

    if not len(images):
        raise EdgebenchError("parity needs at least 1 image, but got 0")
    content = images.to("cpu", torch.float32).contiguous()
    candidate = answers(onnx_model, content.numpy(), threads=torch.get_num_threads())
    return difference(torch_answers(model, content), candidate)


def _starts(count: int) -> range:
    return range(0, count, BATCH)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's prints, warnings and log lines off the user's terminal."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _plain_pooling(graph: onnx.GraphProto) -> None:
    """Write a mean over height and width as GlobalAveragePool, which int8 kernels exist for.

    ONNX Runtime leaves ReduceMean in float, so one global average pooling would break the chain.
    """
    constants, shapes = _constants(graph), _shapes(graph)
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        rank = len(shapes.get(node.input[0], ())) if node.input else 0
        axes = constants.get(node.input[1]) if len(node.input) == 2 else None
        if (
            node.op_type != "ReduceMean"
            or rank != 4
            or axes is None
            or sorted(int(axis) % 4 for axis in axes.ravel()) != [2, 3]
        ):
            graph.node.append(node)
            continue
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        pooled = node.output[0] if keeps else f"{node.output[0]}_pooled"
        make = onnx.helper.make_node
        graph.node.append(make("GlobalAveragePool", [node.input[0]], [pooled], node.name))
        if not keeps:
            name = f"{node.name}_flatten"
            graph.node.append(make("Flatten", [pooled], [node.output[0]], name, axis=1))


def _plain_flatten(graph: onnx.GraphProto) -> None:
    """Write a reshape of ``[batch, ...]`` to ``[-1, features]`` as Flatten, without a constant."""
    constants, shapes = _constants(graph), _shapes(graph)
    for node in graph.node:
        target = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or target.shape != (2,) or target[0] != -1:
            continue
        features = math.prod(shapes.get(node.input[0], (0,))[1:])
        if features == int(target[1]):
            node.op_type = "Flatten"
            del node.input[1:], node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("axis", 1))


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the graph states, a dynamic dimension as 0."""
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
