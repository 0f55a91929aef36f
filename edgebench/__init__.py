"""EdgeBench finds the best image classifier that fits an edge device.

Search small CNNs under a flash and RAM budget, train, export to ONNX with proof, and read the
exact cost on a microcontroller. Start with ``edgebench sweep sweeps/quickstart.yaml``.
"""

from importlib.metadata import version

__version__ = version("edgebench")
