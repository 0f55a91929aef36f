"""What the machine refuses, in one line: a full disk, a folder without permission, a broken store.

The stores wrap what the system said in exceptions of their own; the cause is looked for in the
chain of them. What is no fault of the machine is ours, and keeps its traceback.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

KEPT = "what was finished is kept, and the same command goes on"
_SYSTEM = {
    errno.ENOSPC: f"the disk is full: make space; {KEPT}",
    errno.EDQUOT: f"the disk quota is used up: make space; {KEPT}",
    errno.EFBIG: f"a file may not grow so large here; {KEPT}",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "there is no permission: choose another folder, or have the permission given",
    errno.EPERM: "there is no permission: choose another folder, or have the permission given",
    errno.ENOTDIR: "a part of the path is a file and no folder: move it away, or choose another",
    errno.EEXIST: "something else is in the way: move it away, or choose another folder",
    errno.EISDIR: "it is a folder and no file",
    errno.ENOENT: "it is not there",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many files are open: raise the limit with 'ulimit -n'",
    errno.EIO: f"the disk reports an error; {KEPT}",
    errno.ENOMEM: f"there is not enough memory: use fewer --workers; {KEPT}",
}
"""What can be done about an error of the system, by its number."""
_CLOSED = (
    "a store may not be written to: have the permission given for its file and those beside it "
    "(-wal, -shm), or choose another with --storage and --tracking-uri"
)
_SQLITE = {
    "full": f"the disk is full: make space; {KEPT}",
    "readonly": _CLOSED,
    "read-only": _CLOSED,
    "unable to open": "a store cannot be opened: look whether its folder exists and may be written "
    "to, or choose another with --storage and --tracking-uri",
    "not a database": "a store is no SQLite database: restore it from a copy, or move it away",
    "malformed": "a store is damaged: restore it from a copy, or move it away",
    "locked": f"a store is in use by another program: wait for it; {KEPT}",
    # What SQLite says where its log cannot grow: of a full disk too.
    "disk i/o": f"the disk is full or reports an error: look at its space; {KEPT}",
    "no such table": "a store is no record of edgebench: move it away, or choose another with "
    "--storage and --tracking-uri",
}
"""What can be done about a SQLite store, by what SQLite says (https://sqlite.org/rescode.html)."""


def refusal(error: BaseException) -> str | None:
    """Return the line for a fault of the machine behind ``error``, or None where there is none."""
    for one in _chain(error):
        if isinstance(one, sqlite3.Error):
            said = str(one).lower()
            line = next((line for part, line in _SQLITE.items() if part in said), None)
            if line is not None:
                return f"{line} ({one})"
        elif isinstance(one, OSError) and one.errno in _SYSTEM:
            where = f"'{_text(one.filename)}': " if one.filename else ""
            return f"{where}{_SYSTEM[one.errno]} ({one.strerror})"
        elif isinstance(one, MemoryError):
            return f"{_SYSTEM[errno.ENOMEM]} ({type(one).__name__})"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it came from, each once; what a library wraps stands in args."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "orig", None)]
        waiting += [part for part in one.args if isinstance(part, BaseException)]


def _text(name: object) -> str:
    shown = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return "".join(c if c.isprintable() else "?" for c in shown)
