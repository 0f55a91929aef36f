"""A study of seconds, on real stores and worker processes that stay warm."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores

from edgebench import space
from edgebench.record import StudyRecord
from edgebench.search import Event, Settings, search
from edgebench.space import Sweep

FAST = {"train.epochs": 1, "train.batch_size": 64, "model.blocks": 2}
CONTENT: dict[str, Any] = {
    "name": "try",
    "dataset": "synthetic",
    "method": "tpe",
    "run_cap": 4,
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"values": [4, 6, 8]},
        **FAST,
        "model.hidden": {"values": [8, 4000], "when": {"model.family": "vgg"}},
    },
}


def build(**changed: Any) -> Sweep:
    """Build the small sweep of these tests with some keys changed."""
    return space.build({**CONTENT, **changed})


def go(built: Sweep, stores: Stores, **settings: Any) -> tuple[StudyRecord, list[Event]]:
    """Run a sweep and return its record and what was shown."""
    events: list[Event] = []
    return search(built, where(stores, **settings), events.append), events


def where(stores: Stores, **settings: Any) -> Settings:
    """Return the settings of a study in these stores, on the warm pool unless they say another."""
    return Settings(
        storage=stores.storage,
        tracking_uri=stores.tracking_uri,
        data_dir=stores.folder.parent / "data",
        **{"pool": "warm", **settings},
    )


def statuses(stores: Stores) -> tuple[Counter[str], Counter[str]]:
    """Count the states of Optuna's trials and of MLflow's runs, straight from the files."""
    found = []
    for name, query in (
        ("optuna", "select state from trials"),
        ("mlflow", "select status from runs"),
    ):
        with sqlite3.connect(stores.folder / f"{name}.db") as connection:
            found.append(Counter(row[0] for row in connection.execute(query)))
        connection.close()
    return found[0], found[1]
