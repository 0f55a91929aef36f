"""``edgebench ui`` and the MLflow UI on a real store, in a real browser."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from browser import browser
from command import edgebench
from mlflow_study import facts_of, store, sweep_of, write_row, write_study
from report_studies import synthetic

from edgebench.record import StudyRecord
from edgebench.report import front
from edgebench.tracking import StudyLog, read_study
from edgebench.tracking.views import refresh

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

# MLflow 3.17 on SQLAlchemy 2.1: its own models use a loader that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

# The UI opens an assistant over the right half of a first visit; these settle it beforehand.
SETTLED = """
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
"""


@dataclass(frozen=True)
class Served:
    """A study in a store, and the links that the command printed for it."""

    record: StudyRecord
    links: dict[str, str]


@pytest.fixture(scope="module")
def served(empty_stores: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A study of 40 synthetic rows, served by the command itself; SIGTERM ends all of it."""
    folder = tmp_path_factory.mktemp("served") / "store"
    shutil.copytree(empty_stores, folder)
    client, experiment_id, record = write_study(folder, synthetic(40))
    assert refresh(client, experiment_id, record)
    command = [sys.executable, "-m", "edgebench.cli", "ui", record.study, "--port", str(_free())]
    process = subprocess.Popen(
        [*command, "--tracking-uri", store(folder)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        assert process.stdout is not None
        pairs = [process.stdout.readline().strip().split(": ", 1) for _ in range(2)]
        yield Served(record, {pair[0]: pair[1] for pair in pairs if len(pair) == 2})
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=240) == 0


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """One browser for the module."""
    with browser(1700, 1100) as opened:
        opened.add_init_script(SETTLED)
        yield opened


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _open(context: BrowserContext, link: str) -> Page:
    page = context.new_page()
    page.goto(link, wait_until="domcontentloaded")  # the UI polls: it is never idle
    return page


def test_the_comparison_opens_on_charts_with_points(
    context: BrowserContext, served: Served
) -> None:
    """Run names, the three scatters of accuracy against a cost, and points in them."""
    page = _open(context, served.links["comparison"])
    for cost in ("rom_bytes", "ram_bytes", "macc"):
        title = page.get_by_text(f"footprint/{cost} vs. val/accuracy_best")
        title.first.wait_for(timeout=240_000)
    page.locator(".scatterlayer .point").nth(20).wait_for(state="attached")
    finished = [row for row in served.record.rows if row.feasible]
    top = max(finished, key=lambda row: row.metrics["val/accuracy_best"])
    names = page.locator("a", has_text="trial-0")
    assert names.first.inner_text() == top.name
    page.close()


def test_the_table_has_our_columns_sorted_by_accuracy(
    context: BrowserContext, served: Served
) -> None:
    """Accuracy, MACC, parameters, ROM, RAM and fits are columns; the best stands first."""
    page = _open(context, served.links["comparison"].replace("=CHART", "=TABLE"))
    page.get_by_text("matching runs").first.wait_for(timeout=240_000)
    for head in (
        "val/accuracy_best", "footprint/macc", "footprint/parameters", "footprint/rom_bytes",
        "footprint/ram_bytes", "fits",
    ):  # fmt: skip
        page.locator("[role=columnheader]").get_by_text(head, exact=True).first.wait_for()
    finished = [row for row in served.record.rows if row.feasible]
    top = max(finished, key=lambda row: row.metrics["val/accuracy_best"])
    cell = page.locator("[role=gridcell]")
    cell.get_by_text(str(top.metrics["footprint/rom_bytes"]), exact=True).first.wait_for()
    cell.get_by_text("yes", exact=True).first.wait_for()
    page.get_by_text(f"{len(finished)} matching runs").first.wait_for()  # none that was refused
    assert page.locator("a", has_text="trial-0").first.inner_text() == top.name
    page.close()


def test_the_front_link_compares_its_members(context: BrowserContext, served: Served) -> None:
    """The second link opens MLflow's own comparison of the front."""
    members = front(served.record.rows, served.record.objectives)
    page = _open(context, served.links["front"])
    page.get_by_text(f"Comparing {len(members)} Runs from 1 Experiment").wait_for(timeout=240_000)
    for row in members[:3]:
        page.get_by_text(row.name, exact=True).first.wait_for()
    page.close()


def test_a_server_takes_a_record_and_gives_it_back(served: Served) -> None:
    """Through HTTP, its artifacts too: the curves, the layers, and the table of the refused."""
    server = served.links["comparison"].partition("/#/")[0]
    written = dataclasses.replace(served.record, study="served", rows=served.record.rows[:8])
    log = StudyLog(server, "served")
    log.begin_sweep(sweep_of(written), facts_of(written), written.convention)
    for row in synthetic(8).rows:
        write_row(log, row, written)
    log.end_sweep("FINISHED", {})
    read = read_study("served", tracking_uri=server, details=True)
    assert {row.state for row in read.rows} == {"finished", "refused"}
    assert [row.curves for row in read.rows] == [row.curves for row in synthetic(8).rows]
    bare = [dataclasses.replace(row, curves={}, layers=()) for row in read.rows]
    assert bare == list(log.record().rows)


def test_the_servers_words_do_not_name_the_store(served: Served) -> None:
    """An address may hold a password, and every user of a machine may read a process's words."""
    assert served.links
    words = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
    servers = [line for line in words if "mlflow" in line and "edgebench.cli" not in line]
    assert servers
    assert not [line for line in servers if "sqlite" in line]


def test_a_store_that_is_a_server_is_not_served_again(served: Served, tmp_path: Path) -> None:
    """The links lead to it, and the command ends."""
    server = served.links["comparison"].partition("/#/")[0]
    done = edgebench("ui", served.record.study, "--tracking-uri", server, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"comparison: {served.links['comparison']}"


def test_an_unknown_study_names_the_nearest(served: Served, tmp_path: Path) -> None:
    """Refused before any server starts; so is a store that is not there."""
    address = served.links["comparison"].partition("/#/")[0]
    ran = _ui("synthetic-3", "--tracking-uri", f"sqlite:///{tmp_path}/none.db")
    assert ran.returncode == 2
    assert "there is no record at" in ran.stderr
    assert not (tmp_path / "none.db").exists()
    assert address.startswith("http://127.0.0.1:")


def _ui(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgebench.cli", "ui", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
