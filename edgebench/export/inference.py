"""What a model answers, in ONNX Runtime and in PyTorch, and how far the answers are apart."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.files import serialise

if TYPE_CHECKING:
    import onnxruntime as ort
    import torch

Images = npt.NDArray[np.float32]  # [N, C, H, W], normalised
Logits = npt.NDArray[np.float32]  # [N, classes]

BATCH = 256  # images a call: bounds the memory of a run over a whole test split


@dataclass(frozen=True)
class Parity:
    """How far two sets of logits are apart: absolute differences and the share of equal answers."""

    max_abs_diff: float
    mean_abs_diff: float
    top1_agreement: float
    images: int


def session(
    model: onnx.ModelProto | bytes, *, threads: int = 0, faithful: bool = True
) -> ort.InferenceSession:
    """Open ``model`` in ONNX Runtime on the CPU with ``threads`` threads (0: one a core).

    ``faithful`` keeps the int8 kernels of x86 processors without VNNI from saturating sums in 16
    bits, as no device does; without it, a model runs as a user's plain session would run it.
    """
    content = model if isinstance(model, bytes) else serialise(model)
    if faithful:
        try:
            return _open(content, threads, {"session.x64quantprecision": "1"})
        except runtime_errors():
            # ONNX Runtime 1.31 cannot do it where two operators share a weight.
            return _open(content, threads, {})
    return _open(content, threads, {})


def _open(content: bytes, threads: int, entries: Mapping[str, str]) -> ort.InferenceSession:
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    for key, value in entries.items():
        settings.add_session_config_entry(key, value)
    return ort.InferenceSession(content, settings, providers=["CPUExecutionProvider"])


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises on a file that it cannot run: it has no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented")
    return tuple(getattr(runtime, name) for name in names)


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
