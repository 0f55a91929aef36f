"""Serve the MLflow UI on the project's store, opened at a study's comparison."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from subprocess import Popen, TimeoutExpired
from typing import IO

import click

from edgebench.cli._running import interruptible
from edgebench.errors import EdgebenchError

PATIENCE = 90  # seconds until the server must answer; it takes 7 to 9 on two cores


@click.command()
@click.argument("study", required=False)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option("--tracking-uri", metavar="URI", help="Where the record is; default mlruns/.")
@click.option("--browser/--no-browser", default=False, help="Open the link in a browser.")
def command(
    *, study: str | None, host: str, port: int, tracking_uri: str | None, browser: bool
) -> None:
    """Serve the MLflow UI until Ctrl-C; print the link to STUDY's (or the last) comparison.

    Where the record is on a server, nothing is served: the links lead to it.
    """
    from edgebench.record import MLFLOW_STORE

    base = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - a reader's link
    store = tracking_uri or MLFLOW_STORE
    if store.startswith(("http://", "https://")):  # it has a server
        _show(_links(study, _without_user(store), store), browser)
        return
    links = _links(study, base, store)
    if _listening(base):
        raise EdgebenchError(f"port {port} of {host} is taken; choose another with --port")
    with tempfile.TemporaryFile() as log, interruptible():
        server = _start(host, port, store, log)
        try:
            _await(server, base, log)
            _show(links, browser)
            click.echo("Ctrl-C stops the server", err=True)
            server.wait()
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
        finally:
            _stop(server)


def _show(links: Mapping[str, str], browser: bool) -> None:
    for name, link in links.items():
        click.echo(f"{name}: {link}")
    if browser:
        click.launch(next(iter(links.values())))


def _without_user(address: str) -> str:
    """Return an address without user and password."""
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _links(study: str | None, base: str, store: str) -> dict[str, str]:
    """Return the links to print; refuses an unknown study before any server starts."""
    from edgebench.tracking import experiment_id_of, last_study, read_study, reader, views

    record = read_study(study or last_study(store), tracking_uri=store)
    experiment_id = experiment_id_of(record.study, store)
    saved = views.refresh(reader(store), experiment_id, record)
    return views.links(base, experiment_id, record, saved_view=saved)


def _start(host: str, port: int, tracking_uri: str, log: IO[bytes]) -> Popen[bytes]:
    words = ["-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    store = {"MLFLOW_BACKEND_STORE_URI": tracking_uri}  # no word: every user may read those
    return Popen(  # noqa: S603 - our own interpreter, no shell
        [sys.executable, *words],
        env=os.environ | quiet | store,
        stdout=log,
        stderr=log,
        start_new_session=True,  # its workers are stopped with it, as one group
    )


def _await(server: Popen[bytes], base: str, log: IO[bytes]) -> None:
    """Wait until the server answers; raises EdgebenchError with its last words if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not _healthy(base):
        if server.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            last = log.read().decode(errors="replace").strip().splitlines()[-3:]
            raise EdgebenchError("the MLflow server did not start", *last)
        time.sleep(0.2)


def _healthy(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=2) as reply:  # noqa: S310 - our own link
            return bool(reply.status == 200)
    except OSError:
        return False


def _listening(base: str) -> bool:
    address = urllib.parse.urlsplit(base)
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address.hostname, address.port)) == 0


def _stop(server: Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sign)
        with contextlib.suppress(TimeoutExpired):
            server.wait(timeout=10)
            return
