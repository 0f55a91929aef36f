"""Where a study is kept: the addresses of stores, and stores that come into being whole."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import filelock

from edgebench.tracking.servers import creating, is_database_server

MOUNTS = Path("/proc/self/mounts")
LOCAL = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "tmpfs", "xfs", "zfs")
)
"""File systems of one machine, on which processes share memory through a file."""


def create_store(uri: str, initialize: Callable[[str], None]) -> None:
    """Make a SQLite store, or the tables of a database, where there is none yet.

    A tracking server is left alone: it makes its own.

    ``initialize`` fills the store at the address it is given: a file of another name, which gets
    its own name when it is whole. A process killed between two migrations leaves nothing that
    would stop the next one.
    """
    path = sqlite_path(uri)
    if is_database_server(uri):
        with creating(uri) as empty:
            if empty:
                initialize(uri)
    if path is None or path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.parent / ".create.lock"):  # one maker at a time
        if path.is_file():
            return
        unfinished = path.with_name(f".{path.name}.unfinished")
        for rest in path.parent.glob(f"{unfinished.name}*"):
            rest.unlink()  # a journal too: SQLite would roll it back into the new file
        initialize(_address(uri, unfinished))
        if is_local(path.parent):
            _keep_write_ahead_log(unfinished)
        unfinished.replace(path)


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a ``sqlite:///`` address, or None for another kind of store."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", uri)
    return Path(match[1]) if match else None


def absolute(uri: str) -> str:
    """Return an address that means the same store after the process has changed its folder.

    MLflow and SQLAlchemy keep connections by address: a relative one, asked again from another
    folder, would still lead to the first folder's file.
    """
    path = sqlite_path(uri)
    return uri if path is None else _address(uri, path.absolute())


def _address(uri: str, path: Path) -> str:
    """Return the address of another SQLite file, by the same driver."""
    return f"{uri.partition(':///')[0]}:///{path}"


def artifact_root(uri: str) -> str | None:
    """Return where artifacts go: beside a SQLite file; None lets a server decide for itself.

    A database has no place for files: they go to this machine's ``mlruns/``.
    """
    path = sqlite_path(uri)
    if path is None and is_database_server(uri):
        path = Path("mlruns", "mlflow.db")
    return (path.parent / "artifacts").resolve().as_uri() if path else None


def is_local(folder: Path) -> bool:
    """Tell whether ``folder`` is known to lie on a disk of this machine, where Linux says so."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    mounts = [line.split(" ") for line in lines]
    kinds = {
        at.replace("\\040", " "): kind for _, at, kind, *_ in mounts
    }  # a space is written \\040
    folder = folder.resolve()
    mount = next((str(at) for at in (folder, *folder.parents) if str(at) in kinds), None)
    return mount is not None and kinds[mount] in LOCAL


def _keep_write_ahead_log(path: Path) -> None:
    """Have every process append to a log beside the file: one flush to the disk a transaction.

    SQLite's own default, a journal that is made and deleted, takes several. The log is as safe
    against a kill and against a loss of power. It needs memory that processes share, which a
    network's file system does not give: there the default stays (https://sqlite.org/wal.html).
    """
    with (
        contextlib.closing(sqlite3.connect(path)) as connection,
        contextlib.suppress(sqlite3.OperationalError),
    ):
        connection.execute("PRAGMA journal_mode = WAL")
