"""Where and how a search runs; none of it changes what is searched."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from edgebench.errors import EdgebenchError
from edgebench.record import MLFLOW_STORE, OPTUNA_STORE
from edgebench.search.pools import Pool, open_pool
from edgebench.tracking import sqlite_path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Stores, data, pool and limits of a run of the search.

    Attributes:
        storage: Optuna's store.
        tracking_uri: MLflow's store.
        data_dir: Where archives and decoded images are kept.
        workers: Trials at once.
        pool: Where they run: a kind, or ``kind://ADDRESS``.
        device: ``auto``, ``cpu`` or ``cuda``.
        timeout: Seconds after which no trial begins, or None.
    """

    storage: str = OPTUNA_STORE
    tracking_uri: str = MLFLOW_STORE
    data_dir: Path = Path("data")
    workers: int = 1
    pool: str = "local"
    device: str = "auto"
    timeout: float | None = None

    def open_pool(self) -> Pool:
        """Return the pool, to be entered; raises EdgebenchError where there is no such kind."""
        return open_pool(
            self.pool, workers=self.workers, device=self.device, data_dir=self.data_dir
        )

    @contextlib.contextmanager
    def alone(self, study: str) -> Iterator[None]:
        """Hold the study's lock; the system frees it when the process dies, however it dies.

        Raises:
            EdgebenchError: Another process holds it.
        """
        database = sqlite_path(self.storage)
        folder = database.parent if database else Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(folder / f".{study}.lock", timeout=0):
                yield
        except filelock.Timeout:
            raise EdgebenchError(
                f"the study '{study}' is being run by another process; wait for it, or use "
                "--workers to run several trials at once"
            ) from None
