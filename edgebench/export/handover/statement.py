"""What a proof states: versions, origin, preprocessing, ladder, quantization and footprints."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import onnx

from edgebench.export.handover.edges import edges
from edgebench.export.preprocessing import Preprocessing
from edgebench.export.proving import Proven

_PACKAGES = ("edgebench", "numpy", "onnx", "onnxruntime", "torch")
_FIGURES = (
    "macs", "macc", "parameters", "weights_bytes", "code_bytes", "rom_bytes",
    "rom_upper_bytes", "activations_bytes", "runtime_ram_bytes", "ram_bytes", "ram_upper_bytes",
    "provenance",
)  # fmt: skip


def statement(
    proven: Proven, preprocessing: Preprocessing, *, run: Mapping[str, object], split: str
) -> dict[str, Any]:
    """Return the content of a proof, less the digests of the files that it will stand beside.

    ``run`` says where the model comes from (its name, family, data set, ...), ``split`` on which
    images the ladder was climbed. Nothing in it depends on the time or the folder.
    """
    graph = proven.float_model.graph
    source = graph.input[0]
    return {
        "run": dict(run),
        "versions": _versions(),
        "preprocessing": {
            "input": source.name,
            "output": graph.output[0].name,
            "input_shape": [dim.dim_value for dim in source.type.tensor_type.shape.dim][1:],
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "formula": preprocessing.formula,
            "layout": preprocessing.layout,
            "classes": list(preprocessing.classes),
        },
        "ends": edges(proven.choice.model if proven.choice else proven.float_model),
        "split": split,
        "ladder": proven.ladder.as_dict(),
        "int8": proven.int8_report(),
        "footprint": _footprints(proven),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _footprints(proven: Proven) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure both models by every convention: ``{convention: {dtype: figures}}``."""
    from edgebench.footprint import CONVENTIONS, measure
    from edgebench.profiling import profile

    models: dict[str, onnx.ModelProto] = {"float32": proven.float_model}
    if proven.choice is not None:
        models["int8"] = proven.choice.model
    profiles = {dtype: profile(model) for dtype, model in models.items()}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for convention in CONVENTIONS:
        both = {}
        for dtype, rows in profiles.items():
            figures = measure(rows, convention).as_dict()
            both[dtype] = {name: figures[name] for name in _FIGURES}
        found[convention] = both
    return found
