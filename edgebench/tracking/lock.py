"""The lock of a study: held by one coordinator, whatever machine or user it runs on.

The lock belongs to the record, not to a machine. Beside a SQLite file it is a file that the system
unlocks however its holder ends; in a database server it is an advisory lock of a connection, which
the server frees when the connection or its host is lost. A study is locked in each of its two
stores that can be locked, so that a command that is given one of them alone meets the lock too.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import hashlib
import logging
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import filelock

from edgebench.errors import EdgebenchError
from edgebench.tracking.servers import engine_of, is_database_server, patiently
from edgebench.tracking.store import sqlite_path

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOG = logging.getLogger(__name__)
NAME_LIMIT = 63
"""Bytes that PostgreSQL keeps of an application's name."""
LONGEST_HOLDER = 200  # characters that are read of a lock file
SHARED = 0o666  # every user who may write to the folder may run its studies
DEAD_PEER = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""The server gives a host that vanished 25 seconds, then frees what it held."""


class _Hold(Protocol):
    """The lock of a study in one store."""

    def take(self) -> str | None:
        """Take it and return None, or return who holds it."""

    def check(self) -> None:
        """Raise EdgebenchError where it was lost to another process."""

    def release(self) -> None:
        """Let it go, if it was taken."""


class Lock:
    """A study's lock, held; `check` it before something is written that another would regret."""

    def __init__(self, holds: Sequence[_Hold]) -> None:
        self._holds = holds

    def check(self) -> None:
        """Raise EdgebenchError where another process has taken the study over."""
        for hold in self._holds:
            hold.check()


@contextlib.contextmanager
def locked(study: str, *addresses: str) -> Iterator[Lock]:
    """Hold the lock of ``study`` in each of the stores that can be locked.

    Raises:
        EdgebenchError: Another process holds it; the message names it.
    """
    holds = _holds(study, addresses)
    try:
        for hold in holds:
            holder = hold.take()
            if holder is not None:
                raise EdgebenchError(
                    f"the study '{study}' is being run by another process ({holder}); wait for "
                    "it, or use --workers to run several trials at once"
                )
        yield Lock(holds)
    finally:
        for hold in reversed(holds):
            hold.release()


@contextlib.contextmanager
def locked_if_free(study: str, address: str) -> Iterator[bool]:
    """Hold the lock in one store if nobody else does; yield whether it is held.

    A store that cannot be locked, or not by this user, is never held.
    """
    holds = _holds(study, [address])
    try:
        try:
            held = bool(holds) and all(hold.take() is None for hold in holds)
        except (EdgebenchError, OSError):
            held = False
        yield held
    finally:
        for hold in holds:
            hold.release()


def _holds(study: str, addresses: Sequence[str]) -> list[_Hold]:
    """Return the locks of a study, each once, in an order that is the same for everybody."""
    files, servers = set(), set()
    for address in addresses:
        path = sqlite_path(address)
        if path is not None:
            files.add(path.absolute().resolve().parent / f".{study}.lock")
        elif is_database_server(address):
            servers.add(address)
    return [*(_File(path) for path in sorted(files)), *(_Server(a, study) for a in sorted(servers))]


class _File:
    """The lock beside a SQLite file; what stands in it says who holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = filelock.FileLock(path, timeout=0, mode=SHARED)
        self._taken = False

    def take(self) -> str | None:
        """Take it, or say who holds it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._check_ordinary()
            self._lock.acquire()
        except filelock.Timeout:
            return self._holder()
        except OSError as error:
            raise EdgebenchError(f"the study cannot be locked: {error}") from None
        self._taken = True
        with contextlib.suppress(OSError):
            self._write(f"{whoami()}, since {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC")
        return None

    def check(self) -> None:
        """Nothing but this process's end frees it."""

    def release(self) -> None:
        """Empty the file and unlock it; the file stays, for those who wait for it."""
        if self._taken:
            with contextlib.suppress(OSError):
                self._write("")
            self._lock.release()
            self._taken = False

    def _check_ordinary(self) -> None:
        """Refuse a link, hard or soft: what is written here would change another file."""
        if os.path.lexists(self._path):
            found = self._path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise EdgebenchError(
                    f"'{self._path}' is no ordinary file; remove it: the study's lock stands there"
                )

    def _write(self, holder: str) -> None:
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_TRUNC | _NO_LINK), "w") as file:
            file.write(holder)

    def _holder(self) -> str:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | _NO_LINK)
            with os.fdopen(descriptor, errors="replace") as file:
                text = file.read(LONGEST_HOLDER)
        except OSError:
            text = ""
        return "".join(letter for letter in text if letter.isprintable()) or "its name is not known"


_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class _Server:
    """An advisory lock of a PostgreSQL connection, whose name says who holds it."""

    def __init__(self, address: str, study: str) -> None:
        self._address = address
        self._study = study
        digest = hashlib.sha256(f"edgebench study {study}".encode()).digest()
        self._key = int.from_bytes(digest[:8], signed=True)
        self._connection: Connection | None = None

    def take(self) -> str | None:
        """Take it on a connection of its own, or say who holds it."""
        from sqlalchemy import text

        engine = engine_of(self._address, application_name=whoami()[:NAME_LIMIT])
        connection = engine.connect()
        taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key})
        if not taken.scalar_one():
            holder = self._holder(connection)
            connection.close()
            return holder
        for name, value in DEAD_PEER.items():
            connection.execute(text(f"SET {name} = {value}"))
        self._connection = connection
        return None

    def check(self) -> None:
        """Ask the server for a sign of life; after a restart of it take the lock again.

        Raises:
            EdgebenchError: Another process has it by now.
        """
        patiently(self._again, self._address, LOG.warning, says="the store with the study's lock")

    def _again(self, _attempt: int) -> None:
        from sqlalchemy import text

        if self._connection is not None:
            try:
                self._connection.execute(text("SELECT 1"))
            except Exception:
                self.release()
                raise
            return
        holder = self.take()
        if holder is not None:
            raise EdgebenchError(
                f"while the store was away the study '{self._study}' was taken over by another "
                f"process ({holder}); what this one finished before is kept"
            )

    def release(self) -> None:
        """Close the connection; the server frees the lock."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _holder(self, connection: Connection) -> str:
        from sqlalchemy import text

        query = text(
            "SELECT a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity a "
            "USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
            "AND ((l.classid::bigint << 32) | l.objid::bigint) = :key"
        )
        row = connection.execute(query, {"key": self._key}).first()
        return str(row[0] or row[1]) if row else "its name is not known"


def whoami() -> str:
    """Return who runs a study here: user, host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in this machine's list
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
