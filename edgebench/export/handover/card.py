"""MODEL_CARD.md: what the model is, what was proven, what it costs and how to run it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgebench.markup import code, escaped

_RUN = """```python
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")    # or model.int8.onnx: same input and output
mean, std = (np.array(v, "float32").reshape(1, -1, 1, 1) for v in ({mean}, {std}))
inputs = (pixels.astype("float32") / 255 - mean) / std  # pixels: uint8 [N, {shape}]
outputs = session.run(None, {{"input": inputs}})[0]       # [N, {classes}] {output}
```"""


def card(proof: Mapping[str, Any]) -> str:
    """Return the card of a hand-over from its proof."""
    run, pre = proof["run"], proof["preprocessing"]
    parts = [
        f"# {escaped(str(run['name']))}",
        (
            f"An image classifier of the family {code(str(run['family']))}, trained on "
            f"{code(str(run['dataset']))}: "
            f"{'x'.join(map(str, pre['input_shape']))} pixels, {len(pre['classes'])} classes "
            f"({_few(pre['classes'])})."
        ),
        "## What was proven",
        _ladder(proof["ladder"], proof["split"]),
        _int8(proof["int8"]),
        "`edgebench verify DIR` repeats this on the golden vectors, without PyTorch.",
        "## What it costs",
        _footprint(proof["footprint"]),
        "Estimates by rule, not measurements of a device; each convention counts differently.",
        "## How to run it",
        _RUN.format(
            mean=list(pre["mean"]),
            std=list(pre["std"]),
            shape=", ".join(map(str, pre["input_shape"])),
            classes=len(pre["classes"]),
            output=pre["output"],
        ),
        (
            "The layout is NCHW: channels before height and width. Images as `[N, H, W, C]` are "
            "turned by `pixels.transpose(0, 3, 1, 2)`. Mean, deviation, layout and class names "
            "also stand in the metadata of both files."
        ),
        (
            "On x86 processors without VNNI, ONNX Runtime's default kernels saturate int8 sums in "
            "16 bits; `SessionOptions.add_session_config_entry('session.qdqisint8allowed', '1')` "
            "computes the int8 model as a device does, which is how it was proven."
        ),
        "## For the firmware",
        *_firmware(proof),
        "## Where it comes from",
        _table(("field", "value"), [(key, _value(value)) for key, value in run.items()]),
        _table(("package", "version"), list(proof["versions"].items())),
    ]
    return "\n\n".join(parts) + "\n"


def _firmware(proof: Mapping[str, Any]) -> list[str]:
    """Return what must be known to feed the model, and to read its answer."""
    pre, run = proof["preprocessing"], proof["run"]
    rows = []
    for end, found in proof["ends"].items():
        shape = "x".join(map(str, found["shape"]))
        rule = found.get("quantized")
        held, scale, zero, small = "float32 alone", "", "", ""
        if rule:
            held, scale, zero = rule["dtype"], f"{rule['scale']:.9g}", str(rule["zero_point"])
            small = f"{rule['buffer_bytes']:,} B"
        rows.append((end, shape, f"{found['buffer_bytes']:,} B", held, scale, zero, small))
    head = ("end", "shape", "as float32", "int8 model", "scale", "zero point", "as integers")
    grey = "grey; colours are turned to grey by ITU-R 601-2 luma, as Pillow's `L`"
    colours = "red, green, blue, in this order" if pre["input_shape"][0] == 3 else grey
    classes = ", ".join(f"{index} {escaped(name)}" for index, name in enumerate(pre["classes"]))
    return [
        _table(head, rows),
        (
            "Both files take and give float32; a device may keep the integers of the int8 model "
            "instead: q = round(x / scale) + zero point, half to even, saturated; "
            "x = (q - zero point) * scale. `golden_vectors.h` has images, these integers and the "
            "expected answers in C."
        ),
        f"- Pixels: uint8, 0 to 255, {colours}.",
        f"- Size: {escaped(str(run.get('resize', 'as in the data set')))}.",
        f"- Classes, in the order of the output: {classes}.",
    ]


def _ladder(ladder: Mapping[str, Any], split: str) -> str:
    head = ("from", "to", "images", "max diff", "mean diff", "agreement", "accuracy", "passed")
    rows = [
        (
            rung["reference"],
            rung["candidate"],
            f"{rung['images']:,} ({split})",
            f"{rung['max_abs_diff']:.2e}",
            f"{rung['mean_abs_diff']:.2e}",
            f"{100 * rung['top1_agreement']:.2f} %",
            f"{100 * rung['reference_accuracy']:.2f} → {100 * rung['candidate_accuracy']:.2f} %",
            "yes" if rung["passed"] else "no",
        )
        for rung in ladder["rungs"]
    ]
    limits = ladder["limits"]
    return (
        f"{_table(head, rows)}\n\nA float32 logit may differ by {limits['max_abs_diff']:g}, or by "
        "that share of the largest logit where this is above 1; "
        f"{100 * limits['min_agreement']:g} % of the predicted classes must agree; accuracy may "
        f"drop by {100 * limits['max_accuracy_drop']:g} points."
    )


def _int8(int8: Mapping[str, Any]) -> str:
    named = ", ".join(
        f"{code(one['name'])} ({escaped(one['reason'])})" for one in int8["float_operators"]
    )
    graph = f"These operators stay float32: {named}." if named else "The whole graph is int8."
    return (
        f"Int8 weights per channel and int8 activations, calibrated by `{int8['candidate']}` on "
        f"{int8['calibration_images']} training images. {graph}"
    )


def _footprint(footprint: Mapping[str, Any]) -> str:
    head = (
        "convention", "data type", "MACC", "weights B", "ROM B", "at most", "RAM B", "at most",
    )  # fmt: skip
    figures = (
        "macc", "weights_bytes", "rom_bytes", "rom_upper_bytes", "ram_bytes", "ram_upper_bytes",
    )  # fmt: skip
    rows = [
        (convention, dtype, *(_count(found[figure]) for figure in figures))
        for convention, both in footprint.items()
        for dtype, found in both.items()
    ]
    return _table(head, rows)


def _count(value: int | None) -> str:
    return "not known" if value is None else f"{value:,}"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(code(f"{name}={one}") for name, one in value.items())
    return code(str(value))


def _few(classes: list[str]) -> str:
    shown = ", ".join(map(escaped, classes if len(classes) <= 12 else classes[:10]))
    return shown if len(classes) <= 12 else f"{shown}, …"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: object) -> str:
    """Return Markdown as a cell: a bar ends it even inside code, unless it is escaped."""
    return re.sub(r"(?<!\\)\|", r"\|", str(text))
