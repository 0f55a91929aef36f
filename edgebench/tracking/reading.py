"""The record read back: a study's rows, a run with its model."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from edgebench.collector import paused
from edgebench.errors import EdgebenchError, unknown
from edgebench.metrics import Dtype, metric_of
from edgebench.record import MLFLOW_STORE, FigureAsked, Objective, Row, Scalar, State, StudyRecord
from edgebench.report import best
from edgebench.space import TrialConfig
from edgebench.tracking import runs
from edgebench.tracking.closing import close_abandoned
from edgebench.tracking.refused import read_refused

LOG = logging.getLogger(__name__)
ALL = sys.maxsize
"""Of trials that are read with their details: every one."""
READERS = 8
"""How many artifacts are read at once."""


@dataclass(frozen=True)
class SavedRun:
    """A trial's run as the store holds it: enough to rebuild, export and prove the model.

    ``deployed`` is the data type of the model that its study ships.
    """

    run_id: str
    name: str
    study: str
    status: str
    state: State
    config: TrialConfig
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset_name: str
    dataset_digest: str
    deployed: Dtype
    checkpoint: Path
    onnx: Path


def read_study(
    study: str, *, tracking_uri: str | None = None, details: bool = False
) -> StudyRecord:
    """Read a study back from the store; runs that a cut left open are closed first.

    Args:
        study: Its name.
        tracking_uri: The store; ``MLFLOW_STORE`` by default.
        details: Also read each trial's curve and layers, one small file a trial.

    Raises:
        EdgebenchError: There is no such store or study, or its record has another format.
    """
    client = runs.reader(tracking_uri)
    experiment = runs.experiment_of(client, study)
    close_abandoned(client, tracking_uri or MLFLOW_STORE, experiment)
    return study_of(client, experiment, detailed=ALL if details else 0)


def study_of(client: MlflowClient, experiment: Experiment, *, detailed: int = 0) -> StudyRecord:
    """Return the study of an experiment: its trials that were trained, and those refused.

    So many of the newest trials, the ``detailed``, have their curves and layers.
    """
    content = described(experiment)
    identity = experiment.experiment_id
    with paused():
        trained = list(runs.search(client, identity, "tags.kind = 'trial'"))
    parents = list(runs.search(client, identity, "tags.kind = 'sweep'"))
    refused = [row for parent in parents[:1] for row in read_refused(client, parent).rows]
    rows = {row.trial: row for row in refused}
    analyses = content.get("analysis", ()) if content.get("figures") else ()
    read = _rows_of(client, trained, detailed, analyses)
    rows |= {row.trial: row for row in read}
    conventions = {run.data.tags.get(runs.CONVENTION, "") for run in trained} - {""}
    said = [{run.data.tags.get(tag, "") for run in trained} - {""}
            for tag in (runs.PROVENANCE, runs.PROVENANCE_INT8)]  # fmt: skip
    return dataclasses.replace(
        _record(experiment.name, content, tuple(rows[number] for number in sorted(rows))),
        provenance="; ".join(sorted(said[0])),
        provenance_int8="; ".join(sorted(said[1])),
        convention=", ".join(sorted(conventions or {content["convention"]})),
    )


def _record(study: str, content: Mapping[str, Any], rows: Sequence[Row]) -> StudyRecord:
    """Return a study with ``rows``, as its description tells of it."""
    return StudyRecord(
        study=study,
        objectives=tuple(Objective(**objective) for objective in content["objectives"]),
        rows=rows,
        dataset=content["dataset"],
        split_sizes=content["split_sizes"],
        budget=content["budget"],
        target=content["target"],
        classes=tuple(content["classes"]),
        figures=tuple(FigureAsked(**figure) for figure in content.get("figures", ())),
        omitted=tuple(content.get("omitted", ())),
    )


def best_value(study: str, axis: str, *, tracking_uri: str | None = None) -> Scalar | None:
    """Return what the best trial of a study has on an axis, or None where it has no such axis.

    Raises:
        EdgebenchError: There is no such store or study, or none of its trials is feasible.
    """
    record = read_study(study, tracking_uri=tracking_uri)
    row = best(record.rows, record.objectives)
    if row is None:
        raise EdgebenchError(f"the study '{study}' has no feasible trial yet; run it first")
    return row.params.get(axis)


def described(experiment: Experiment) -> dict[str, Any]:
    """Return a study's description.

    Raises:
        EdgebenchError: It was written in another format of the record.
    """
    content: dict[str, Any] = json.loads(experiment.tags[runs.STUDY])
    found = content.get("format", 1)
    if found != runs.FORMAT:
        raise EdgebenchError(
            f"the study '{experiment.name}' was recorded in format {found} and this edgebench "
            f"reads format {runs.FORMAT}: move mlruns/ away, or give the sweep another name with "
            f"--set name={experiment.name}-2"
        )
    return content


def experiment_id_of(study: str, tracking_uri: str | None = None) -> str:
    """Return the id of a study's experiment; raises EdgebenchError where there is none."""
    return str(runs.experiment_of(runs.reader(tracking_uri), study).experiment_id)


def last_study(tracking_uri: str | None = None) -> str:
    """Return the name of the study written last; raises EdgebenchError where there is none."""
    found = runs.studies(runs.reader(tracking_uri))
    if not found:
        raise EdgebenchError("there is no study in the store yet; run 'edgebench sweep' first")
    return str(max(found, key=lambda one: one.last_update_time or 0).name)


def fetch_run(run: str, *, tracking_uri: str | None = None) -> SavedRun:
    """Return a trial's run with its checkpoint and model on the local disk.

    Args:
        run: A run id, ``STUDY:NUMBER``, or ``STUDY:best`` (the front member that is best in the
            study's first metric).
        tracking_uri: The store; ``MLFLOW_STORE`` by default.

    Raises:
        EdgebenchError: No such run, or one that did not finish.
    """
    client = runs.reader(tracking_uri)
    found = _finished(client, run)
    row = row_of(found)
    details = details_of(client, found)
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
        dataset_digest=facts["dataset_digest"],
        deployed=_deployed_dtype(client, found),
        checkpoint=runs.download(client, found, runs.CHECKPOINT),
        onnx=runs.download_model(client, found),
    )


def fetch_onnx(run: str, dtype: Dtype | None = None, *, tracking_uri: str | None = None) -> Path:
    """Return the exported model of a run (see ``fetch_run``) as a local file.

    ``dtype`` is ``float32`` or ``int8``; by default it is what the run's study deploys.

    Raises:
        EdgebenchError: No such run, one that did not finish, or one without an int8 model.
    """
    client, found, name = deployed(run, dtype, tracking_uri=tracking_uri)
    return runs.download_model(client, found, name)


def deployed(
    run: str, dtype: Dtype | None = None, *, tracking_uri: str | None = None
) -> tuple[MlflowClient, Run, str]:
    """Return a client, a finished run, and the name of its model in a data type (`fetch_onnx`)."""
    client = runs.reader(tracking_uri)
    found = _finished(client, run)
    if dtype is None:
        dtype = _deployed_dtype(client, found)
    name = runs.MODEL_INT8 if dtype == "int8" else runs.MODEL
    try:
        runs.logged_model(client, found, name)
    except EdgebenchError as error:
        raise EdgebenchError(
            f"'{run}' has no {dtype} model in the store; 'edgebench export {run} -o DIR' makes one"
        ) from error
    return client, found, name


def _deployed_dtype(client: MlflowClient, run: Run) -> Dtype:
    """Return the data type that the study of a run deploys."""
    experiment = client.get_experiment(run.info.experiment_id)
    return _record(experiment.name, described(experiment), ()).dtype


def _finished(client: MlflowClient, run: str) -> Run:
    found = find_run(client, run)
    row = row_of(found)
    if row.state is not State.FINISHED:
        raise EdgebenchError(_no_model(run, row))
    return found


def details_of(client: MlflowClient, run: Run) -> dict[str, Any]:
    """Return what a trial's artifact holds: configuration, facts, curve, usage and layers."""
    text = runs.download(client, run, runs.DETAILS).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def _rows_of(
    client: MlflowClient, found: Sequence[Run], detailed: int, analyses: Sequence[str]
) -> list[Row]:
    """Return a row for each run, by trial number; an interrupted one was repeated and has none.

    Of the last ``detailed`` also curves and layers, and what the ``analyses`` left, are read,
    several at once: a store of artifacts may be far away.
    """
    with paused():
        pairs = [(run, row_of(run)) for run in found]
    kept = sorted((pair for pair in pairs if _counts(pair[1])), key=lambda pair: pair[1].trial)
    plain = max(len(kept) - detailed, 0)
    rows = [row for _, row in kept[:plain]]
    with ThreadPoolExecutor(READERS) as readers:
        rows += readers.map(
            lambda pair: _with_details(client, pair[0], pair[1], analyses), kept[plain:]
        )
    return rows


def _counts(row: Row) -> bool:
    return row.state is not State.INTERRUPTED


def row_of(run: Run) -> Row:
    """Return what the tags, params and metrics of a run tell of its trial."""
    tags = run.data.tags
    return Row(
        trial=int(tags[runs.TRIAL]),
        run_id=run.info.run_id,
        name=run.info.run_name,
        state=State(tags.get(runs.STATE, State.RUNNING)),
        reason=tags.get(runs.REASON),
        params={name: _scalar(value) for name, value in run.data.params.items()},
        metrics={name: _number(name, value) for name, value in run.data.metrics.items()},
    )


def _with_details(client: MlflowClient, run: Run, row: Row, analyses: Sequence[str] = ()) -> Row:
    """Return the row with curves, layers and analyses; without, where its artifact was deleted."""
    if not row.state.ended:
        return row
    try:
        details = details_of(client, run)
    except EdgebenchError as error:
        LOG.warning("%s goes without curves and layers: %s", row.name, error)
        return row
    curves = curves_of(details["curve"])
    found: dict[str, dict[str, Any]] = {}
    for name in analyses:
        with contextlib.suppress(EdgebenchError):  # a failed trial has none
            path = runs.download(client, run, runs.analysis_file(name))
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return dataclasses.replace(
        row,
        curves=curves,
        layers=details["layers"],
        confusion=details.get("confusion", {}),
        analyses=found,
    )


def curves_of(epochs: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the metrics of each epoch as a curve for each metric."""
    return {name: [epoch[name] for epoch in epochs] for name in (epochs[0] if epochs else ())}


@lru_cache(maxsize=4096)  # a study has few widths and many trials
def _scalar(text: str) -> Scalar:
    """Return what `str` made ``text`` of: MLflow keeps every param as text."""
    if text in {"True", "False"}:
        return text == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            value = kind(text)
            if str(value) == text and math.isfinite(value):
                return value
    return text


def _number(name: str, value: float) -> float:
    """Return a metric as it was written: MLflow keeps counts and bytes as floats, no infinity."""
    if abs(value) >= runs.LARGEST:
        return math.copysign(math.inf, value)
    counted = metric_of(name).unit in {"bytes", "count"}
    return int(value) if counted and float(value).is_integer() else value


def _no_model(run: str, row: Row) -> str:
    because = f" ({row.reason})" if row.reason else ""
    return (
        f"'{run}' is {row.state}{because}: only a finished trial has a model; see "
        "'edgebench report'"
    )


def find_run(client: MlflowClient, run: str) -> Run:
    """Return the MLflow run of a trial: a run id, ``STUDY:NUMBER`` or ``STUDY:best``.

    Raises:
        EdgebenchError: There is none, or the trial has no model.
    """
    study, separator, which = run.rpartition(":")
    if not separator:
        return _find_by_id(client, run)
    experiment = runs.experiment_of(client, study)
    described(experiment)
    if which.isdecimal():  # one run, of however many
        wanted = f"tags.kind = 'trial' and tags.`{runs.TRIAL}` = '{which}'"
        for found in runs.search(client, experiment.experiment_id, wanted):
            if _counts(row_of(found)):
                return found
    record = study_of(client, experiment)
    if which == "best":
        row = best(record.rows, record.objectives)
        if row is None:
            raise EdgebenchError(f"the study '{study}' has no feasible trial yet")
        return client.get_run(row.run_id)
    by_number = {str(row.trial): row for row in record.rows}
    if which not in by_number:
        raise EdgebenchError(unknown(f"trial of '{study}'", which, [*by_number, "best"]))
    raise EdgebenchError(_no_model(run, by_number[which]))


def _find_by_id(client: MlflowClient, run_id: str) -> Run:
    try:
        run = client.get_run(run_id)
    except mlflow.MlflowException:
        run = None
    if run is None or run.data.tags.get(runs.KIND) not in {"trial", "final"}:
        names = [f"{study.name}:best" for study in runs.studies(client)]
        raise EdgebenchError(unknown("run", run_id, names))
    return run
