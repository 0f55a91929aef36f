"""What all tests share: one thread a process, no telemetry, empty stores made once."""

from __future__ import annotations

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

FIRST = ("search", "", "tracking", "cli", "firmware")
"""The rooms of tests that start processes and wait for them; the empty one is this folder."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow rooms: a slow file that begins last runs while the other cores idle."""
    here = Path(__file__).parent

    def turn(item: pytest.Item) -> int:
        parts = item.path.relative_to(here).parts[:-1] if item.path.is_relative_to(here) else ("",)
        room = parts[0] if parts else ""
        return FIRST.index(room) if room in FIRST else len(FIRST)

    items.sort(key=turn)


@dataclass(frozen=True)
class Stores:
    """The addresses of two empty SQLite stores, as a first sweep would make them."""

    folder: Path

    @property
    def storage(self) -> str:
        """Optuna's address."""
        return f"sqlite:///{self.folder}/optuna.db"

    @property
    def tracking_uri(self) -> str:
        """MLflow's address."""
        return f"sqlite:///{self.folder}/mlflow.db"


@pytest.fixture(scope="session", autouse=True)
def _shared_exports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Name the folder in which `export_cases` keeps the exports of all processes of this run."""
    base = tmp_path_factory.getbasetemp()
    beside = "PYTEST_XDIST_WORKER" in os.environ
    folder = (base.parent if beside else base) / "exports"
    folder.mkdir(exist_ok=True)
    os.environ["EDGEBENCH_TEST_EXPORTS"] = str(folder)


@pytest.fixture(scope="session")
def empty_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make both stores once: MLflow's migrations take seconds."""
    from edgebench.search import sampler
    from edgebench.tracking import create_store, runs

    stores = Stores(tmp_path_factory.mktemp("stores"))
    create_store(stores.storage, sampler.initialize)
    create_store(stores.tracking_uri, runs.initialize)
    return stores.folder


@pytest.fixture
def stores(empty_stores: Path, tmp_path: Path) -> Stores:
    """Give a test its own copy of the empty stores, in ``mlruns`` of its folder."""
    folder = tmp_path / "mlruns"
    shutil.copytree(empty_stores, folder)
    return Stores(folder)
