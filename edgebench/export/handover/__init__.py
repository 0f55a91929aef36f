"""Hand-over: a folder with both models, golden vectors and the proof, and its verification.

Making the vectors needs PyTorch; `write` and `verify` do not.
"""

from edgebench.export.handover.bundle import Bundle, check_free, proof_bytes, write
from edgebench.export.handover.signature import signer
from edgebench.export.handover.statement import statement
from edgebench.export.handover.vectors import Vectors, golden_vectors
from edgebench.export.handover.verification import Verification, verify

__all__ = [
    "Bundle",
    "Vectors",
    "Verification",
    "check_free",
    "golden_vectors",
    "proof_bytes",
    "signer",
    "statement",
    "verify",
    "write",
]
