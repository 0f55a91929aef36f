"""MLflow itself: the client, the tags that runs carry, and searches through all pages."""

from __future__ import annotations

import logging
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Before the import: works offline, and shows nothing of its own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Run

from edgebench.errors import EdgebenchError, unknown
from edgebench.record import MLFLOW_STORE, State
from edgebench.tracking.store import artifact_root, create_store, sqlite_path

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

FORMAT = 2
"""The version of the record: how a study's experiment, runs and artifacts are laid out."""
STUDY = "edgebench.study"
"""The experiment's tag that makes it a study: its description as JSON."""
KIND = "kind"
STATE = "edgebench.state"
REASON = "edgebench.reason"
TRIAL = "edgebench.trial"
KEY = "edgebench.key"
DEATHS = "edgebench.worker_deaths"
CONVENTION = "footprint.convention"
PROVENANCE = "footprint.provenance"
PRECISION = "training.precision"
PARENT = "mlflow.parentRunId"
DETAILS = "trial.json"
CHECKPOINT = "checkpoint.pt"
MODEL, MODEL_INT8 = "model", "model-int8"
"""The names of the logged models."""
TAG_LIMIT = 5000
"""MLflow's longest value of a run's tag."""
BATCH_LIMIT = 1000
"""MLflow's most metrics of one batch."""
STATUS = {
    State.FINISHED: "FINISHED",
    State.PRUNED: "KILLED",
    State.FAILED: "FAILED",
    State.INTERRUPTED: "KILLED",
}
"""MLflow's status of a run whose trial ended so; a refused candidate has no run."""


def reader(uri: str | None) -> MlflowClient:
    """Return a client of a store that exists; raises EdgebenchError where it does not."""
    asked = uri or MLFLOW_STORE
    path = sqlite_path(asked)
    if path is not None and not path.is_file():
        raise EdgebenchError(
            f"there is no record at '{path}'; run 'edgebench sweep' first, from this folder, or "
            "say where it is with --tracking-uri"
        )
    mlflow.set_tracking_uri(asked)
    return MlflowClient(tracking_uri=asked)


def writer(uri: str) -> MlflowClient:
    """Return a client of a store, which is made where it is a SQLite file that is not there."""
    create_store(uri, initialise)
    mlflow.set_tracking_uri(uri)
    return MlflowClient(tracking_uri=uri)


def initialise(uri: str) -> None:
    """Fill an empty SQLite file with MLflow's tables."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, artifact_root(uri))  # type: ignore[no-untyped-call]  # MLflow's
    store.engine.dispose()


def experiment_of(client: MlflowClient, study: str) -> Experiment:
    """Return a study's experiment; raises EdgebenchError where there is none that can be read."""
    experiment = client.get_experiment_by_name(study)
    if experiment is None or STUDY not in experiment.tags:
        raise EdgebenchError(unknown("study", study, [e.name for e in studies(client)]))
    return experiment


def studies(client: MlflowClient) -> list[Experiment]:
    """Return the experiments that are studies."""
    return [one for one in client.search_experiments() if STUDY in one.tags]


def search(client: MlflowClient, experiment_id: str, filter_string: str) -> Iterator[Run]:
    """Yield every run in order of its start: the store returns at most 1,000 a page."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_string, order_by=["attributes.start_time ASC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def metrics_of(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    """Return figures as MLflow's, taken now."""
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def batches(metrics: Iterable[Metric]) -> Iterator[list[Metric]]:
    """Cut ``metrics`` into batches that MLflow takes."""
    left = list(metrics)
    for start in range(0, len(left), BATCH_LIMIT):
        yield left[start : start + BATCH_LIMIT]


def download(client: MlflowClient, run: Run, name: str) -> Path:
    """Return an artifact of a run as a local file; one that is local already is not copied.

    Raises:
        EdgebenchError: The run has no such artifact.
    """
    address = urllib.parse.urlparse(run.info.artifact_uri)
    if address.scheme in {"", "file"}:
        local = Path(urllib.request.url2pathname(address.path)) / name
        if local.is_file():
            return local
    try:
        return Path(client.download_artifacts(run.info.run_id, name))
    except (OSError, mlflow.MlflowException) as error:
        reason = str(error).splitlines()[0]
        raise EdgebenchError(
            f"the run '{run.info.run_id}' has no '{name}' in the store: {reason}"
        ) from None


def download_model(client: MlflowClient, run: Run, name: str = MODEL) -> Path:
    """Return a logged model of a run as a local ONNX file; raises EdgebenchError."""
    outputs = run.outputs.model_outputs if run.outputs else []
    for output in outputs:
        if client.get_logged_model(output.model_id).name == name:
            folder = mlflow.artifacts.download_artifacts(f"models:/{output.model_id}")
            return Path(folder) / "model.onnx"
    raise EdgebenchError(f"the run '{run.info.run_id}' has no '{name}' in the store")
