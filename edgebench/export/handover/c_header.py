"""The golden vectors as a C header: pixels, the integers made of them, and the expected logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebench.export.handover.vectors import Vectors

NAME = "golden_vectors.h"
IMAGES = 4
"""Images of the header: the files for Python have all sixteen."""
PER_LINE = 24

_HEAD = """/* Golden vectors of a model handed over by edgebench; see MODEL_CARD.md and proof.json.
 *
 * Images are NCHW, channels before height and width, pixels 0..255.
 * Float input: (pixel / 255 - mean[c]) / std[c].
 * Integer input: q = round(input / GOLDEN_INPUT_SCALE) + GOLDEN_INPUT_ZERO_POINT, saturated.
 */
#ifndef GOLDEN_VECTORS_H
#define GOLDEN_VECTORS_H

#include <stdint.h>
"""


def c_header(
    vectors: Vectors, preprocessing: Mapping[str, Any], edges: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the header's text: the first `IMAGES` images, and what each model answers.

    Args:
        vectors: The golden vectors.
        preprocessing: As a proof states it: mean, std, classes.
        edges: The two ends of the int8 model, see `edgebench.export.handover.edges.edges`.
    """
    count = min(IMAGES, len(vectors.pixels))
    size = vectors.pixels[0].size
    channels, height, width = vectors.pixels.shape[1:]
    classes = preprocessing["classes"]
    lines = [
        _HEAD,
        f"#define GOLDEN_IMAGES {count}",
        f"#define GOLDEN_CHANNELS {channels}",
        f"#define GOLDEN_HEIGHT {height}",
        f"#define GOLDEN_WIDTH {width}",
        f"#define GOLDEN_INPUT_SIZE {size}",
        f"#define GOLDEN_CLASSES {len(classes)}",
    ]
    quantized = edges["input"].get("quantized")
    for name, edge in edges.items():
        found = edge.get("quantized")
        if found:
            lines += [
                f"#define GOLDEN_{name.upper()}_SCALE {_float(found['scale'])}",
                f"#define GOLDEN_{name.upper()}_ZERO_POINT ({found['zero_point']})",
            ]
    lines += [
        "",
        _array("float", "golden_mean", map(_float, preprocessing["mean"]), channels),
        _array("float", "golden_std", map(_float, preprocessing["std"]), channels),
        _names(classes),
        _array("uint16_t", "golden_labels", map(str, vectors.labels[:count].tolist()), count),
        _matrix("uint8_t", "golden_pixels", vectors.pixels[:count], "GOLDEN_INPUT_SIZE"),
    ]
    if quantized:
        integers = _quantized(vectors.inputs[:count], quantized)
        kind = f"{quantized['dtype']}_t"
        lines.append(_matrix(kind, "golden_inputs", integers, "GOLDEN_INPUT_SIZE"))
    lines += [
        _matrix("float", "golden_logits_float32", vectors.onnx[:count], "GOLDEN_CLASSES"),
        _matrix("float", "golden_logits_int8", vectors.int8[:count], "GOLDEN_CLASSES"),
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _quantized(values: npt.NDArray[np.float32], rule: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """Return the integers of ``QuantizeLinear``: rounded half to even, saturated."""
    limits = np.iinfo(rule["dtype"])
    rounded = np.rint(values / np.float32(rule["scale"])).astype(np.int64)
    found: npt.NDArray[np.int64] = np.clip(rounded + rule["zero_point"], limits.min, limits.max)
    return found


def _array(kind: str, name: str, values: Iterable[str], count: int) -> str:
    return f"static const {kind} {name}[{count}] = {{\n{_wrapped(list(values))}\n}};\n"


def _matrix(kind: str, name: str, values: npt.NDArray[Any], size: str) -> str:
    write = _float if kind == "float" else str
    rows = (
        "  {\n" + _wrapped([write(one) for one in row.ravel().tolist()]) + "\n  }" for row in values
    )
    inner = ",\n".join(rows)
    return f"static const {kind} {name}[GOLDEN_IMAGES][{size}] = {{\n{inner}\n}};\n"


def _wrapped(values: Sequence[str]) -> str:
    lines = (values[at : at + PER_LINE] for at in range(0, len(values), PER_LINE))
    return ",\n".join("    " + ", ".join(line) for line in lines)


def _float(value: float) -> str:
    """Return a C constant that reads back as the same float32."""
    text = np.format_float_positional(np.float32(value), unique=True, trim="0")
    return f"{text}f"


def _names(classes: Sequence[str]) -> str:
    inner = ",\n".join(f'    "{_escaped(name)}"' for name in classes)
    return f"static const char *const golden_classes[{len(classes)}] = {{\n{inner}\n}};\n"


def _escaped(text: str) -> str:
    """Return a text for a C string: bytes beyond plain letters in octal, three digits each."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
