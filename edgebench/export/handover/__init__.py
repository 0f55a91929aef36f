"""Hand-over: a folder with both models, golden vectors and the proof, and its verification.

`verify` and `write` need no PyTorch; `prove` does.
"""

from edgebench.export.handover.bundle import Bundle, check_free, proof_bytes, write
from edgebench.export.handover.proving import LabelledImages, Proven, Request, prove
from edgebench.export.handover.statement import statement
from edgebench.export.handover.vectors import Vectors, golden_vectors
from edgebench.export.handover.verification import Verification, verify

__all__ = [
    "Bundle",
    "LabelledImages",
    "Proven",
    "Request",
    "Vectors",
    "Verification",
    "check_free",
    "golden_vectors",
    "proof_bytes",
    "prove",
    "statement",
    "verify",
    "write",
]
