"""A record written to a real MLflow store as a sweep leaves it, without the training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.record import Row, State, StudyRecord
from edgebench.tracking import runs
from edgebench.tracking.refused import RefusedTable
from edgebench.tracking.views import run_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient


def write_study(folder: Path, record: StudyRecord) -> tuple[MlflowClient, str, StudyRecord]:
    """Write the sweep's run, a run a trained trial, and the table of the refused ones.

    Returns the record as it must be read back: with the runs' ids, and of a refused trial what the
    table holds.
    """
    import mlflow

    client = mlflow.MlflowClient(store(folder))
    experiment_id = client.create_experiment(record.study, f"{folder}/artifacts")
    described = {
        "format": runs.FORMAT,
        "objectives": [dataclasses.asdict(objective) for objective in record.objectives],
        "budget": record.budget,
        "target": record.target,
        "dataset": record.dataset,
        "split_sizes": record.split_sizes,
        "classes": list(record.classes),
        "convention": record.convention,
    }
    client.set_experiment_tag(experiment_id, runs.STUDY, json.dumps(described))
    tags = {runs.KIND: "sweep"}
    parent = client.create_run(experiment_id, run_name=record.study, tags=tags).info.run_id
    refused = RefusedTable(client, parent)
    rows = []
    for row in record.rows:
        if row.state == State.REFUSED:
            bare = dataclasses.replace(row, run_id="", curves={}, layers=())
            refused.append(bare)
            rows.append(bare)
        else:
            run_id = _write(client, experiment_id, parent, row, record)
            rows.append(dataclasses.replace(row, run_id=run_id))
    refused.flush()
    client.set_terminated(parent)
    return client, experiment_id, dataclasses.replace(record, rows=rows)


def store(folder: Path) -> str:
    """Return the address of the store that `write_study` makes in ``folder``."""
    return f"sqlite:///{folder}/mlflow.db"


def _write(
    client: MlflowClient, experiment_id: str, parent: str, row: Row, record: StudyRecord
) -> str:
    from mlflow.entities import Metric, Param

    tags = {runs.KIND: "trial", runs.PARENT: parent, runs.TRIAL: str(row.trial)}
    tags |= {runs.STATE: row.state, **run_tags(row, record)}
    tags |= {runs.CONVENTION: record.convention, runs.PROVENANCE: record.provenance}
    tags |= {runs.REASON: row.reason} if row.reason else {}
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
        "facts": facts | {"dataset": record.dataset, "dataset_digest": "0" * 16},
        "curve": epochs,
        "layers": list(row.layers),
    }
    client.log_dict(run_id, details, runs.DETAILS)
    client.set_terminated(run_id, "FINISHED" if row.feasible else "KILLED")
    return run_id
