"""Stores that are servers: their kinds, whether one answers, and how to outlast its restart.

A store's address is checked before anything is made: an unknown kind, a missing driver, a server
that is down or a wrong password is one line that names the option.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from edgebench.errors import EdgebenchError, redacted, unknown

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")
DATABASES = ("sqlite", "postgresql")
"""What Optuna's store can be."""
TRACKERS = (*DATABASES, "http", "https")
"""What MLflow's store can be."""
DRIVERS = {"psycopg": "psycopg", "psycopg2": "psycopg2", "pysqlite": "sqlite3"}
"""The package of each driver that an address may name after a plus sign."""
CONNECT_SECONDS = 5
"""How long a server may take to answer the first time."""
OUTAGE_SECONDS = 600.0
"""How long a command outlasts a database that is away."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between attempts to reach it again
PORTS = {"http": 80, "https": 443}
CREATION = 0x_ED6E_BE7C
"""The advisory lock under which a database's tables are made."""


def check_address(option: str, address: str, kinds: tuple[str, ...]) -> None:
    """Raise EdgebenchError where ``address``, given by ``option``, is no store that answers."""
    said = f"{option} {redacted(address)}"
    scheme, separator, _ = address.partition("://")
    kind, _, driver = scheme.partition("+")
    if not separator:
        raise EdgebenchError(f"{said}: a store is KIND://..., with KIND one of {', '.join(kinds)}")
    if kind not in kinds:
        raise EdgebenchError(f"{said}: unknown kind of store '{kind}'; known: {', '.join(kinds)}")
    if driver and driver not in DRIVERS:
        raise EdgebenchError(f"{said}: {unknown('driver', driver, DRIVERS)}")
    package = DRIVERS[driver or ("pysqlite" if kind == "sqlite" else "psycopg")]
    if kind in DATABASES and importlib.util.find_spec(package) is None:
        raise EdgebenchError(
            f"{said}: its driver, the package '{package}', is not installed: "
            "pip install 'edgebench[postgresql]' brings psycopg"
        )
    if kind == "postgresql":
        _check_database(said, address)
    elif kind in PORTS:
        _check_listening(said, address)


def is_database_server(address: str) -> bool:
    """Tell whether an address is of a database that is a server: several machines may share it."""
    return address.partition("://")[0].partition("+")[0] == "postgresql"


def engine_of(address: str, **options: Any) -> Engine:
    """Return an engine of a database server that keeps no connection when it is not in use.

    ``options`` go to the driver, as in ``application_name``.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    arguments = {"connect_timeout": CONNECT_SECONDS, **options}
    return create_engine(
        address, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments
    )


@contextlib.contextmanager
def creating(address: str) -> Iterator[bool]:
    """Be the only one to make a database's tables; yield whether it has none yet.

    Both Optuna and MLflow crash where two processes make them at once.
    """
    from sqlalchemy import inspect, text

    with engine_of(address).connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": CREATION})
        yield not inspect(connection).has_table("alembic_version")


def small_pool() -> dict[str, Any]:
    """Return an engine's arguments: few connections, each tried before it is used.

    A cluster shares a database with others, and the server may have been restarted.
    """
    return {
        "pool_pre_ping": True,
        "pool_size": 2,
        "max_overflow": 2,
        "connect_args": {"connect_timeout": CONNECT_SECONDS},
    }


def is_away(error: BaseException | None) -> bool:
    """Tell whether a database's error, or what caused it, is that its server cannot be reached."""
    from sqlalchemy import exc

    while error is not None:
        if isinstance(error, exc.DBAPIError) and (
            error.connection_invalidated or isinstance(error, exc.OperationalError)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def patiently(
    attempt: Callable[[int], T], address: str, warn: Callable[[str], None], *, says: str
) -> T:
    """Return what ``attempt(number)`` returns, which is tried again while the server is away.

    Args:
        attempt: Is given how often it was tried before.
        address: The store; a file is never away, what fails there is raised at once.
        warn: Is told in a line that the server is away, and in another that it is back.
        says: What the server is, as in ``Optuna's store``.

    Raises:
        EdgebenchError: The server was away for `OUTAGE_SECONDS`.
    """
    begun, pause, number = time.monotonic(), FIRST_PAUSE, 0
    while True:
        try:
            result = attempt(number)
        except Exception as error:
            if not (is_database_server(address) and is_away(error)):
                raise
            if time.monotonic() - begun > OUTAGE_SECONDS:
                raise EdgebenchError(
                    f"{says} ({redacted(address)}) has been away for {OUTAGE_SECONDS:.0f} s; what "
                    "was finished is kept, the same command goes on when it is back"
                ) from None
            if number == 0:
                warn(f"{says} ({redacted(address)}) is away; waiting for it")
        else:
            if number:
                warn(f"{says} is back after {time.monotonic() - begun:.0f} s")
            return result
        time.sleep(pause)
        pause, number = min(LONGEST_PAUSE, 2 * pause), number + 1


def reason_of(error: BaseException) -> str:
    """Return the first line of what a driver says, without the address's password."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return redacted(lines[0]) if lines else type(cause).__name__


def _check_database(said: str, address: str) -> None:
    from sqlalchemy import exc

    try:
        engine_of(address).connect().close()
    except (exc.SQLAlchemyError, ValueError, UnicodeError) as error:
        raise EdgebenchError(f"{said}: cannot connect: {reason_of(error)}") from None


def _check_listening(said: str, address: str) -> None:
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        with socket.create_connection((host, port), CONNECT_SECONDS):
            pass
    except (OSError, ValueError, UnicodeError) as error:
        raise EdgebenchError(
            f"{said}: no MLflow server answers there: {error}; start it, or record in a file with "
            "--tracking-uri sqlite:///mlruns/mlflow.db"
        ) from None
