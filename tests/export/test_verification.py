"""`verify` believes nothing that the folder says of itself."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_handovers
import hostile_onnx
import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from handover_case import bundle, restate

from edgebench.errors import EdgebenchError
from edgebench.export import signer, verify, write
from edgebench.export.handover.bundle import FIRMWARE_NAMES, NAMES
from edgebench.export.handover.signature import is_signed
from edgebench.export.parity import Limits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the hand-over to a fresh folder."""
    write(tmp_path / "out", bundle())
    return tmp_path / "out"


def refused(folder: Path, **more: Any) -> str:
    """Return the one line with which ``folder`` is refused."""
    with pytest.raises(EdgebenchError) as caught:
        verify(folder, **more)
    assert caught.value.exit_code == 2
    [line] = str(caught.value).splitlines()
    return line


def stated(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the proof of ``folder`` says."""
    proof = json.loads((folder / "proof.json").read_bytes())
    change(proof)
    (folder / "proof.json").write_text(json.dumps(proof))


# The limits are the verifier's --------------------------------------------------------------------


def test_loosened_limits_of_the_proof_change_nothing(folder: Path) -> None:
    """Other weights, digests that agree, and a proof that allows everything: not passed."""
    model = onnx.load(folder / "model.onnx")
    weight = next(one for one in model.graph.initializer if one.name == "0.5/Conv.weight")
    content = onnx.numpy_helper.to_array(weight) * 1.5
    weight.CopyFrom(onnx.numpy_helper.from_array(content, weight.name))
    onnx.save(model, folder / "model.onnx")
    loose = {"max_abs_diff": 1e9, "min_agreement": 0.0, "max_accuracy_drop": 1.0}
    stated(folder, lambda proof: proof["ladder"].update(limits=loose))
    restate(folder)
    found = verify(folder)
    assert not found.passed
    assert not any("SHA-256" in problem for problem in found.problems)
    assert not found.ladder.rungs[0].passed
    assert found.stated == Limits(**loose)
    [note] = found.notes
    assert note == (
        "judged by max_abs_diff 0.0001, min_agreement 0.999, max_accuracy_drop 0.01; the proof was "
        "made with max_abs_diff 1e+09, min_agreement 0, max_accuracy_drop 1"
    )


def test_the_ladder_of_the_proof_is_judged_by_the_verifiers_limits(folder: Path) -> None:
    """What was allowed when it was made may be too much for who receives it."""

    def worse(proof: dict[str, Any]) -> None:
        proof["ladder"]["limits"]["max_abs_diff"] = 10.0
        proof["ladder"]["rungs"][0].update(max_abs_diff=2.0, max_abs_logit=1.0)

    stated(folder, worse)
    assert verify(folder).problems == ("the rung 'onnx' of proof.json: max_abs_diff 2 > 0.0001",)
    assert verify(folder, limits=Limits(max_abs_diff=10.0)).passed


def test_an_int8_model_of_other_classes_is_found(folder: Path) -> None:
    """Its recorded answers were replaced with it, so that only the float32 model contradicts."""
    outputs = dict(np.load(folder / "outputs.npz"))
    model = onnx.load(folder / "model.int8.onnx")
    weights = [one for one in model.graph.initializer if one.name.endswith("weight_quantized")]
    for weight in weights:
        content = np.zeros_like(onnx.numpy_helper.to_array(weight))
        weight.CopyFrom(onnx.numpy_helper.from_array(content, weight.name))
    onnx.save(model, folder / "model.int8.onnx")
    from edgebench.export import onnx_logits

    outputs["int8"] = onnx_logits(model, np.load(folder / "inputs.npz")["inputs"])
    np.savez_compressed(folder / "outputs.npz", **outputs)
    restate(folder)
    [problem] = verify(folder).problems
    assert problem.startswith("model.int8.onnx beside model.onnx: accuracy drop 0.")


# Files that are none ------------------------------------------------------------------------------


def _linked(path: Path) -> None:
    path.rename(path.with_suffix(".else"))
    path.symlink_to(path.with_suffix(".else").name)


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _foldered(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("harm", "said"),
    [(_linked, "is a link, not the file itself"), (_device, "is a link, not the file itself"),
     (_piped, "is no file"), (_foldered, "is no file")],
)  # fmt: skip
def test_links_pipes_devices_and_folders(
    folder: Path, name: str, harm: Callable[[Path], None], said: str
) -> None:
    """Neither followed nor waited for."""
    harm(folder / name)
    assert refused(folder) == f"'{folder}': {name} {said}"


def test_a_file_that_the_proof_names_elsewhere(folder: Path) -> None:
    """Only the files of a hand-over are read, wherever a proof would send the verifier."""
    stated(folder, lambda proof: proof["files"].update({"../../etc/passwd": {"sha256": "0" * 64}}))
    assert refused(folder) == ("proof.json names a file of another hand-over, '../../etc/passwd'")


def test_what_stands_beside_is_not_vouched_for(folder: Path) -> None:
    """It is said, and no reason to fail."""
    (folder / "firmware.c").write_text("int main(void) { return 0; }")
    found = verify(folder)
    assert found.passed
    assert found.notes[1] == "no part of the hand-over, and not vouched for: 'firmware.c'"


def with_firmware(folder: Path) -> Path:
    """Write the hand-over with the C of a model beside ``folder`` and return its folder."""
    texts = {name: name.encode() for name in FIRMWARE_NAMES}
    write(folder.parent / "with", dataclasses.replace(bundle(), firmware=texts))
    return folder.parent / "with"


def test_the_firmware_of_a_hand_over(folder: Path) -> None:
    """Its files are proven as the others are; what is laid beside them is named."""
    whole = with_firmware(folder)
    assert verify(whole).passed
    assert len(verify(whole).notes) == 1
    (whole / "firmware" / "model.h").write_text("other")
    (whole / "firmware" / "\u202e.o").write_text("built")
    found = verify(whole)
    assert found.problems == (
        "firmware/model.h is not the file that was proven: its SHA-256 differs",
    )
    assert found.notes[1].endswith("not vouched for: 'firmware/\\u202e.o'")
    with pytest.raises(EdgebenchError, match=r"holds 'firmware/.*', which is no part of a"):
        write(whole, bundle(), force=True)
    (whole / "firmware" / "\u202e.o").unlink()
    write(whole, bundle(), force=True)
    assert not (whole / "firmware").exists()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_linked, "'{}': firmware/main.c is a link, not the file itself"),
        (_piped, "'{}': firmware/main.c is no file"),
        (lambda path: _linked(path.parent), "'{}': firmware is a link, not the file itself"),
        (lambda path: path.unlink(), "'{}' is incomplete: firmware/main.c: No such file or"),
    ],
)
def test_firmware_that_is_no_file(folder: Path, harm: Callable[[Path], None], said: str) -> None:
    """Neither a file of it nor its folder is followed elsewhere."""
    whole = with_firmware(folder)
    harm(whole / "firmware" / "main.c")
    with pytest.raises(EdgebenchError) as caught:
        verify(whole)
    assert str(caught.value).startswith(said.format(whole))


def test_a_proof_names_the_whole_firmware(folder: Path) -> None:
    """All of its files or none, so that no C is left unproven."""
    whole = with_firmware(folder)
    stated(whole, lambda proof: proof["files"].pop("firmware/model.c"))
    assert refused(whole) == "proof.json names no 'firmware/model.c'"


# Sizes --------------------------------------------------------------------------------------------


def test_sizes_are_bounded_before_anything_is_read_or_unfolded(folder: Path) -> None:
    """A sparse file of 300 MiB, an archive of 0.3 MB that unfolds to 300 MB, a header that lies."""
    whole = (folder / "inputs.npz").read_bytes()
    with (folder / "inputs.npz").open("wb") as stream:
        stream.truncate(300 * 2**20)
    assert refused(folder) == f"'{folder}': inputs.npz has more than 268,435,456 bytes"
    with zipfile.ZipFile(folder / "inputs.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pixels.npy", bytes(300 * 2**20))
    assert refused(folder) == "inputs.npz cannot be read: 'pixels.npy' would have 314,572,800 bytes"
    (folder / "inputs.npz").write_bytes(whole)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**10, 1, 1)}
    )
    with zipfile.ZipFile(folder / "inputs.npz", "w") as archive:
        archive.writestr("pixels.npy", buffer.getvalue() + bytes(16))
    assert refused(folder) == (
        "inputs.npz cannot be read: 'pixels.npy' would have 1,073,741,824 bytes"
    )


def test_models_that_take_all_time_or_memory(folder: Path) -> None:
    """They run in a process of their own, which ends."""
    content = hostile_onnx.endless_range().SerializeToString()
    (folder / "model.int8.onnx").write_bytes(content)
    restate(folder)
    assert refused(folder).startswith("model.int8.onnx is no model that ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "it is nested too deeply"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b'{"format": 2}', "ladder is missing"),
        (b'{"format": 2, "ladder": 3}', "ladder should be an object, not 3"),
        (b'{"format": true}', "format should be a whole number, not true"),
    ],
)
def test_malformed_proofs(folder: Path, content: bytes, said: str) -> None:
    """One line each."""
    (folder / "proof.json").write_bytes(content)
    assert refused(folder) == f"proof.json cannot be read: {said}"


def test_vectors_that_do_not_belong_together(folder: Path) -> None:
    """Fifteen labels of sixteen images, a label of no class, a value that is no number."""
    inputs = dict(np.load(folder / "inputs.npz"))
    for change, said in (
        ({"labels": inputs["labels"][1:]}, "the golden vectors do not belong together: "),
        ({"labels": inputs["labels"] + 90}, "the golden vectors have a label that is none of 10 "),
        ({"inputs": inputs["inputs"] * np.float32("nan")}, "the golden vectors 'inputs' are not "),
        ({"pixels": inputs["pixels"].astype(np.int64)}, "inputs.npz cannot be read: 'pixels.npy' "),
    ):
        np.savez_compressed(folder / "inputs.npz", **(inputs | change))
        assert refused(folder).startswith(said)


@pytest.mark.parametrize("seed", range(6))
def test_seeded_attacks(tmp_path: Path, seed: int) -> None:
    """A few of those that `benchmarks/attacks/handovers.py` runs by the hundred."""
    hostile_handovers.hostile(1_000 + seed, tmp_path / "out")
    lines = []
    try:
        verify(tmp_path / "out")
    except EdgebenchError as error:
        lines = str(error).splitlines()
    assert len(lines) <= 1


# Where it comes from ------------------------------------------------------------------------------


def key_pair(folder: Path) -> tuple[Path, Path]:
    """Write a private and a public key, as OpenSSL does."""
    private = Ed25519PrivateKey.generate()
    files = folder / "key.pem", folder / "key.pub"
    files[0].write_bytes(
        private.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    )
    files[1].write_bytes(
        private.public_key().public_bytes(
            forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return files


def test_a_signature_is_the_owners_of_the_key(tmp_path: Path) -> None:
    """Signed, it verifies with that key alone; a proof that was touched does not."""
    private, public = key_pair(tmp_path)
    (tmp_path / "else").mkdir()
    _, other = key_pair(tmp_path / "else")
    write(tmp_path / "out", bundle(), sign=signer(private))
    assert len((tmp_path / "out" / "proof.json.sig").read_bytes()) == 64
    assert verify(tmp_path / "out", key=public).passed
    assert verify(tmp_path / "out", key=other).problems == (
        f"proof.json.sig is not by the key '{other}'",
    )
    restated = (tmp_path / "out" / "proof.json").read_text() + "\n"
    (tmp_path / "out" / "proof.json").write_text(restated)
    assert not verify(tmp_path / "out", key=public).passed
    (tmp_path / "out" / "proof.json.sig").unlink()
    assert verify(tmp_path / "out", key=public).problems == (
        "it is not signed: there is no proof.json.sig",
    )


def test_keys_of_openssh_and_what_is_no_key(tmp_path: Path) -> None:
    """OpenSSH's own form signs too; a passphrase, another kind of key and no key are named."""
    own = Ed25519PrivateKey.generate()
    form = forms.PrivateFormat.OpenSSH
    (tmp_path / "id").write_bytes(own.private_bytes(forms.Encoding.PEM, form, forms.NoEncryption()))
    (tmp_path / "id.pub").write_bytes(
        own.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH)
    )
    signature = signer(tmp_path / "id")(b"proof")
    assert is_signed(tmp_path / "id.pub", signature, b"proof")
    (tmp_path / "closed").write_bytes(
        own.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(b"word")
        )
    )
    (tmp_path / "rsa").write_bytes(
        generate_private_key(65537, 2048).private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
        )
    )
    (tmp_path / "text").write_text("no key")
    for name, said in (
        ("closed", "is protected by a passphrase; give a key that is not"),
        ("rsa", "holds no private Ed25519 key"),
        ("text", "holds no private Ed25519 key"),
    ):
        with pytest.raises(EdgebenchError, match=said):
            signer(tmp_path / name)
    with pytest.raises(EdgebenchError, match="there is no file"):
        signer(tmp_path / "none")


def test_the_record_knows_its_hand_overs(folder: Path) -> None:
    """One of those recorded, every file the same; what differs is named."""
    digests = bundle().digests()
    assert verify(folder, recorded=[{**digests, "model.onnx": "0" * 64}, digests]).passed
    stated(folder, lambda proof: proof["run"].update(name="another"))
    assert verify(folder, recorded=[digests]).problems == (
        "it is no hand-over that was recorded: proof.json differs from the record",
    )
