"""A proof as text from anybody: what `verify` needs of it, or one line that says what is wrong."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgebench.errors import EdgebenchError
from edgebench.export.handover.bundle import FIRMWARE_NAMES, FORMAT, NAMES, PROOF
from edgebench.export.handover.delivered import read_file
from edgebench.export.inference import Parity
from edgebench.export.parity import Limits
from edgebench.metrics import Dtype

RUNGS = ("onnx", "int8")


@dataclass(frozen=True)
class StatedRung:
    """What a proof says of one rung: the figures, and by how much accuracy fell (a share)."""

    name: str
    apart: Parity
    drop: float


@dataclass(frozen=True)
class Stated:
    """What a proof says, none of which is believed before it is compared.

    ``digests`` has the SHA-256 of each file but the proof itself; ``limits`` are those that the
    ladder was judged by when it was made.
    """

    digests: Mapping[str, str]
    passed: bool
    limits: Limits
    rungs: Sequence[StatedRung]


def deployed_dtype(folder: Path) -> Dtype:
    """Return the data type that a hand-over was made to ship in: float32 where none is stated."""
    try:
        stated = json.loads(read_file(folder, PROOF))
        said = stated["run"]["deployed"]
    except (EdgebenchError, ValueError, RecursionError, TypeError, KeyError, IndexError):
        return "float32"
    return "int8" if said == "int8" else "float32"


def read_proof(content: bytes) -> Stated:
    """Read ``proof.json``.

    Raises:
        EdgebenchError: It is no JSON, or not of the form that this edgebench writes.
    """
    try:
        whole = json.loads(content)
    except RecursionError:
        raise EdgebenchError(f"{PROOF} cannot be read: it is nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError is one
        raise EdgebenchError(f"{PROOF} cannot be read: {error}") from None
    if _at(whole, "format", int) != FORMAT:
        raise EdgebenchError(
            f"{PROOF} has format {_short(whole['format'])}; this edgebench reads {FORMAT}"
        )
    ladder = _at(whole, "ladder", dict)
    stated = _at(ladder, "limits", dict, "ladder.")
    limits = Limits(
        **{one.name: _number(stated, one.name, "ladder.limits.") for one in fields(Limits)}
    )
    return Stated(
        _digests(_at(whole, "files", dict)),
        _at(ladder, "passed", bool, "ladder.") is True,
        limits,
        _rungs(_at(ladder, "rungs", list, "ladder.")),
    )


def _digests(files: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the files that a hand-over has: all of these, and no others.

    Those of its firmware stand there all or not at all.
    """
    expected = set(NAMES) - {PROOF}
    if any(name in files for name in FIRMWARE_NAMES):
        expected |= set(FIRMWARE_NAMES)
    for name in sorted(files.keys() ^ expected):
        verb = "names no" if name in expected else "names a file of another hand-over,"
        raise EdgebenchError(f"{PROOF} {verb} '{_short(name)}'")
    found = {}
    for name in sorted(expected):
        stated = _at(files, name, dict, "files.")
        digest = _at(stated, "sha256", str, f"files.{name}.")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise _wrong(f"files.{name}.sha256", "64 hex digits", digest)
        found[name] = str(digest)
    return found


def _rungs(stated: Sequence[Any]) -> list[StatedRung]:
    names = [one.get("name") if isinstance(one, dict) else None for one in stated[:3]]
    if names != list(RUNGS):
        raise _wrong("ladder.rungs", f"the rungs {' and '.join(RUNGS)}", names)
    found = []
    for index, one in enumerate(stated):
        at = f"ladder.rungs[{index}]."
        images = _at(one, "images", int, at)
        if not 1 <= images < 2**53:
            raise _wrong(f"{at}images", "a count of at least 1", images)
        apart = Parity(
            max_abs_diff=_number(one, "max_abs_diff", at),
            mean_abs_diff=_number(one, "mean_abs_diff", at),
            top1_agreement=_number(one, "top1_agreement", at),
            max_abs_logit=_number(one, "max_abs_logit", at),
            images=images,
        )
        drop = _number(one, "reference_accuracy", at) - _number(one, "candidate_accuracy", at)
        found.append(StatedRung(RUNGS[index], apart, drop))
    return found


_KINDS: Mapping[type, str] = {
    dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number",
    bool: "true or false",
}  # fmt: skip


def _at(holder: Any, key: str, kind: type, path: str = "") -> Any:
    """Return the value under a key of a JSON object, which must be of ``kind``."""
    if not isinstance(holder, dict):
        raise _wrong(path.rstrip(".") or "the whole", "an object", holder)
    if key not in holder:
        raise EdgebenchError(f"{PROOF} cannot be read: {path}{key} is missing")
    value = holder[key]
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise _wrong(f"{path}{key}", _KINDS[kind], value)
    return value


def _number(holder: Any, key: str, path: str) -> float:
    value = _at(holder, key, float, path)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise _wrong(f"{path}{key}", "a finite number", value)
    return found


def _wrong(path: str, rule: str, value: object) -> EdgebenchError:
    return EdgebenchError(f"{PROOF} cannot be read: {path} should be {rule}, not {_short(value)}")


def _short(value: object) -> str:
    """Return a value from a stranger on one short line."""
    shown = value if isinstance(value, str) else json.dumps(value)[:200]
    shown = shown if shown.isprintable() else ascii(shown)[1:-1]
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
