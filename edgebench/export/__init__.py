"""Export: one ONNX file with canonical bytes, and the proof that it is the model that was trained.

Images are float32 ``[N, C, H, W]``, normalised, with a dynamic batch dimension named ``batch``; the
input is called ``input`` and the output ``logits`` (``probabilities`` with a softmax). Only
`to_onnx`, `torch_answers` and `parity` need PyTorch; the rest runs with onnx and onnxruntime.
"""

from edgebench.export.conversion import OPSETS, check_opset, to_onnx
from edgebench.export.files import load, save, serialise, write_atomically
from edgebench.export.inference import (
    Images,
    Logits,
    Parity,
    answers,
    difference,
    parity,
    runtime_errors,
    session,
    torch_answers,
)
from edgebench.export.latency import HostLatency, host_latency
from edgebench.export.preprocessing import Preprocessing

__all__ = [
    "OPSETS",
    "HostLatency",
    "Images",
    "Logits",
    "Parity",
    "Preprocessing",
    "answers",
    "check_opset",
    "difference",
    "host_latency",
    "load",
    "parity",
    "runtime_errors",
    "save",
    "serialise",
    "session",
    "to_onnx",
    "torch_answers",
    "write_atomically",
]
