"""Seconds to profile and measure graphs of ten thousand operators, by the default convention.

Three shapes: a chain of residual blocks in floats, the same as a QDQ model in integers (ten
thousand operators of the file, then of the device: a file has 3.5 for each), and two thousand
branches of four convolutions that meet in one Concat. Each is built in memory, so nothing of a disk
is in the figures: processor seconds from the model's bytes to the profile, and from the profile to
the footprint, medians.

Run: python benchmarks/large_graphs.py [RUNS]
Last printed (the machine's own speed differs by a half between hours):
    residual                10001 in the file,  10001 on the device: 0.36 + 0.42 = 0.78 s
    residual int8           10004 in the file,   2858 on the device: 0.31 + 0.10 = 0.42 s
    residual int8, larger   35008 in the file,  10002 on the device: 1.27 + 0.51 = 1.75 s
    branches                 8001 in the file,   8001 on the device: 0.42 + 1.31 = 1.72 s
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import onnx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from onnx_graphs import QuantizedPad, Sketchpad

from edgebench.footprint import measure
from edgebench.profiling import profile

OPERATORS = 10_000
SAME = [1, 1, 1, 1]


def residual() -> onnx.ModelProto:
    """Return blocks of convolution, ReLU, convolution and sum, in floats."""
    pad = Sketchpad()
    value = pad.conv("input", 8, 3, pads=SAME)
    for _ in range(OPERATORS // 4):
        inner = pad.add("Relu", [pad.conv(value, 8, 8, pads=SAME)])
        value = pad.add("Add", [value, pad.conv(inner, 8, 8, pads=SAME)])
    return pad.model(value)


def residual_int8(blocks: int = OPERATORS // 14) -> onnx.ModelProto:
    """Return the same blocks between quantize and dequantize operators."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 8, 3, (3, 3), pads=SAME)
    for _ in range(blocks):
        inner = pad.conv8(value, 8, 8, (3, 3), pads=SAME)
        value = pad.quantized(pad.add("Add", [value, _plain(pad, inner)]))
    return pad.model(value)


def _plain(pad: QuantizedPad, source: str) -> str:
    """Add an integer convolution without an activation."""
    name = f"conv{len(pad.nodes)}"
    weight = pad.integers(f"{name}.w", 8, 8, 3, 3)
    bias = pad.integers(f"{name}.b", 8, code=onnx.TensorProto.INT32)
    return pad.quantized(pad.add("Conv", [source, weight, bias], name, pads=SAME))


def branches() -> onnx.ModelProto:
    """Return two thousand branches of four convolutions, all held until they meet."""
    pad = Sketchpad()
    ends = []
    for _ in range(OPERATORS // 5):
        value = pad.conv("input", 8, 3, pads=SAME)
        for _ in range(3):
            value = pad.conv(value, 8, 8, pads=SAME)
        ends.append(value)
    return pad.model(pad.add("Concat", ends, axis=1))


def main() -> None:
    """Print a line a graph."""
    runs = int(sys.argv[1]) if sys.argv[1:] else 5
    graphs = {
        "residual": residual(),
        "residual int8": residual_int8(),
        "residual int8, larger": residual_int8(OPERATORS // 4),
        "branches": branches(),
    }
    for name, graph in graphs.items():
        model = graph.SerializeToString()
        reading, counting = [], []
        for _ in range(runs):
            begun = time.process_time()
            network = profile(model)
            read = time.process_time()
            measure(network)
            reading.append(read - begun)
            counting.append(time.process_time() - read)
        both = median(one + other for one, other in zip(reading, counting, strict=True))
        print(
            f"{name:22} {len(graph.graph.node):6} in the file, {len(network.operators):6} on the "
            f"device: {median(reading):.2f} + {median(counting):.2f} = {both:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
