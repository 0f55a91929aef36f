"""The runs of trials: one run a trial, from its beginning to its end.

A run is created when its trial begins. Its params and epochs are kept back and written together,
on a timer or at the end: ten calls a second would cost more than small trainings do. What stands
at the end of a trial is written in this order: artifacts and models, then params, metrics and tags
in one call, then MLflow's own status. From the state tag on, the trial counts as done; a kill
before it leaves a run that is closed and tried again, a kill after it a run that lacks its status.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, SourceType
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

from edgebench.analysis import first_filters
from edgebench.errors import EdgebenchError
from edgebench.record import Facts, Opening, Row, State, StudyRecord
from edgebench.report import filters_png, render
from edgebench.space import TrialConfig
from edgebench.tracking import closing, runs, views
from edgebench.tracking.inputs import input_of
from edgebench.tracking.openings import open_test_split, openings, record_opening
from edgebench.tracking.outbox import Outbox
from edgebench.tracking.reading import described, row_of
from edgebench.tracking.store import artifact_root

if TYPE_CHECKING:
    from edgebench.trial import Gate, Outcome

FLUSH_SECONDS = 2.0
"""The most of a running trial's curve that a kill loses."""
FILTERS = "filters.png"
"""The artifact with the first layer's filters."""
OPENED_ON = "val/accuracy"
"""MLflow's page that compares runs opens on the metric that was written first."""


@dataclass
class _Kept:
    """What a run under way has that is not in the store yet.

    ``last`` is the value of each metric at its last epoch: what MLflow gives back for the run.
    """

    params: list[Param] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    last: dict[str, Metric] = field(default_factory=dict)


class TrialLog:
    """Writes the runs of one study, whose experiment it makes where there is none.

    With ``journal``, a file, an outage of MLflow's server is outlasted: see `Outbox`.

    Raises:
        EdgebenchError: The experiment was deleted, or was recorded in another format.
    """

    def __init__(self, uri: str, study: str, journal: Path | None = None) -> None:
        self.client: MlflowClient = runs.writer(uri)
        self._log_model = _log_model
        self._outbox: Outbox | None = None
        if journal is not None:
            self._outbox = Outbox(self.client, uri, journal, _log_model)
            self.client = cast("MlflowClient", self._outbox)  # it has the client's methods
            self._log_model = self._outbox.log_model
        self.study = study
        self.experiment_id = self._experiment(study, uri)
        mlflow.set_experiment(experiment_id=self.experiment_id)  # where `Model.log` looks
        self.parent_id = ""
        self._shown: StudyRecord | None = None
        self._kept: dict[str, _Kept] = {}
        self._flushed = time.monotonic()

    def _experiment(self, study: str, uri: str) -> str:
        found = self.client.get_experiment_by_name(study)
        if found is None:
            return str(self.client.create_experiment(study, artifact_root(uri)))
        if found.lifecycle_stage != "active":
            raise EdgebenchError(
                f"the experiment '{study}' was deleted in MLflow; restore it there, or give the "
                f"sweep another name with --set name={study}-2"
            )
        if runs.STUDY in found.tags:
            described(found)  # refuses a record of another format
        return str(found.experiment_id)

    # From beginning to end ------------------------------------------------------------------

    def _begin(
        self,
        name: str,
        config: TrialConfig,
        facts: Facts,
        gate: Gate,
        tags: Mapping[str, str],
    ) -> str:
        own = {
            **provenance_of(facts),
            runs.KEY: config.key,
            "seed": str(config.seed),
            runs.CONVENTION: gate.convention,
            runs.PROVENANCE: gate.provenance,
        }
        if gate.provenance_int8:
            own[runs.PROVENANCE_INT8] = gate.provenance_int8
        if self.parent_id:
            own[runs.PARENT] = self.parent_id
        run = self.client.create_run(self.experiment_id, tags={**tags, **own}, run_name=name)
        run_id = str(run.info.run_id)
        self.client.log_inputs(run_id, [input_of(facts)])
        self._kept[run_id] = _Kept(_params(config))
        return run_id

    def log_epoch(self, run_id: str, number: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch (from 1); `flush_if_due` or the trial's end writes them."""
        kept = self._kept.setdefault(run_id, _Kept())
        for metric in runs.metrics_of(metrics, number):
            kept.metrics.append(metric)
            if metric.key not in kept.last or metric.step >= kept.last[metric.key].step:
                kept.last[metric.key] = metric

    def log_deaths(self, run_id: str, deaths: Sequence[str]) -> None:
        """Write that workers died in this trial, which was given another one."""
        self._write(run_id, tags={runs.DEATHS: "; ".join(deaths)})

    def pause_trial(
        self, run_id: str, config: TrialConfig, curve: Sequence[Mapping[str, float]]
    ) -> None:
        """Write that a trial was laid aside after the epochs of ``curve``, all of them."""
        if run_id not in self._kept:  # an earlier process's: a kill kept back its last seconds
            name = next(iter(curve[-1]))
            known = {m.step for m in self.client.get_metric_history(run_id, name)}
            for number, metrics in enumerate(curve, 1):
                if number not in known:
                    self.log_epoch(run_id, number, metrics)
            if runs.REASON in self.client.get_run(run_id).data.tags:
                self.client.delete_tag(run_id, runs.REASON)  # who read the record closed the run
                self.client.set_tag(run_id, runs.KIND, "trial")
            kept = self._kept.setdefault(run_id, _Kept())
            kept.params = _params(config)
            kept.last = {one.key: one for one in runs.metrics_of(curve[-1], len(curve))}
        self._write(run_id, tags={runs.STATE: str(State.PAUSED)})
        self.client.update_run(run_id, status=runs.STATUS[State.PAUSED])

    def resume_trial(self, run_id: str) -> None:
        """Write that a trial that was laid aside goes on."""
        runs.write(self.client, run_id, tags=runs.tags_of({runs.STATE: str(State.RUNNING)}))
        self.client.update_run(run_id, status="RUNNING")

    def end_trial(
        self, row: Row, config: TrialConfig, facts: Facts, gate: Gate, outcome: Outcome
    ) -> Row:
        """Write what became of a trial, and return its row as it can be read back."""
        self.write_artifacts(row.run_id, config, facts, gate, outcome)
        return self.end_run(row, outcome)

    def write_artifacts(
        self, run_id: str, config: TrialConfig, facts: Facts, gate: Gate, outcome: Outcome
    ) -> None:
        """Write the trial's details, weights and models: all that stands before its end."""
        details = {
            "config": config.resolved().as_json(),
            "facts": asdict(facts),
            "curve": outcome.curve,
            "usage": gate.usage,
            "layers": gate.layers,
            "confusion": outcome.confusion,
        }
        self.client.log_dict(run_id, details, runs.DETAILS)
        for dtype, counts in outcome.confusion.items():
            table = _confusion_table(counts, facts.classes)
            self.client.log_text(run_id, table, f"confusion-{dtype}.csv")
        for name, found in outcome.analyses.items():
            self.client.log_dict(run_id, dict(found), runs.analysis_file(name))
        files = {runs.CHECKPOINT: outcome.checkpoint, FILTERS: _filters(outcome.onnx)}
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                if content is not None:
                    file = Path(folder) / name
                    file.write_bytes(content)
                    self.client.log_artifact(run_id, str(file))
        for name, model in ((runs.MODEL, outcome.onnx), (runs.MODEL_INT8, outcome.onnx_int8)):
            if model is not None:
                self._log_model(run_id, name, model, facts)

    def end_run(self, row: Row, outcome: Outcome) -> Row:
        """Write metrics and state, then the final status; return the row as it can be read back."""
        kept = self._kept.get(row.run_id, _Kept())
        last = {name: metric.value for name, metric in kept.last.items()}
        reason = row.reason[: runs.TAG_LIMIT] if row.reason else None
        row = dataclasses.replace(row, reason=reason, metrics={**last, **row.metrics})
        tags = {runs.STATE: str(row.state), runs.PRECISION: outcome.precision}
        if reason:
            tags[runs.REASON] = reason
        if self._shown is not None:
            tags |= views.run_tags(row, self._shown)
        self._write(row.run_id, outcome.metrics, tags)
        self.client.set_terminated(row.run_id, runs.STATUS[row.state])
        self._kept.pop(row.run_id, None)
        return row

    def flush_if_due(self) -> None:
        """Write what was kept back, if the last time is `FLUSH_SECONDS` ago."""
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()
        if self._outbox is not None:
            self._outbox.deliver_if_due()

    def flush(self) -> None:
        """Write what was kept back."""
        for run_id, kept in self._kept.items():
            if kept.params or kept.metrics:
                self._write(run_id)
        self._flushed = time.monotonic()

    def _write(
        self,
        run_id: str,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write what was kept back of a run, then ``metrics``, and ``tags`` last."""
        kept = self._kept.get(run_id, _Kept())
        figures = [*kept.metrics, *runs.metrics_of(metrics or {})]
        figures.sort(key=lambda one: one.key != OPENED_ON)
        runs.write(self.client, run_id, figures, kept.params, runs.tags_of(tags or {}))
        kept.params, kept.metrics = [], []

    def log_metrics(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Write further figures on a run: those of its finals, those of the test split."""
        runs.write(self.client, run_id, runs.metrics_of(figures))

    # What was left --------------------------------------------------------------------------

    def leave(self, run_id: str, reason: str) -> None:
        """Close the run of a trial that begins anew in another one: MLflow takes no epoch back."""
        self._write_kept(run_id)
        closing.leave(self.client, run_id, reason)

    def interrupt(self, run_id: str) -> None:
        """Close a run that was cut off, with the epochs it has; it will be tried again."""
        self._write_kept(run_id)
        closing.interrupt(self.client, self.experiment_id, run_id)

    def _write_kept(self, run_id: str) -> None:
        """Write what was kept back of a run for the last time."""
        if run_id in self._kept:
            self._write(run_id)
            del self._kept[run_id]

    def close_ended(self, run_id: str) -> Row | None:
        """Set the status of a run whose end was written, and return its row; None for others."""
        row = row_of(self.client.get_run(run_id))
        if not row.state.ended:
            return None
        self.client.set_terminated(run_id, runs.STATUS[row.state])
        self._kept.pop(run_id, None)
        return row

    def unfinished(self, kind: str = "trial") -> list[str]:
        """Return the ids of runs of a kind that still stand as running."""
        running = self._runs(f"tags.kind = '{kind}' and attributes.status = 'RUNNING'")
        return [run.info.run_id for run in running]

    # Models and the test split --------------------------------------------------------------

    def model_of(self, run_id: str, name: str = runs.MODEL) -> bytes:
        """Return an exported model of a finished trial: ``model`` or ``model-int8``."""
        return runs.download_model(self.client, self.client.get_run(run_id), name).read_bytes()

    def openings(self) -> list[dict[str, Any]]:
        """Return the openings of the study's test split, in order."""
        return openings(self.client, self.experiment_id)

    def open_test_split(self, by: str, details: Mapping[str, Any]) -> Opening:
        """Record that the test split is opened now, and return the permission to read it."""
        return open_test_split(self.client, self.experiment_id, by, details)

    def record_opening(self, opening: Opening) -> None:
        """Write an opening, over the one of the same time and command where it goes on."""
        record_opening(self.client, self.experiment_id, opening)

    def _runs(self, filter_string: str) -> list[Run]:
        return list(runs.search(self.client, self.experiment_id, filter_string))


def _params(config: TrialConfig) -> list[Param]:
    return [Param(key, str(value)) for key, value in config.params.items()]


def provenance_of(facts: Facts) -> dict[str, str]:
    """Return the tags that say where and on what a run was made."""
    commit = facts.environment.get("edgebench.git_commit", "unknown")
    return {
        **facts.environment,
        MLFLOW_SOURCE_NAME: "edgebench",
        MLFLOW_SOURCE_TYPE: SourceType.to_string(SourceType.LOCAL),
        **({} if commit == "unknown" else {MLFLOW_GIT_COMMIT: commit.rstrip("+")}),
        "dataset": facts.dataset,
        "dataset.digest": facts.dataset_digest,
    }


def _filters(model: bytes | None) -> bytes | None:
    """Return a picture of the first layer's filters, where a model has a first convolution."""
    weights = None if model is None else first_filters(onnx.load_from_string(model))
    return None if weights is None else filters_png(weights)


def _confusion_table(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Return a confusion matrix as CSV, which MLflow shows as a table."""
    rows = [
        {
            "true class": name,
            **{f"predicted {other}": n for other, n in zip(classes, line, strict=True)},
        }
        for name, line in zip(classes, counts, strict=True)
    ]
    return render(rows, "csv")


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
