"""`verify`: the ladder once more, on golden vectors; needs neither PyTorch nor a data set.

Nothing that the folder says of itself is believed. The limits, the list of files and the bounds of
their sizes are the verifier's own; the models run in a process of their own. What a folder cannot
prove by itself, that it is the one that was exported, a record or a signature does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.errors import EdgebenchError
from edgebench.export.handover.bundle import (
    FLOAT_MODEL,
    INPUTS,
    INT8_MODEL,
    OUTPUTS,
    PROOF,
    SIGNATURE,
    sha256,
)
from edgebench.export.handover.delivered import (
    Arrays,
    check_arrays,
    check_folder,
    others,
    read_arrays,
    read_file,
)
from edgebench.export.handover.quarantine import answers
from edgebench.export.handover.signature import is_signed
from edgebench.export.handover.stated import Stated, read_proof
from edgebench.export.inference import Logits, difference
from edgebench.export.parity import Ladder, Limits, compare, failures

INPUT_TOLERANCE = 1e-5  # of a normalized pixel: rounding of another numpy
OWN_LIMITS = Limits()


@dataclass(frozen=True)
class Verification:
    """What `verify` found: the ladder on the vectors, what does not hold, and what is to be known.

    ``stated`` are the limits that the proof was made with; the ladder has those of the verifier.
    """

    ladder: Ladder
    problems: tuple[str, ...]
    stated: Limits
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Tell whether the folder is what was proven, with the same outputs on this machine."""
        return not self.problems and self.ladder.failed is None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""
        found = self.ladder.as_dict()
        return {
            **found,
            "passed": self.passed,
            "problems": list(self.problems),
            "proof_limits": asdict(self.stated),
            "notes": list(self.notes),
        }


def verify(
    folder: Path,
    *,
    limits: Limits = OWN_LIMITS,
    recorded: Sequence[Mapping[str, str]] | None = None,
    key: Path | None = None,
) -> Verification:
    """Check the files of a hand-over against its proof, and run both models on its vectors.

    The float32 file must give the logits of the trained PyTorch model, within ``limits``, and the
    ladder that the proof states must keep them too. The int8 file must give those that it gave
    when it was proven, to within the error that it had then: integer kernels of another processor
    may round otherwise, but not worse; and name the same classes as the float32 file.

    Args:
        folder: The hand-over.
        limits: What a rung may differ by; those of the proof are only compared with them.
        recorded: The digests of the hand-overs of a run by its record, of which it must be one.
        key: A file with the public key that must have signed the proof.

    Raises:
        EdgebenchError: the folder is no hand-over, or a file of it cannot be read at all.
    """
    check_folder(folder)
    proof = read_file(folder, PROOF)
    stated = read_proof(proof)
    contents = {name: read_file(folder, name) for name in stated.digests}
    digests = {name: sha256(content) for name, content in contents.items()}
    problems = [
        f"{name} is not the file that was proven: its SHA-256 differs"
        for name, digest in stated.digests.items()
        if digests[name] != digest
    ]
    problems += _not_recorded({**digests, PROOF: sha256(proof)}, recorded)
    problems += [] if key is None else _not_signed(folder, key, proof)
    problems += _broken_by_itself(stated, limits)
    inputs, outputs = (read_arrays(name, contents[name]) for name in (INPUTS, OUTPUTS))
    check_arrays(inputs, outputs)
    models = {name: contents[name] for name in (FLOAT_MODEL, INT8_MODEL)}
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite fails its rung
        ladder = _ladder(models, inputs, outputs, limits, problems)
    return Verification(
        ladder, tuple(problems), stated.limits, tuple(_notes(folder, stated, limits))
    )


def _not_recorded(
    digests: Mapping[str, str], recorded: Sequence[Mapping[str, str]] | None
) -> list[str]:
    """Say in which file the folder differs from the recorded hand-over that is most like it."""
    if recorded is None:
        return []
    different = [
        [name for name in sorted({*digests, *one}) if digests.get(name) != one.get(name)]
        for one in recorded
    ]
    closest = min(different, key=len, default=sorted(digests))
    if not closest:
        return []
    return [f"it is no hand-over that was recorded: {', '.join(closest)} differs from the record"]


def _not_signed(folder: Path, key: Path, proof: bytes) -> list[str]:
    if not (folder / SIGNATURE).exists():
        return [f"it is not signed: there is no {SIGNATURE}"]
    signed = is_signed(key, read_file(folder, SIGNATURE), proof)
    return [] if signed else [f"{SIGNATURE} is not by the key '{key}'"]


def _broken_by_itself(stated: Stated, limits: Limits) -> list[str]:
    """Judge the ladder that the proof states by the verifier's limits."""
    found = [] if stated.passed else [f"{PROOF} itself says that the ladder failed"]
    for rung in stated.rungs:
        broken = failures(rung.apart, rung.drop, limits, exact=rung.name == "onnx")
        found += [f"the rung '{rung.name}' of {PROOF}: {'; '.join(broken)}"] if broken else []
    return found


def _notes(folder: Path, stated: Stated, limits: Limits) -> list[str]:
    """Say by which limits was judged, by which the proof was made, and what it does not cover."""
    own, made = asdict(limits), asdict(stated.limits)
    judged = "judged by " + ", ".join(f"{name} {value:g}" for name, value in own.items())
    other = [f"{name} {value:g}" for name, value in made.items() if value != own[name]]
    found = [f"{judged}; the proof was made with {', '.join(other) or 'the same'}"]
    beside = [
        name if name.isprintable() else ascii(name)[1:-1] for name in others(folder, stated.digests)
    ]
    if beside:
        shown = ", ".join(f"'{name}'" for name in beside[:5]) + (", …" if len(beside) > 5 else "")
        found.append(f"no part of the hand-over, and not vouched for: {shown}")
    return found


def _ladder(
    models: Mapping[str, bytes],
    inputs: Arrays,
    outputs: Arrays,
    limits: Limits,
    problems: list[str],
) -> Ladder:
    """Run both models and compare what they say; what else is wrong is added to ``problems``."""
    found: dict[str, Logits] = {}
    for name, answer in answers(models, inputs["pixels"], inputs["inputs"]).items():
        if answer.inputs is None:
            problems.append(f"{name} carries no preprocessing")
        elif not np.abs(answer.inputs - inputs["inputs"]).max() <= INPUT_TOLERANCE:
            problems.append(f"{name} normalizes pixels otherwise than its network was trained")
        if answer.logits.shape != outputs["torch"].shape:
            raise EdgebenchError(
                f"{name} gives {answer.logits.shape} logits and should give "
                f"{outputs['torch'].shape}"
            )
        found[name] = answer.logits
    single, small = found[FLOAT_MODEL], found[INT8_MODEL]
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
    both = compare("int8", ("ONNX float32", "ONNX int8"), single, small,
                   labels=labels, limits=limits, exact=False)  # fmt: skip
    problems += [f"{INT8_MODEL} beside {FLOAT_MODEL}: {one}" for one in both.failures]
    return Ladder(rungs, limits)
