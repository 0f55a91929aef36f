"""MLflow itself: the client, the tags that runs carry, and searches through all pages."""

from __future__ import annotations

import logging
import os
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Before the import: works offline, and shows nothing of its own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow's own patience with a server that is away is minutes; a study's journal has more.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag

from edgebench.errors import EdgebenchError, redacted, unknown
from edgebench.record import MLFLOW_STORE, State
from edgebench.tracking.servers import TRACKERS, check_address, reason_of
from edgebench.tracking.store import absolute, artifact_root, create_store, sqlite_path

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # each attempt has a line
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs what it raises, too

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
PROVENANCE, PROVENANCE_INT8 = "footprint.provenance", "footprint.provenance_int8"
PRECISION = "training.precision"
PARENT = "mlflow.parentRunId"
DETAILS = "trial.json"
CHECKPOINT = "checkpoint.pt"
REPEATS = "repeats/accuracy"
"""The metric whose steps are the seeds that a trial was trained with."""
MODEL, MODEL_INT8 = "model", "model-int8"
"""The names of the logged models."""
TAG_LIMIT = 5000
"""Characters kept of a run's tag: older servers take no more."""
EXPERIMENT_TAG_LIMIT = 18_000
"""Characters of an experiment's tag; MLflow refuses more than 20,000."""
METRICS_LIMIT, PARAMS_LIMIT = 800, 100
"""The most of one call: MLflow takes 100 params, 100 tags and 1,000 entries in all."""
LARGEST = sys.float_info.max
"""What MLflow's SQL stores keep of an infinite metric."""
STATUS = {
    State.FINISHED: "FINISHED",
    State.PRUNED: "KILLED",
    State.FAILED: "FAILED",
    State.INTERRUPTED: "KILLED",
    State.PAUSED: "SCHEDULED",
}
"""MLflow's status of a run whose trial ended so; a refused candidate has no run."""


def analysis_file(name: str) -> str:
    """Return the artifact that holds what an analysis of a training found."""
    return f"analysis/{name}.json"


def reader(uri: str | None) -> MlflowClient:
    """Return a client of a store that exists and answers; raises EdgebenchError otherwise."""
    asked = uri or MLFLOW_STORE
    path = sqlite_path(asked)
    if path is not None and not path.is_file():
        raise EdgebenchError(
            f"there is no record at '{path}'; run 'edgebench sweep' first, from this folder, or "
            "say where it is with --tracking-uri"
        )
    if path is None:
        return _answering(asked)
    return _client(asked)


def _answering(uri: str) -> MlflowClient:
    """Return a client of a server, after it has answered a question."""
    check_address("--tracking-uri", uri, TRACKERS)
    client = _client(uri)
    try:
        client.search_experiments(max_results=1)
    except mlflow.MlflowException as error:
        said = f"--tracking-uri {redacted(uri)}"
        raise EdgebenchError(f"{said}: it is no MLflow server: {reason_of(error)}") from None
    return client


def writer(uri: str) -> MlflowClient:
    """Return a client of a store, which is made where it is a SQLite file that is not there."""
    create_store(uri, initialize)
    return _client(uri)


def _client(uri: str) -> MlflowClient:
    address = absolute(uri)
    mlflow.set_tracking_uri(address)
    return MlflowClient(tracking_uri=address)


def initialize(uri: str) -> None:
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


def tags_of(values: Mapping[str, str]) -> list[RunTag]:
    """Return tags as MLflow's, each cut to what it takes."""
    return [RunTag(name, value[:TAG_LIMIT]) for name, value in values.items()]


def write(
    client: MlflowClient,
    run_id: str,
    metrics: Sequence[Metric] = (),
    params: Sequence[Param] = (),
    tags: Sequence[RunTag] = (),
) -> None:
    """Write in as few calls as MLflow takes; the tags come after everything else.

    Inside one call MLflow writes params, then metrics, then all tags in one transaction: where a
    tag can be read, so can the rest.
    """
    calls = max(-(-len(metrics) // METRICS_LIMIT), -(-len(params) // PARAMS_LIMIT), 1)
    for call in range(calls):
        client.log_batch(
            run_id,
            metrics[call * METRICS_LIMIT : (call + 1) * METRICS_LIMIT],
            params[call * PARAMS_LIMIT : (call + 1) * PARAMS_LIMIT],
            tags if call == calls - 1 else (),
            synchronous=True,  # whatever MLFLOW_ENABLE_ASYNC_LOGGING says: order matters here
        )


def local_artifact(run: Run, name: str) -> Path | None:
    """Return where an artifact of a run lies, or None where its store is not on this disk."""
    address = urllib.parse.urlparse(run.info.artifact_uri)
    if address.scheme not in {"", "file"}:
        return None
    return Path(urllib.request.url2pathname(address.path)) / name


def download(client: MlflowClient, run: Run, name: str) -> Path:
    """Return an artifact of a run, file or folder, on this disk; what is there is not copied.

    Raises:
        EdgebenchError: The run has no such artifact.
    """
    local = local_artifact(run, name)
    if local is not None and local.exists():
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
    folder = mlflow.artifacts.download_artifacts(f"models:/{logged_model(client, run, name)}")
    return Path(folder) / "model.onnx"


def logged_model(client: MlflowClient, run: Run, name: str = MODEL) -> str:
    """Return the id of a model that a run logged; raises EdgebenchError where it did not."""
    for output in run.outputs.model_outputs if run.outputs else []:
        try:
            found = client.get_logged_model(output.model_id).name
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # an attempt that an outage cut off, whose model was deleted
        if found == name:
            return str(output.model_id)
    raise EdgebenchError(f"the run '{run.info.run_id}' has no '{name}' in the store")
