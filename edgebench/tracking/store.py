"""MLflow is the record: every trial is written here once, and everything is read back from here.

One experiment a study, one parent run a sweep, one child run a trial. The final metrics and the
state tag are written in one batch, which is the moment from which a trial counts as done; the
artifacts stand before it. Calls are batched: one an epoch, one at the end.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

# Before the import: works offline, and shows nothing of its own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
import filelock
import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from edgebench import yaml12
from edgebench.errors import EdgebenchError, unknown
from edgebench.footprint import CONVENTIONS
from edgebench.record import (
    MLFLOW_STORE,
    Objective,
    Row,
    Scalar,
    State,
    StudyRecord,
)
from edgebench.space import Sweep, TrialConfig
from edgebench.tracking import views

if TYPE_CHECKING:  # reading a record must not cost an import of PyTorch
    from edgebench.record import Facts
    from edgebench.trial import Outcome

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

CONVENTION = "st"  # by which the gate measures
STATE = "edgebench.state"
REASON = "edgebench.reason"
TRIAL = "edgebench.trial"
PARENT = "mlflow.parentRunId"
STUDY = "edgebench.study"
CONFIG = "edgebench.config"
OPENINGS = "edgebench.test_openings"
DETAILS = "trial.json"
CHECKPOINT = "checkpoint.pt"
MODEL, MODEL_INT8 = "model", "model-int8"  # the names of the logged models
_STATUS = {"finished": "FINISHED", "refused": "KILLED", "failed": "FAILED"}
_TAG_LIMIT = 5000  # MLflow's longest experiment tag


@dataclass(frozen=True)
class SavedRun:
    """A trial's run as the store holds it: enough to rebuild, export and prove the model."""

    run_id: str
    name: str
    study: str
    status: str
    state: str
    config: TrialConfig
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset_name: str
    checkpoint: Path
    onnx: Path


class StudyLog:
    """Writes one study: its experiment, the sweep's parent run and a run for each trial."""

    def __init__(self, uri: str, study: str) -> None:
        create_store(uri, _initialise)
        mlflow.set_tracking_uri(uri)
        self.uri = uri
        self.study = study
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment_id = self._experiment(study)
        mlflow.set_experiment(experiment_id=self.experiment_id)
        self.parent_id = ""
        self._tags: dict[str, str] = {}

    def _experiment(self, study: str) -> str:
        found = self.client.get_experiment_by_name(study)
        if found is None:
            return str(self.client.create_experiment(study, _artifact_root(self.uri)))
        if found.lifecycle_stage != "active":
            raise EdgebenchError(
                f"the experiment '{study}' was deleted in MLflow; restore it there, or give the "
                f"sweep another name with --set name={study}-2"
            )
        return str(found.experiment_id)

    def begin_sweep(self, sweep: Sweep, facts: Facts) -> None:
        """Open the parent run, the same one each time the study goes on."""
        described = {
            "objectives": [asdict(objective) for objective in sweep.objectives],
            "budget": dict(sweep.budget.limits) if sweep.budget else None,
            "target": sweep.budget.target if sweep.budget else None,
            "dataset": facts.dataset,
            "split_sizes": dict(facts.split_sizes),
            "classes": facts.classes,
        }
        text = json.dumps(described)
        if len(text) > _TAG_LIMIT:
            text = json.dumps(described | {"classes": []})
        self.client.set_experiment_tag(self.experiment_id, STUDY, text)
        self._tags = _provenance(facts, sweep.seed)
        parents = self._runs("tags.kind = 'sweep'")
        if parents:
            self.parent_id = parents[0].info.run_id
            self.client.update_run(self.parent_id, status="RUNNING")
        else:
            tags = {"kind": "sweep", **self._tags}
            run = self.client.create_run(self.experiment_id, tags=tags, run_name=sweep.name)
            self.parent_id = run.info.run_id

    def end_sweep(self, status: str, metrics: Mapping[str, float]) -> None:
        """Close the parent run as ``FINISHED``, ``FAILED`` or ``KILLED``, with its counts."""
        self.client.log_batch(self.parent_id, metrics=_metrics(metrics))
        self.client.set_terminated(self.parent_id, status)

    def begin_trial(self, number: int, config: TrialConfig, name: str) -> str:
        """Create the run of a trial and return its id."""
        tags = {"kind": "trial", TRIAL: str(number), PARENT: self.parent_id, **self._tags}
        tags[CONFIG] = config.key
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        params = [Param(key, str(value)) for key, value in config.params.items()]
        self.client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)

    def begin_finals(self) -> None:
        """Find the sweep's run, under which finals stand, and close those that were cut off."""
        parents = self._runs("tags.kind = 'sweep'")
        self.parent_id = parents[0].info.run_id if parents else ""
        for run_id in self.unfinished("final"):
            if self.close_finished(run_id) is None:
                self.interrupt(run_id)

    def begin_final(self, trial: int, config: TrialConfig, facts: Facts, name: str) -> str:
        """Create the run that retrains a trial with the seed of ``config``, and return its id.

        Its kind is ``final``: it is no trial of the study and no row of its report.
        """
        tags = {**_provenance(facts, config.seed), "kind": "final", TRIAL: str(trial)}
        tags |= {CONFIG: config.key} | ({PARENT: self.parent_id} if self.parent_id else {})
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        params = [Param(key, str(value)) for key, value in config.params.items()]
        self.client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)

    def finals(self) -> dict[str, Row]:
        """Return the last final run of each configuration that came to an end, by its key."""
        runs = self._runs("tags.kind = 'final'")
        ended = [run for run in runs if run.data.tags.get(STATE) in _STATUS]
        return {run.data.tags[CONFIG]: _row(run) for run in ended}

    def log_final(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Write the figures over all seeds on the run of the trial that was retrained."""
        self.client.log_batch(run_id, metrics=_metrics(figures))

    def openings(self) -> list[dict[str, Any]]:
        """Return when and by what the test split of this study was opened for its report."""
        tags = self.client.get_experiment(self.experiment_id).tags
        return list(json.loads(tags.get(OPENINGS, "[]")))

    def record_openings(self, openings: Sequence[Mapping[str, Any]]) -> None:
        """Write the list of the openings of the test split."""
        self.client.set_experiment_tag(self.experiment_id, OPENINGS, json.dumps(list(openings)))

    def recorded(self, run_id: str) -> tuple[TrialConfig, str]:
        """Return what a trial was, and the digest of the data set that it was trained on."""
        file = _download(self.client, self.client.get_run(run_id), DETAILS)
        details = json.loads(file.read_text(encoding="utf-8"))
        return TrialConfig(**details["config"]), str(details["facts"]["dataset_digest"])

    def log_epoch(self, run_id: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one epoch in one call."""
        self.client.log_batch(run_id, metrics=_metrics(metrics, epoch))

    def end_trial(self, run_id: str, config: TrialConfig, facts: Facts, outcome: Outcome) -> None:
        """Write artifacts, then metrics and state in one batch, then the run's final status."""
        self._write_artifacts(run_id, config, facts, outcome)
        tags = [RunTag(STATE, outcome.state)]
        if outcome.reason:
            tags.append(RunTag(REASON, outcome.reason[:_TAG_LIMIT]))
        self.client.log_batch(run_id, metrics=_metrics(outcome.metrics), tags=tags)
        self.client.set_terminated(run_id, _STATUS[outcome.state])

    def _write_artifacts(
        self, run_id: str, config: TrialConfig, facts: Facts, outcome: Outcome
    ) -> None:
        details = {
            "config": asdict(config),
            "facts": asdict(facts),
            "curve": outcome.curve,
            "usage": outcome.usage,
            "layers": outcome.layers,
        }
        self.client.log_dict(run_id, details, DETAILS)
        if outcome.checkpoint is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / CHECKPOINT
                file.write_bytes(outcome.checkpoint)
                self.client.log_artifact(run_id, str(file))
        for name, model in ((MODEL, outcome.onnx), (MODEL_INT8, outcome.onnx_int8)):
            if model is not None:
                _log_model(run_id, name, model, facts)

    def interrupt(self, run_id: str) -> None:
        """Close a run that was cut off; what it trained will be tried again."""
        tags = [RunTag(STATE, "interrupted"), RunTag(REASON, "the command was cut off in this run")]
        self.client.log_batch(run_id, tags=tags)
        self.client.set_terminated(run_id, "KILLED")

    def close_finished(self, run_id: str) -> Row | None:
        """Return the row of a run whose end was written but not its status, and set the status."""
        row = _row(self.client.get_run(run_id))
        if row.state not in _STATUS:
            return None
        self.client.set_terminated(run_id, _STATUS[row.state])
        return row

    def unfinished(self, kind: str = "trial") -> list[str]:
        """Return the ids of runs of a kind that still stand as running."""
        return [
            run.info.run_id
            for run in self._runs(f"tags.kind = '{kind}' and attributes.status = 'RUNNING'")
        ]

    def rows(self) -> list[Row]:
        """Return the rows of all trials that came to an end, in order."""
        return _rows(self._runs("tags.kind = 'trial'"))

    def log_test(self, run_id: str, accuracies: Mapping[str, float]) -> None:
        """Write accuracies on the test split, and that it was opened."""
        tags = [RunTag("edgebench.test_opened", "1")]
        self.client.log_batch(run_id, metrics=_metrics(accuracies), tags=tags)

    def refresh_views(self, run_id: str | None = None, *, pictures: bool = False) -> None:
        """Bring the study's note and saved view up to date, and describe a run; never fails.

        ``pictures`` also writes the study's figures to the sweep's run.
        """
        record = read_study(self.study, tracking_uri=self.uri)
        views.refresh(self.client, self.experiment_id, record)
        for row in record.rows:
            if row.run_id == run_id:
                views.describe(self.client, row, record)
        if pictures and record.rows:
            views.log_pictures(self.client, self.parent_id, record)

    def model_of(self, run_id: str, name: str = "model") -> bytes:
        """Return an exported model of a finished trial: ``model`` or ``model-int8``."""
        return _download_model(self.client, self.client.get_run(run_id), name).read_bytes()

    def _runs(self, filter_string: str) -> list[Run]:
        return list(_search(self.client, self.experiment_id, filter_string))


def read_study(
    study: str, *, tracking_uri: str | None = None, details: bool = False
) -> StudyRecord:
    """Read a study back from the store.

    Args:
        study: Its name.
        tracking_uri: The store; ``MLFLOW_STORE`` by default.
        details: Also read each trial's curve and layers, one small file a trial.

    Raises:
        EdgebenchError: There is no such store or study.
    """
    client = _reader(tracking_uri)
    experiment = _experiment_of(client, study)
    described = json.loads(experiment.tags[STUDY])
    runs = list(_search(client, experiment.experiment_id, "tags.kind = 'trial'"))
    return StudyRecord(
        study=study,
        objectives=tuple(Objective(**objective) for objective in described["objectives"]),
        rows=_rows(runs, client if details else None),
        dataset=described["dataset"],
        split_sizes=described["split_sizes"],
        budget=described["budget"],
        target=described["target"],
        provenance="estimated",
        convention=f"{CONVENTION} ({CONVENTIONS[CONVENTION].title})",
        classes=described["classes"],
    )


def experiment_id_of(study: str, tracking_uri: str | None = None) -> str:
    """Return the id of a study's experiment; raises EdgebenchError where there is none."""
    return str(_experiment_of(_reader(tracking_uri), study).experiment_id)


def fetch_run(run: str, *, tracking_uri: str | None = None) -> SavedRun:
    """Return a trial's run with its checkpoint and model on the local disk.

    Args:
        run: A run id, ``STUDY:NUMBER``, or ``STUDY:best`` (the front member that is best in the
            study's first metric).
        tracking_uri: The store; ``MLFLOW_STORE`` by default.

    Raises:
        EdgebenchError: No such run, or one that did not finish.
    """
    client = _reader(tracking_uri)
    found = _find(client, run)
    row = _row(found)
    if row.state != "finished":
        raise EdgebenchError(
            f"'{run}' is {row.state}{f' ({row.reason})' if row.reason else ''}: only a finished "
            "trial has a model; see 'edgebench report'"
        )
    details = json.loads(_download(client, found, DETAILS).read_text(encoding="utf-8"))
    facts = details["facts"]
    return SavedRun(
        run_id=row.run_id,
        name=row.name,
        study=client.get_experiment(found.info.experiment_id).name,
        status=found.info.status,
        state=row.state,
        config=TrialConfig(**details["config"]),
        input_shape=cast("tuple[int, int, int]", tuple(facts["input_shape"])),
        classes=tuple(facts["classes"]),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        dataset_name=facts["dataset"],
        checkpoint=_download(client, found, CHECKPOINT),
        onnx=_download_model(client, found),
    )


def fetch_onnx(run: str, *, tracking_uri: str | None = None) -> Path:
    """Return the exported model of a run (see ``fetch_run``) as a local file."""
    return fetch_run(run, tracking_uri=tracking_uri).onnx


def create_store(uri: str, initialise: Callable[[str], None]) -> None:
    """Make a SQLite store that does not exist yet; other stores are left alone.

    ``initialise`` fills the store at the address it is given: a file of another name, which gets
    its own name when it is whole. A process killed between two migrations leaves nothing that
    would stop the next one.
    """
    path = sqlite_path(uri)
    if path is None or path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.parent / ".create.lock"):  # one maker at a time
        if path.is_file():
            return
        unfinished = path.with_name(f".{path.name}.unfinished")
        for rest in path.parent.glob(f"{unfinished.name}*"):
            rest.unlink()  # a journal too: SQLite would roll it back into the new file
        initialise(uri.replace(str(path), str(unfinished)))
        unfinished.replace(path)


def _initialise(uri: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, _artifact_root(uri))  # type: ignore[no-untyped-call]  # MLflow's
    store.engine.dispose()


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a ``sqlite:///`` address, or None for another kind of store."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", uri)
    return Path(match[1]) if match else None


def _artifact_root(uri: str) -> str | None:
    """Artifacts stand beside a SQLite file; a server decides for itself."""
    path = sqlite_path(uri)
    return (path.parent / "artifacts").resolve().as_uri() if path else None


def _reader(uri: str | None) -> MlflowClient:
    asked = uri or MLFLOW_STORE
    path = sqlite_path(asked)
    if path is not None and not path.is_file():
        raise EdgebenchError(
            f"there is no record at '{path}'; run 'edgebench sweep' first, from this folder, or "
            "say where it is with --tracking-uri"
        )
    mlflow.set_tracking_uri(asked)
    return MlflowClient(tracking_uri=asked)


def _experiment_of(client: MlflowClient, study: str) -> Experiment:
    experiment = client.get_experiment_by_name(study)
    if experiment is None or STUDY not in experiment.tags:
        known = [e.name for e in client.search_experiments() if STUDY in e.tags]
        raise EdgebenchError(unknown("study", study, known))
    return experiment


def _find(client: MlflowClient, run: str) -> Run:
    study, separator, which = run.rpartition(":")
    if not separator:
        return _find_by_id(client, run)
    record = read_study(study, tracking_uri=mlflow.get_tracking_uri())
    if which == "best":
        from edgebench.report import best

        row = best(record.rows, record.objectives)
        if row is None:
            raise EdgebenchError(f"the study '{study}' has no feasible trial yet")
        return client.get_run(row.run_id)
    by_number = {str(row.trial): row.run_id for row in record.rows}
    if which not in by_number:
        raise EdgebenchError(unknown(f"trial of '{study}'", which, [*by_number, "best"]))
    return client.get_run(by_number[which])


def _find_by_id(client: MlflowClient, run_id: str) -> Run:
    studies = [e for e in client.search_experiments() if STUDY in e.tags]
    ids = {
        run.info.run_id: run
        for study in studies
        for run in _search(client, study.experiment_id, "tags.kind = 'trial'")
    }
    if run_id not in ids:
        names = [f"{study.name}:best" for study in studies]
        raise EdgebenchError(unknown("run", run_id, [*names, *ids] if len(ids) < 20 else names))
    return ids[run_id]


def _search(client: MlflowClient, experiment_id: str, filter_string: str) -> Iterator[Run]:
    """Yield every run: the store returns at most 1,000 a page."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_string, order_by=["attributes.start_time ASC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _rows(runs: Sequence[Run], client: MlflowClient | None = None) -> list[Row]:
    """Return a row for each run that ended, by trial number; an interrupted one was repeated."""
    rows = [_row(run, client) for run in runs if run.data.tags.get(STATE) != "interrupted"]
    return sorted(rows, key=lambda row: row.trial)


def _row(run: Run, client: MlflowClient | None = None) -> Row:
    tags, state = run.data.tags, run.data.tags.get(STATE, "running")
    curve: Sequence[Mapping[str, float]] = []
    layers: Sequence[Mapping[str, object]] = ()
    if client is not None and state in _STATUS:
        details = json.loads(_download(client, run, DETAILS).read_text(encoding="utf-8"))
        curve, layers = details["curve"], details["layers"]
    return Row(
        trial=int(tags[TRIAL]),
        run_id=run.info.run_id,
        name=run.info.run_name,
        state=State(state) if state in set(State) else State.RUNNING,
        reason=tags.get(REASON),
        params={name: _scalar(value) for name, value in run.data.params.items()},
        metrics={name: _number(value) for name, value in run.data.metrics.items()},
        curves={name: [epoch[name] for epoch in curve] for name in (curve[0] if curve else ())},
        layers=layers,
    )


def _scalar(text: str) -> Scalar:
    value = yaml12.parse(text, "param")
    return value if isinstance(value, bool | int | float) else text


def _number(value: float) -> float:
    """MLflow keeps every metric as a float; counts and bytes are ints."""
    return int(value) if float(value).is_integer() and abs(value) > 1 else value


def _provenance(facts: Facts, seed: int) -> dict[str, str]:
    """Return the tags that say where and on what a run was made."""
    return {
        **facts.environment,
        "dataset": facts.dataset,
        "dataset.digest": facts.dataset_digest,
        "seed": str(seed),
    }


def _metrics(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def _log_model(run_id: str, name: str, model: bytes, facts: Facts) -> None:
    """Write an ONNX file as a logged model of the run, with its signature."""
    images = TensorSpec(np.dtype("float32"), (-1, *facts.input_shape), "input")
    logits = TensorSpec(np.dtype("float32"), (-1, len(facts.classes)), "logits")
    Model.log(
        artifact_path=None,
        name=name,
        flavor=mlflow.onnx,
        run_id=run_id,
        onnx_model=onnx.load_from_string(model),
        signature=ModelSignature(Schema([images]), Schema([logits])),
        pip_requirements=["onnxruntime"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )


def _download(client: MlflowClient, run: Run, name: str) -> Path:
    """Return an artifact of a run as a local file; one that is local already is not copied."""
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


def _download_model(client: MlflowClient, run: Run, name: str = MODEL) -> Path:
    outputs = run.outputs.model_outputs if run.outputs else []
    for output in outputs:
        if client.get_logged_model(output.model_id).name == name:
            folder = mlflow.artifacts.download_artifacts(f"models:/{output.model_id}")
            return Path(folder) / "model.onnx"
    raise EdgebenchError(f"the run '{run.info.run_id}' has no '{name}' in the store")
