"""The hand-over as files: a folder that is there whole, with digests, or not at all."""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.files import serialize
from edgebench.export.handover.c_header import NAME as HEADER
from edgebench.export.handover.c_header import c_header
from edgebench.export.handover.card import card
from edgebench.export.handover.vectors import Vectors
from edgebench.export.proving import Proven

FORMAT = 2  # of proof.json: since there is a header of golden vectors
FLOAT_MODEL = "model.onnx"
INT8_MODEL = "model.int8.onnx"
PROOF = "proof.json"
INPUTS = "inputs.npz"
OUTPUTS = "outputs.npz"
CARD = "MODEL_CARD.md"
NAMES = (FLOAT_MODEL, INT8_MODEL, INPUTS, OUTPUTS, HEADER, CARD, PROOF)
SIGNATURE = f"{PROOF}.sig"  # where one was asked for
FIRMWARE = "firmware"
FIRMWARE_NAMES = tuple(
    f"{FIRMWARE}/{name}"
    for name in ("model.c", "model.h", "main.c", "CMakeLists.txt", "README.md", "firmware.json")
)
"""The C of one of the models, where it was asked for; all of these or none."""


@dataclass(frozen=True)
class Bundle:
    """What is handed over: both models, the vectors, and the proof without its file digests.

    ``firmware`` has the contents of `FIRMWARE_NAMES`, by name, or nothing.
    """

    float_model: onnx.ModelProto
    int8_model: onnx.ModelProto
    vectors: Vectors
    proof: Mapping[str, Any] = field(repr=False)
    firmware: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        proven: Proven,
        vectors: Vectors,
        proof: Mapping[str, Any],
        firmware: Mapping[str, str] = MappingProxyType({}),
    ) -> Bundle:
        """Return the bundle of a request with int8; raises ValueError where it was one without.

        ``firmware`` has the texts of the folder of that name, by their names in it.
        """
        if proven.choice is None:
            raise ValueError("a hand-over holds both models, but no int8 model was asked for")
        texts = {f"{FIRMWARE}/{name}": text.encode() for name, text in firmware.items()}
        if texts and set(texts) != set(FIRMWARE_NAMES):
            raise ValueError(f"the firmware of a hand-over is {FIRMWARE_NAMES}, not {[*texts]}")
        return cls(proven.float_model, proven.choice.model, vectors, proof, texts)

    def files(self) -> dict[str, bytes]:
        """Return every file of the folder by name; equal bundles give equal bytes."""
        vectors = self.vectors
        contents = {
            FLOAT_MODEL: serialize(self.float_model),
            INT8_MODEL: serialize(self.int8_model),
            INPUTS: _npz(pixels=vectors.pixels, inputs=vectors.inputs, labels=vectors.labels),
            OUTPUTS: _npz(torch=vectors.torch, onnx=vectors.onnx, int8=vectors.int8),
            HEADER: c_header(vectors, self.proof["preprocessing"], self.proof["ends"]).encode(),
            CARD: card(self.proof).encode(),
            **self.firmware,
        }
        return contents | {PROOF: proof_bytes(self.proof, contents)}

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file, in hex, as the record of a run keeps them."""
        return {name: sha256(content) for name, content in self.files().items()}


def sha256(content: bytes) -> str:
    """Return the digest of a file in hex, as a proof states it."""
    return hashlib.sha256(content).hexdigest()


def proof_bytes(proof: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Return the text of a proof: ``proof`` with the size and SHA-256 of the files it is about."""
    digests = {
        name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items()
    }
    whole = {"format": FORMAT, **proof, "files": digests}
    return (json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds something; ``force`` allows to replace a former hand-over.

    Raises:
        EdgebenchError: the folder is not empty, or ``force`` would delete other files.
    """
    if not folder.exists() and not folder.is_symlink():
        if not folder.parent.is_dir():
            raise EdgebenchError(
                f"there is no folder '{folder.parent}' to write '{folder.name}' in"
            )
        return
    if not folder.is_dir() or folder.is_symlink():
        raise EdgebenchError(f"'{folder}' exists and is no folder; choose another with -o")
    held = sorted(path.name for path in folder.iterdir())
    if held and not force:
        raise EdgebenchError(
            f"'{folder}' exists and is not empty; choose another folder, or replace it with --force"
        )
    foreign = [name for name in held if name not in (*NAMES, SIGNATURE, FIRMWARE)]
    if FIRMWARE in held:
        foreign += _foreign_firmware(folder / FIRMWARE)
    if foreign:
        raise EdgebenchError(
            f"'{folder}' holds '{foreign[0]}', which is no part of a hand-over; "
            "--force replaces hand-overs only, so choose another folder"
        )


def _foreign_firmware(folder: Path) -> list[str]:
    """Return the names of what is in the place of a firmware and is no part of one."""
    if not folder.is_dir() or folder.is_symlink():
        return [FIRMWARE]
    within = sorted(f"{FIRMWARE}/{path.name}" for path in folder.iterdir())
    return [name for name in within if name not in FIRMWARE_NAMES]


def write(
    folder: Path,
    bundle: Bundle,
    *,
    force: bool = False,
    sign: Callable[[bytes], bytes] | None = None,
) -> None:
    """Write ``bundle`` to ``folder``: everything beside it first, then one rename.

    ``sign`` makes the signature of the proof, which stands beside it (see `signer`). A process
    that is killed in the middle leaves at most a hidden folder beside it, which the next hand-over
    of that name sweeps away.

    Raises:
        EdgebenchError: see `check_free`; or the disk refuses the bytes, and nothing is left.
    """
    check_free(folder, force=force)
    parent = folder.absolute().parent
    _sweep(parent, folder.name)
    building = parent / f".{folder.name}.building-{os.getpid()}"
    former = parent / f".{folder.name}.former-{os.getpid()}"
    try:
        building.mkdir()
        contents = bundle.files()
        if bundle.firmware:
            (building / FIRMWARE).mkdir()
        if sign is not None:
            contents[SIGNATURE] = sign(contents[PROOF])
        for name, content in contents.items():
            _write_through(building / name, content)
        if folder.exists():
            folder.rename(former)
        building.rename(folder)
        shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        if former.exists() and not folder.exists():
            former.rename(folder)
        raise EdgebenchError(f"cannot write '{folder}': {error.strerror or error}") from error


def _sweep(parent: Path, name: str) -> None:
    """Remove what killed processes left beside ``name``; those that still run are left alone."""
    for path in parent.glob(f".{glob.escape(name)}.*-*"):
        kind, _, process = path.name.removeprefix(f".{name}.").partition("-")
        if kind not in ("building", "former") or not process.isdigit():
            continue
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except PermissionError:
            continue  # another user's process


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _npz(**arrays: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
