"""The logits of a model in ONNX Runtime and in PyTorch, and how far they are apart."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.files import serialize

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch

Images = npt.NDArray[np.float32]  # [N, C, H, W], normalized
Logits = npt.NDArray[np.float32]  # [N, classes]
Values = npt.NDArray[np.float32]

BATCH = 256  # images a call: bounds the memory of a run over a whole test split


@dataclass(frozen=True)
class Parity:
    """How far two sets of logits are apart: absolute differences, and top-1 agreement as a share.

    ``max_abs_logit`` is the largest logit of the reference without its sign: what the differences
    are to be seen against.
    """

    max_abs_diff: float
    mean_abs_diff: float
    top1_agreement: float
    max_abs_logit: float
    images: int


def session(
    model: onnx.ModelProto | bytes,
    *,
    threads: int | None = None,
    faithful: bool = True,
    as_written: bool = False,
) -> ort.InferenceSession:
    """Open ``model`` in ONNX Runtime on the CPU with ``threads`` threads.

    By default as many as PyTorch is allowed where it is loaded, so that workers keep to their
    share of the cores, else one a core.

    ``faithful`` keeps int8 in int8: by default ONNX Runtime shifts it to uint8 for the kernels of
    x86, which on a processor without VNNI saturate their sums in 16 bits, as no device does.
    Without it, a model runs as a user's plain session runs it. ``as_written`` runs the nodes of the
    file one by one, none fused: the arithmetic that the graph itself states.
    """
    import onnxruntime as ort

    content = model if isinstance(model, bytes) else serialize(model)
    if threads is None:
        torch = sys.modules.get("torch")
        threads = 0 if torch is None else torch.get_num_threads()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    if as_written:
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if faithful:
        settings.add_session_config_entry("session.qdqisint8allowed", "1")
    return ort.InferenceSession(content, settings, providers=["CPUExecutionProvider"])


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises on a file that it cannot run: it has no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented")
    return tuple(getattr(runtime, name) for name in names)


def onnx_logits(
    model: onnx.ModelProto | bytes, images: Images, *, threads: int | None = None
) -> Logits:
    """Return the first output of ``model`` for ``images`` ``[N, C, H, W]``, as ``[N, classes]``."""
    running = session(model, threads=threads)
    name = running.get_inputs()[0].name
    parts = [running.run(None, {name: images[i : i + BATCH]})[0] for i in _starts(len(images))]
    return np.concatenate(parts)


def torch_logits(model: torch.nn.Module, images: torch.Tensor) -> Logits:
    """Return the logits of a float32 CPU copy of ``model`` in evaluation mode, ``[N, classes]``."""
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
    return Parity(
        float(apart.max()),
        float(apart.mean()),
        float(same.mean()),
        float(np.abs(reference).max()),
        len(reference),
    )


def parity(
    model: torch.nn.Module, onnx_model: onnx.ModelProto | bytes, images: torch.Tensor
) -> Parity:
    """Compare PyTorch with ONNX Runtime on normalized ``images`` ``[N, C, H, W]``.

    Raises:
        EdgebenchError: there is no image to compare on.
    """
    import torch

    if not len(images):
        raise EdgebenchError("parity needs at least 1 image, but got 0")
    content = images.to("cpu", torch.float32).contiguous()
    return difference(torch_logits(model, content), onnx_logits(onnx_model, content.numpy()))


def intermediate_outputs(
    model: onnx.ModelProto, images: Images, *, batch: int = BATCH
) -> Iterator[dict[str, Values]]:
    """Yield by name the input and every float32 value that ``model`` computes, batch by batch."""
    watched = onnx.shape_inference.infer_shapes(model)
    graph = watched.graph
    made = {value for node in graph.node for value in node.output}
    outputs = [
        value
        for value in (*graph.value_info, *graph.output)
        if value.name in made and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    del graph.output[:]
    graph.output.extend(outputs)
    running = session(watched)
    names = [value.name for value in running.get_outputs()]
    source = running.get_inputs()[0].name
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        yield {source: part, **dict(zip(names, running.run(None, {source: part}), strict=True))}


def _starts(count: int) -> range:
    return range(0, count, BATCH)
