"""`verify`: the ladder once more, on golden vectors; needs neither PyTorch nor a data set."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from edgebench.errors import EdgebenchError, nearest
from edgebench.export.handover.bundle import (
    FLOAT_MODEL,
    FORMAT,
    INPUTS,
    INT8_MODEL,
    NAMES,
    OUTPUTS,
    PROOF,
)
from edgebench.export.inference import Logits, difference, onnx_logits, runtime_errors
from edgebench.export.parity import Ladder, Limits, compare
from edgebench.export.preprocessing import Preprocessing

INPUT_TOLERANCE = 1e-5  # of a normalized pixel: rounding of another numpy


@dataclass(frozen=True)
class Verification:
    """What `verify` found: the ladder on the vectors, and what else does not hold."""

    ladder: Ladder
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Tell whether the folder is what was proven, with the same outputs on this machine."""
        return not self.problems and self.ladder.failed is None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""
        found = self.ladder.as_dict()
        return {**found, "passed": self.passed, "problems": list(self.problems)}


def verify(folder: Path) -> Verification:
    """Check the files of a hand-over against its proof, and run both models on its vectors.

    The float32 file must give the logits of the trained PyTorch model, within the limits of the
    proof. The int8 file must give those that it gave when it was proven, to within the error that
    it had then: integer kernels of another processor may round otherwise, but not worse.

    Raises:
        EdgebenchError: the folder is no hand-over, or a file of it cannot be read at all.
    """
    proof = _proof(folder)
    contents = {name: _content(folder, name) for name in proof["files"]}
    problems = [
        f"{name} is not the file that was proven: its SHA-256 differs"
        for name, stated in proof["files"].items()
        if hashlib.sha256(contents[name]).hexdigest() != stated["sha256"]
    ]
    if not proof["ladder"]["passed"]:
        problems.append(f"{PROOF} itself says that the ladder failed")
    inputs, outputs = (_arrays(name, contents[name]) for name in (INPUTS, OUTPUTS))
    limits = Limits(**proof["ladder"]["limits"])
    single = _logits(FLOAT_MODEL, contents[FLOAT_MODEL], inputs, problems)
    small = _logits(INT8_MODEL, contents[INT8_MODEL], inputs, problems)
    then = difference(outputs["int8"], outputs["onnx"])
    error = then.max_abs_diff / max(1.0, then.max_abs_logit)  # as `Limits` is relative
    again = replace(limits, max_abs_diff=max(error, limits.max_abs_diff))
    labels = inputs["labels"]
    rungs = (
        compare("onnx", ("PyTorch, recorded", "ONNX float32"), outputs["torch"], single,
                labels=labels, limits=limits, exact=True),
        compare("int8", ("ONNX int8, recorded", "ONNX int8"), outputs["int8"], small,
                labels=labels, limits=again, exact=True),
    )  # fmt: skip
    return Verification(Ladder(rungs, limits), tuple(problems))


def _proof(folder: Path) -> dict[str, Any]:
    """Read the proof; raises EdgebenchError where there is none that this version understands."""
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*/")] if folder.parent.is_dir() else []
        close = nearest(folder.name, beside)
        hint = f"; did you mean '{folder.parent / close}'?" if close else ""
        raise EdgebenchError(f"there is no folder '{folder}'{hint}")
    if not (folder / PROOF).is_file():
        raise EdgebenchError(
            f"'{folder}' is no hand-over: it has no {PROOF}; "
            "'edgebench export RUN -o DIR/' makes one"
        )
    try:
        proof = json.loads((folder / PROOF).read_bytes())
        known = proof["format"] == FORMAT and {*proof["files"], PROOF} >= set(NAMES)
    except (ValueError, KeyError, TypeError) as error:
        raise EdgebenchError(f"'{folder / PROOF}' cannot be read: {error}") from error
    if not known:
        raise EdgebenchError(
            f"'{folder / PROOF}' has format {proof['format']}; this edgebench reads {FORMAT}"
        )
    return dict(proof)


def _content(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise EdgebenchError(
            f"'{folder}' is incomplete: {name}: {error.strerror or error}"
        ) from error


def _arrays(name: str, content: bytes) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise EdgebenchError(f"{name} cannot be read: {error}") from error


def _logits(
    name: str, content: bytes, inputs: dict[str, npt.NDArray[Any]], problems: list[str]
) -> Logits:
    """Run one model on the vectors as its own metadata normalize them."""
    try:
        model = onnx.load_from_string(content)
        preprocessing = Preprocessing.of(model)
        if preprocessing is None:
            problems.append(f"{name} carries no preprocessing")
            own = inputs["inputs"]
        else:
            own = preprocessing.apply(inputs["pixels"])
            if not np.abs(own - inputs["inputs"]).max() <= INPUT_TOLERANCE:
                problems.append(f"{name} normalizes pixels otherwise than its network was trained")
        return onnx_logits(content, own)
    except (DecodeError, *runtime_errors()) as error:
        raise EdgebenchError(f"{name} is no model that ONNX Runtime can run: {error}") from error
