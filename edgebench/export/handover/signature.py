"""Ed25519 signatures of a proof, which names the digest of every other file of a hand-over.

``proof.json.sig`` has the 64 bytes of RFC 8032 over the bytes of ``proof.json``, so that OpenSSL
verifies it too: ``openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in proof.json -sigfile
proof.json.sig``. Keys are PEM files (``openssl genpkey -algorithm ed25519``) or OpenSSH's own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgebench.errors import EdgebenchError

LARGEST = 64 * 1024  # bytes of a key's file
_OPENSSH = (b"ssh-ed25519", b"-----BEGIN OPENSSH")


def signer(key: Path) -> Callable[[bytes], bytes]:
    """Return a function that signs with the private key in a file.

    Raises:
        EdgebenchError: It holds no private Ed25519 key that can be read without a passphrase.
    """
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = _content(key)
    load = (
        forms.load_ssh_private_key if content.startswith(_OPENSSH) else forms.load_pem_private_key
    )
    found = _loaded(key, "private", lambda: load(content, password=None))
    if not isinstance(found, Ed25519PrivateKey):
        raise _no_key(key, "private")
    return found.sign


def is_signed(key: Path, signature: bytes, content: bytes) -> bool:
    """Tell whether ``signature`` of ``content`` is by the public key in a file.

    Raises:
        EdgebenchError: It holds no public Ed25519 key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text = _content(key)
    load = forms.load_ssh_public_key if text.startswith(_OPENSSH) else forms.load_pem_public_key
    found = _loaded(key, "public", lambda: load(text))
    if not isinstance(found, Ed25519PublicKey):
        raise _no_key(key, "public")
    try:
        found.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _content(key: Path) -> bytes:
    try:
        if not key.is_file():
            raise EdgebenchError(f"there is no file '{key}'")
        with key.open("rb") as stream:
            return stream.read(LARGEST)
    except OSError as error:
        raise EdgebenchError(f"'{key}' cannot be read: {error.strerror}") from None


def _loaded(key: Path, kind: str, load: Callable[[], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except TypeError:
        raise EdgebenchError(
            f"'{key}' is protected by a passphrase; give a key that is not, as 'openssl pkey -in "
            f"{key.name}' writes it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _no_key(key, kind) from None


def _no_key(key: Path, kind: str) -> EdgebenchError:
    way = "genpkey -algorithm ed25519" if kind == "private" else "pkey -pubout -in KEY"
    return EdgebenchError(f"'{key}' holds no {kind} Ed25519 key; 'openssl {way}' writes one")
