"""Addresses of stores: what is wrong with one is said in a line, at once, without its password."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import edgebench
from servers import PASSWORD, Postgres, free_port, postgres

from edgebench.errors import EdgebenchError, redacted
from edgebench.tracking import DATABASES, TRACKERS, check_address, locked, servers
from edgebench.tracking.servers import patiently


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("at https://u:p%40ss@host:1/x, and", "at https://u:***@host:1/x, and"),
        ("postgresql://u:p@ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("http://host:5000/a by b@c", "http://host:5000/a by b@c"),
        ("sqlite:///mlruns/optuna.db", "sqlite:///mlruns/optuna.db"),
    ],
)
def test_a_password_is_never_shown(text: str, shown: str) -> None:
    """Wherever the address stands in a text; a port is no password."""
    assert redacted(text) == shown


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "mysql://u:secret@h/d",
            "mysql://u:***@h/d: unknown kind of store 'mysql'; known: sqlite, postgresql",
        ),
        ("mlruns", "mlruns: a store is KIND://..., with KIND one of sqlite, postgresql"),
        (
            "postgresql+pg8000://h/d",
            "postgresql+pg8000://h/d: unknown driver 'pg8000'; known: psycopg, psycopg2, pysqlite",
        ),
    ],
)
def test_a_store_of_no_known_kind_is_one_line(tmp_path: Path, address: str, message: str) -> None:
    """Before anything is made; exit code 2."""
    words = ["train", "gap", "--dataset", "synthetic", "--storage", address]
    done = edgebench(*words, folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"error: --storage {message}\n")
    assert not list(tmp_path.iterdir())


def test_a_missing_driver_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra of this package."""
    monkeypatch.setitem(servers.DRIVERS, "psycopg", "no_such_driver")
    with pytest.raises(EdgebenchError) as caught:
        check_address("--storage", "postgresql://h/d", DATABASES)
    assert str(caught.value) == (
        "--storage postgresql://h/d: its driver, the package 'no_such_driver', is not installed: "
        "pip install 'edgebench[postgresql]' brings psycopg"
    )


def test_a_dead_tracking_server_is_said_in_seconds(tmp_path: Path) -> None:
    """By whoever writes and by whoever reads, without the password."""
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    begun = time.monotonic()
    for words in (["train", "gap", "--dataset", "synthetic"], ["report", "study"]):
        done = edgebench(*words, "--tracking-uri", uri, folder=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: --tracking-uri {redacted(uri)}: no MLflow server")
        assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - begun < 60


def test_a_server_that_is_not_mlflows_is_said(tmp_path: Path) -> None:
    """It listens, and closes every connection."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        check_address("--tracking-uri", f"http://127.0.0.1:{deaf.getsockname()[1]}", TRACKERS)
    done = edgebench("report", "x", "--tracking-uri", "ftp://127.0.0.1", folder=tmp_path)
    assert done.stderr == (
        "error: --tracking-uri ftp://127.0.0.1: unknown kind of store 'ftp'; known: "
        "sqlite, postgresql, http, https\n"
    )


# A real database ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """Run a PostgreSQL server with two empty databases."""
    with postgres() as server:
        server.create("optuna", "mlflow")
        yield server


def test_a_wrong_password_or_database_or_port_is_one_line(database: Postgres) -> None:
    """With what the server says, and without the password."""
    right = database.address("optuna")
    check_address("--storage", right, DATABASES)
    for wrong, because in (
        (right.replace(PASSWORD, "guess"), "password authentication failed for user"),
        (database.address("none"), 'database "none" does not exist'),
        (right.replace(str(database.port), str(free_port())), "Connection refused"),
    ):
        with pytest.raises(EdgebenchError) as caught:
            check_address("--storage", wrong, DATABASES)
        [line] = str(caught.value).splitlines()
        assert line.startswith("--storage postgresql+psycopg://edge:***@127.0.0.1:")
        assert because in line


def test_a_study_in_a_database_has_one_coordinator_whatever_its_machine(
    database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """The second is told who holds it; the lock outlasts a restart of the server."""
    address = database.address("optuna")
    with locked("try", address) as lock:
        for _ in range(2):
            with (
                pytest.raises(EdgebenchError, match=r"another process \(\S+@\S+, process \d+\)"),
                locked("try", address),
            ):
                pass
            database.stop()
            database.start()
            lock.check()
    with locked("try", address):
        pass
    assert PASSWORD not in caplog.text


def test_a_study_that_was_taken_over_while_its_store_was_away_is_let_go(
    database: Postgres,
) -> None:
    """By the next check, before anything is written."""
    address = database.address("optuna")
    with locked("try", address) as lock:
        database.stop()
        database.start()
        with (
            locked("try", address),
            pytest.raises(EdgebenchError, match=r"was taken over by another process \(\S+@\S+"),
        ):
            lock.check()


def test_waiting_for_a_database_has_an_end(
    database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no outage is raised at once."""
    monkeypatch.setattr(servers, "OUTAGE_SECONDS", 0.2)
    monkeypatch.setattr(servers, "FIRST_PAUSE", 0.1)
    told: list[str] = []
    gone = database.address("optuna").replace(str(database.port), str(free_port()))

    def ask(_attempt: int) -> None:
        servers.engine_of(gone).connect()

    with pytest.raises(EdgebenchError, match=r"^Optuna's store .* has been away for 0 s"):
        patiently(ask, gone, told.append, says="Optuna's store")
    assert len(told) == 1
    with pytest.raises(ZeroDivisionError):
        patiently(lambda _attempt: 1 // 0, gone, told.append, says="Optuna's store")
