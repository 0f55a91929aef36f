"""Where a study is kept: the addresses of stores, and stores that come into being whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import filelock


def create_store(uri: str, initialise: Callable[[str], None]) -> None:
    """Make a SQLite store that does not exist yet; other stores are left alone.

    ``initialise`` fills the store at the address it is given: a file of another name, which gets
    its own name when it is whole. A process killed between two migrations leaves nothing that
    would stop the next one.
    """
    path = sqlite_path(uri)
    if path is None or path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.parent / ".create.lock"):  # one maker at a time
        if path.is_file():
            return
        unfinished = path.with_name(f".{path.name}.unfinished")
        for rest in path.parent.glob(f"{unfinished.name}*"):
            rest.unlink()  # a journal too: SQLite would roll it back into the new file
        initialise(uri.replace(str(path), str(unfinished)))
        unfinished.replace(path)


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a ``sqlite:///`` address, or None for another kind of store."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", uri)
    return Path(match[1]) if match else None


def artifact_root(uri: str) -> str | None:
    """Return where artifacts go: beside a SQLite file; None lets a server decide for itself."""
    path = sqlite_path(uri)
    return (path.parent / "artifacts").resolve().as_uri() if path else None
