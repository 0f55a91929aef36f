"""Real servers of these tests: PostgreSQL and MLflow's, as ordinary processes on the loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from stopwatch import PATIENCE

PASSWORD = "pass-word-of-the-tests"  # noqa: S105 - it must not be seen anywhere: the tests look


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found += [Path(path) for path in [shutil.which("initdb")] if path]
    if not found:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return found[0].resolve().parent


@dataclass
class Postgres:
    """A PostgreSQL server of its own, with a user that has a password."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        """Make its files; PostgreSQL refuses to run as root."""
        self._programs = programs()
        self._user = "postgres" if os.geteuid() == 0 else None
        self.folder.mkdir(parents=True)
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            for path in (self.folder, secret):
                shutil.chown(path, self._user, self._user)
            self.folder.parent.chmod(0o755)
        self._call(
            "initdb", "-D", self.data, "-U", "edge", "--pwfile", str(secret), "-A", "scram-sha-256",
            "-E", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip

    @property
    def data(self) -> str:
        """Its data folder."""
        return str(self.folder / "data")

    def address(self, database: str) -> str:
        """Return the address of a database, password and all."""
        return f"postgresql+psycopg://edge:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}"
        log = str(self.folder / "log")
        self._call("pg_ctl", "-D", self.data, "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        """Stop it at once: connections are cut off."""
        self._call("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def create(self, *databases: str) -> None:
        """Make databases."""
        import psycopg

        plain = self.address("postgres").replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as connection:
            for name in databases:
                connection.execute(f'CREATE DATABASE "{name}"')

    def _call(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(self._programs / program), *words],
            check=True,
            user=self._user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server; skips the test where a part is missing.

    Its files are not in pytest's folders: another user than root has no way into those.
    """
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install psycopg[binary])")
    with tempfile.TemporaryDirectory(prefix="edgebench-postgres-") as folder:
        server = Postgres(Path(folder) / "server")
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test stopped it
                server.stop()


@dataclass
class Tracker:
    """An MLflow server that keeps its record in a SQLite file or a database."""

    backend: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        artifacts = ["--artifacts-destination", str(self.folder / "served")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words, *artifacts],
            env=os.environ
            | {
                "MLFLOW_BACKEND_STORE_URI": self.backend,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.uri}/health", timeout=2) as reply,  # noqa: S310
            ):
                if reply.status == 200:
                    return
            time.sleep(0.2)
        raise AssertionError("the MLflow server did not answer")

    def stop(self) -> None:
        """End it and its workers at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
