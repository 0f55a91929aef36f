"""Prints of the vendor's tables for networks of the rows at other sizes: none was fitted on them.

The tables are those of ``reference/st_reports_2.json`` (STM32Cube.AI 8.1.0 and 10.0.0). A network
is that of the rows, its image bound to another size; `truth` prints the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from edgebench.footprint import measure
from edgebench.profiling import Profile, profile

PRINTS = (
    # convention, start of the file's name, side, channels, KiB of activations as printed
    ("st-7.3", "fdmobilenet_0.25_128_tfs", 224, 3, 152),
    ("st-7.3", "mobilenet_v1_0.25_96_fft", 224, 3, 202.14),
    ("st-7.3", "mobilenet_v1_0.25_96_fft", 96, 1, 38.64),
    ("st-7.3", "mobilenet_v2_0.35_128_fft", 224, 3, 686.5),
    ("st-7.3", "st_efficientnet_lc_v1_128_tfs", 224, 3, 309),
    ("st-8.1", "fdmobilenet_0.25_128_tfs", 224, 3, 152.05),
    ("st-8.1", "mobilenet_v1_0.25_96_fft", 224, 3, 202.33),
    ("st-8.1", "mobilenet_v1_0.25_96_fft", 96, 1, 41.21),
    ("st-8.1", "mobilenet_v2_0.35_128_fft", 224, 3, 686.5),
    ("st-8.1", "squeezenetv1.1_128_tfs", 224, 3, 842.06),
    ("st-8.1", "st_efficientnet_lc_v1_128_tfs", 224, 3, 393.17),
    ("st-8.1", "stmnist_v1_int8", 28, 1, 14.12),
    ("st", "fdmobilenet_0.25_128_tfs", 224, 3, 157.03),
    ("st", "mobilenet_v1_0.25_96_fft", 224, 3, 272.96),
    ("st", "mobilenet_v1_0.25_96_fft", 96, 1, 52.8),
    ("st", "mobilenet_v1_0.5_224_int8", 224, 3, 431.07),
)


def at(path: Path, side: int, channels: int) -> Profile:
    """Return the network of ``path`` for square images, channels last, of another size."""
    model = onnx.load(path)
    del model.graph.value_info[:]  # of the old size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    image = model.graph.input[0].type.tensor_type.shape.dim[1:]
    before = image[-1].dim_value
    for dim, size in zip(image, (side, side, channels), strict=True):
        dim.dim_value = size
    if channels != before:  # the first convolution is that of the file whose weights read them
        first = next(one for one in model.graph.initializer if list(one.dims[1:]) == [before, 3, 3])
        first.dims[1] = channels
        first.ClearField("raw_data")
    return profile(model)


def other_sizes(models: Path) -> Iterator[dict[str, object]]:
    """Yield a row a print: the figure and the upper figure, in per cent of it."""
    for convention, name, side, channels, printed in PRINTS:
        found = measure(at(min(models.glob(f"{name}*")), side, channels), convention)
        size = printed * 1024
        yield {
            "convention": convention,
            "network": name,
            "image": f"{side} x {side} x {channels}",
            "printed": round(size),
            "figure %": f"{100 * (found.activations_bytes / size - 1):+.1f}",
            "upper %": f"{100 * ((found.activations_upper_bytes or 0) / size - 1):+.1f}",
        }
