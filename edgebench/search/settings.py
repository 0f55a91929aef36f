"""Where and how a search runs; none of it changes what is searched."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from edgebench.record import MLFLOW_STORE, OPTUNA_STORE
from edgebench.search.pools import Pool, open_pool
from edgebench.tracking import DATABASES, TRACKERS, Lock, check_address, locked, sqlite_path


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
        gpus_per_trial: The share of a GPU that each has, on a pool that shares them out.
        timeout: Seconds after which no trial begins, or None.
    """

    storage: str = OPTUNA_STORE
    tracking_uri: str = MLFLOW_STORE
    data_dir: Path = Path("data")
    workers: int = 1
    pool: str = "local"
    device: str = "auto"
    timeout: float | None = None
    gpus_per_trial: float | None = None

    def open_pool(self) -> Pool:
        """Return the pool, to be entered; raises EdgebenchError where there is no such kind."""
        return open_pool(
            self.pool,
            workers=self.workers,
            device=self.device,
            data_dir=self.data_dir,
            gpus_per_trial=self.gpus_per_trial,
        )

    def check_stores(self) -> None:
        """Raise EdgebenchError where a store is of no known kind, or does not answer."""
        check_address("--storage", self.storage, DATABASES)
        check_address("--tracking-uri", self.tracking_uri, TRACKERS)

    def journal(self, study: str) -> Path | None:
        """Return the file that keeps what MLflow's server misses; None where that is no server."""
        if not self.tracking_uri.startswith("http"):
            return None
        database = sqlite_path(self.storage)
        return (database.parent if database else Path("mlruns")) / f".{study}.journal"

    def paused(self, study: str) -> Path:
        """Return the folder that keeps the states of a study's paused trials."""
        database = sqlite_path(self.storage)
        return (database.parent if database else Path("mlruns")) / f".{study}.paused"

    def alone(self, study: str) -> AbstractContextManager[Lock]:
        """Hold the study's lock in both stores; it is freed when the process dies, however it dies.

        Raises:
            EdgebenchError: Another process holds it, on whatever machine.
        """
        return locked(study, self.storage, self.tracking_uri)
