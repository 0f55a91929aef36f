"""A record written to a real MLflow store as a sweep leaves it, without the training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.record import Row, StudyRecord
from edgebench.tracking.views import run_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient


def write_study(folder: Path, record: StudyRecord) -> tuple[MlflowClient, str, StudyRecord]:
    """Write one parent and one run a row; returns the record with the runs' ids."""
    import mlflow

    from edgebench.tracking import store as tracking

    client = mlflow.MlflowClient(store(folder))
    experiment_id = client.create_experiment(record.study, f"{folder}/artifacts")
    described = {
        "objectives": [dataclasses.asdict(objective) for objective in record.objectives],
        "budget": record.budget,
        "target": record.target,
        "dataset": record.dataset,
        "split_sizes": record.split_sizes,
        "classes": list(record.classes),
    }
    client.set_experiment_tag(experiment_id, tracking.STUDY, json.dumps(described))
    tags = {"kind": "sweep"}
    parent = client.create_run(experiment_id, run_name=record.study, tags=tags).info.run_id
    rows = [
        dataclasses.replace(row, run_id=_write(client, experiment_id, parent, row, record))
        for row in record.rows
    ]
    client.set_terminated(parent)
    return client, experiment_id, dataclasses.replace(record, rows=rows)


def store(folder: Path) -> str:
    """Return the address of the store that `write_study` makes in ``folder``."""
    return f"sqlite:///{folder}/mlflow.db"


def _write(
    client: MlflowClient, experiment_id: str, parent: str, row: Row, record: StudyRecord
) -> str:
    from mlflow.entities import Metric, Param

    from edgebench.tracking import store as tracking

    tags = {"kind": "trial", tracking.PARENT: parent, tracking.TRIAL: str(row.trial)}
    tags |= {tracking.STATE: row.state, **run_tags(row, record)}
    tags |= {tracking.REASON: row.reason} if row.reason else {}
    run_id = str(client.create_run(experiment_id, run_name=row.name, tags=tags).info.run_id)
    metrics = [Metric(name, value, 0, 0) for name, value in row.metrics.items()]
    for name, values in row.curves.items():
        metrics += [Metric(name, value, 0, step) for step, value in enumerate(values, 1)]
    params = [Param(name, str(value)) for name, value in row.params.items()]
    client.log_batch(run_id, metrics, params)
    epochs = [
        dict(zip(row.curves, values, strict=True))
        for values in zip(*row.curves.values(), strict=True)
    ]
    facts = {"input_shape": [3, 32, 32], "classes": list(record.classes), "mean": [0], "std": [1]}
    details = {
        "config": {"params": dict(row.params), "dataset": record.dataset},
        "facts": facts | {"dataset": record.dataset},
        "curve": epochs,
        "layers": list(row.layers),
    }
    client.log_dict(run_id, details, tracking.DETAILS)
    client.set_terminated(run_id, "FINISHED" if row.feasible else "KILLED")
    return run_id
