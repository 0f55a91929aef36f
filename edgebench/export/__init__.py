"""Export: from a PyTorch model to files that are handed over, and the proof that they are it.

PyTorch -> ONNX float32 in canonical bytes -> ONNX int8, a ladder of parity checks over both, the
graph of an untrained model in milliseconds, and the folder that is handed over with its proof.
Images are float32 ``[N, C, H, W]``, normalized, with a dynamic batch dimension named ``batch``; the
input is called ``input`` and the output ``logits`` (``probabilities`` with a softmax). PyTorch is
imported only by what needs it; `verify` runs with onnx and onnxruntime.

Called, the room is the library's function: ``edgebench.export(run, path)``.
"""

import sys

from edgebench import ExportRoom
from edgebench.export.audit import count_macs
from edgebench.export.conversion import OPSETS, check_opset, to_onnx
from edgebench.export.files import load, save, serialize, write_atomically
from edgebench.export.handover import (
    Bundle,
    Vectors,
    Verification,
    check_free,
    golden_vectors,
    proof_bytes,
    signer,
    statement,
    verify,
    write,
)
from edgebench.export.inference import (
    Images,
    Logits,
    Parity,
    difference,
    onnx_logits,
    parity,
    runtime_errors,
    session,
    torch_logits,
)
from edgebench.export.latency import HostLatency, host_latency
from edgebench.export.naming import (
    RUN,
    Fetch,
    check_dtype,
    family_model,
    input_shapes,
    located,
    profile_named,
)
from edgebench.export.parity import Divergence, Ladder, Limits, Rung, require_passed
from edgebench.export.preprocessing import Preprocessing
from edgebench.export.proving import LabelledImages, Proven, Request, prove
from edgebench.export.quantization import (
    COUNT,
    Calibration,
    best,
    candidates,
    evenly_spaced,
    quantize,
    untrained_int8_graph,
)
from edgebench.export.untrained import untrained_graph

__all__ = [
    "COUNT",
    "OPSETS",
    "RUN",
    "Bundle",
    "Calibration",
    "Divergence",
    "Fetch",
    "HostLatency",
    "Images",
    "LabelledImages",
    "Ladder",
    "Limits",
    "Logits",
    "Parity",
    "Preprocessing",
    "Proven",
    "Request",
    "Rung",
    "Vectors",
    "Verification",
    "best",
    "candidates",
    "check_dtype",
    "check_free",
    "check_opset",
    "count_macs",
    "difference",
    "evenly_spaced",
    "family_model",
    "golden_vectors",
    "host_latency",
    "input_shapes",
    "load",
    "located",
    "onnx_logits",
    "parity",
    "profile_named",
    "proof_bytes",
    "prove",
    "quantize",
    "require_passed",
    "runtime_errors",
    "save",
    "serialize",
    "session",
    "signer",
    "statement",
    "to_onnx",
    "torch_logits",
    "untrained_graph",
    "untrained_int8_graph",
    "verify",
    "write",
    "write_atomically",
]

sys.modules[__name__].__class__ = ExportRoom
