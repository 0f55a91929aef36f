"""EdgeBench finds the best image classifier that fits an edge device.

Search small CNNs under a flash and RAM budget, train, export to ONNX with proof, and read the
exact cost on a microcontroller. Start with ``edgebench sweep sweeps/quickstart.yaml``.
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: reading metadata costs more than the rest."""
    if name == "__version__":
        from importlib.metadata import version

        return version("edgebench")
    raise AttributeError(name)
