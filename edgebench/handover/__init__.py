"""Hand-over: a folder with both models, golden vectors and the proof, and its verification.

`verify` and `write` need no PyTorch; `prove` does.
"""

from edgebench.handover.bundle import Bundle, check_free, proof_bytes, write
from edgebench.handover.proving import Images, Proven, Request, prove
from edgebench.handover.statement import statement
from edgebench.handover.vectors import Vectors, golden_vectors
from edgebench.handover.verification import Verification, verify

__all__ = [
    "Bundle",
    "Images",
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
