"""MLflow is the record: every trial is written here once, by one process.

One experiment a study, one parent run a sweep, one child run a trial that was trained. The final
metrics and the state tag are written in one batch, which is the moment from which a trial counts
as done; its artifacts stand before it. What a trial costs does not depend on how many are recorded:
epochs are kept back and written together, and nothing recorded is read again.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from edgebench.errors import EdgebenchError
from edgebench.record import Facts, Opening, Row, State, StudyRecord
from edgebench.space import Sweep, TrialConfig
from edgebench.tracking import runs, views
from edgebench.tracking.openings import open_test_split, openings, record_opening
from edgebench.tracking.reading import described, details_of, rows_of, study_of
from edgebench.tracking.refused import RefusedTable
from edgebench.tracking.store import artifact_root

if TYPE_CHECKING:
    from edgebench.trial import Gate, Outcome

FLUSH_SECONDS = 2.0
"""The most of a running trial's curve, and of the refused rows, that a kill loses."""
CLASSES_LIMIT = 5000
"""Characters of a study's description beyond which its class names are left out of the tag."""


class StudyLog:
    """Writes one study: its experiment, the sweep's run, a run for each trial, what was refused."""

    def __init__(self, uri: str, study: str) -> None:
        self.client: MlflowClient = runs.writer(uri)
        self.study = study
        self.experiment_id = self._experiment(study, uri)
        mlflow.set_experiment(experiment_id=self.experiment_id)
        self.parent_id = ""
        self._tags: dict[str, str] = {}
        self._epochs: dict[str, list[Metric]] = {}
        self._flushed = time.monotonic()
        self._refused: RefusedTable | None = None
        self._record: StudyRecord | None = None
        self._described: StudyRecord | None = None
        self._new: list[Row] = []

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

    # The sweep ------------------------------------------------------------------------------

    def begin_sweep(self, sweep: Sweep, facts: Facts, convention: str) -> None:
        """Open the sweep's run, the same one each time the study goes on.

        ``convention`` says by which rules its candidates are measured.
        """
        content = {
            "format": runs.FORMAT,
            "objectives": [asdict(objective) for objective in sweep.objectives],
            "budget": dict(sweep.budget.limits) if sweep.budget else None,
            "target": sweep.budget.target if sweep.budget else None,
            "dataset": facts.dataset,
            "split_sizes": dict(facts.split_sizes),
            "classes": facts.classes,
            "convention": convention,
        }
        text = json.dumps(content)
        if len(text) > CLASSES_LIMIT:
            text = json.dumps(content | {"classes": []})
        self.client.set_experiment_tag(self.experiment_id, runs.STUDY, text)
        self._tags = _provenance(facts)
        parents = self._runs("tags.kind = 'sweep'")
        if parents:
            self.parent_id = parents[0].info.run_id
            self.client.update_run(self.parent_id, status="RUNNING")
        else:
            tags = {runs.KIND: "sweep", **self._tags}
            run = self.client.create_run(self.experiment_id, tags=tags, run_name=sweep.name)
            self.parent_id = run.info.run_id
        self._refused = RefusedTable(self.client, self.parent_id)
        limits = dict(sweep.budget.limits) if sweep.budget else None
        self._described = StudyRecord(sweep.name, sweep.objectives, (), budget=limits)

    def end_sweep(self, status: str, metrics: Mapping[str, float]) -> None:
        """Close the sweep's run as ``FINISHED``, ``FAILED`` or ``KILLED``, with its counts."""
        self.flush()
        self.client.log_batch(self.parent_id, metrics=runs.metrics_of(metrics))
        self.client.set_terminated(self.parent_id, status)

    # Trials ---------------------------------------------------------------------------------

    def begin_trial(self, number: int, config: TrialConfig, name: str, gate: Gate) -> str:
        """Create the run of a trial and return its id."""
        tags = {runs.KIND: "trial", runs.TRIAL: str(number), runs.PARENT: self.parent_id}
        return self._begin(name, config, {**self._tags, **tags, **_measured(gate)})

    def _begin(self, name: str, config: TrialConfig, tags: Mapping[str, str]) -> str:
        own = {runs.KEY: config.key, "seed": str(config.seed)}
        run = self.client.create_run(self.experiment_id, tags={**tags, **own}, run_name=name)
        params = [Param(key, str(value)) for key, value in config.params.items()]
        self.client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)

    def log_epoch(self, run_id: str, number: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch (from 1); `flush_if_due` or the trial's end writes them."""
        self._epochs.setdefault(run_id, []).extend(runs.metrics_of(metrics, number))

    def log_deaths(self, run_id: str, deaths: Sequence[str]) -> None:
        """Write that workers died in this trial, which begins anew; its curve does too."""
        self._epochs.pop(run_id, None)
        self.client.set_tag(run_id, runs.DEATHS, "; ".join(deaths)[: runs.TAG_LIMIT])

    def end_trial(
        self, row: Row, config: TrialConfig, facts: Facts, gate: Gate, outcome: Outcome
    ) -> None:
        """Write artifacts, then metrics and state in one batch, then the run's final status."""
        self.write_artifacts(row.run_id, config, facts, gate, outcome)
        self.end_run(row, outcome)

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
        }
        self.client.log_dict(run_id, details, runs.DETAILS)
        if outcome.checkpoint is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / runs.CHECKPOINT
                file.write_bytes(outcome.checkpoint)
                self.client.log_artifact(run_id, str(file))
        for name, model in ((runs.MODEL, outcome.onnx), (runs.MODEL_INT8, outcome.onnx_int8)):
            if model is not None:
                _log_model(run_id, name, model, facts)

    def end_run(self, row: Row, outcome: Outcome) -> None:
        """Write what became of a trial: from then on it counts as done."""
        said = {runs.STATE: row.state, runs.PRECISION: outcome.precision}
        if self._described is not None:
            said |= views.run_tags(row, self._described)
        if row.reason:
            said[runs.REASON] = row.reason[: runs.TAG_LIMIT]
        tags = [RunTag(name, value) for name, value in said.items()]
        metrics = [*self._epochs.pop(row.run_id, []), *runs.metrics_of(outcome.metrics)]
        *before, last = runs.batches(metrics) if metrics else [[]]
        for batch in before:
            self.client.log_batch(row.run_id, metrics=batch)
        self.client.log_batch(row.run_id, metrics=last, tags=tags)
        self.client.set_terminated(row.run_id, runs.STATUS[row.state])
        self._new.append(row)

    def refuse(self, row: Row) -> None:
        """Add a refused candidate to the table of the sweep's run."""
        assert self._refused is not None  # noqa: S101 - a sweep was begun
        self._refused.append(row)
        self._new.append(row)

    def refused_again(self, rows: Iterable[Row]) -> None:
        """Add the refused candidates that a kill kept from the table."""
        assert self._refused is not None  # noqa: S101 - a sweep was begun
        self._refused.complete(rows)

    def flush_if_due(self) -> None:
        """Write what was kept back, if the last time is `FLUSH_SECONDS` ago."""
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the epochs and the refused rows that were kept back."""
        for run_id, metrics in self._epochs.items():
            for batch in runs.batches(metrics):
                self.client.log_batch(run_id, metrics=batch)
        self._epochs.clear()
        if self._refused is not None:
            self._refused.flush()
        self._flushed = time.monotonic()

    # What was left --------------------------------------------------------------------------

    def interrupt(self, run_id: str) -> None:
        """Close a run that was cut off; what it trained will be tried again."""
        epochs = self._epochs.pop(run_id, [])
        tags = [
            RunTag(runs.STATE, State.INTERRUPTED),
            RunTag(runs.REASON, "the command was cut off in this run"),
        ]
        for batch in runs.batches(epochs):
            self.client.log_batch(run_id, metrics=batch)
        self.client.log_batch(run_id, tags=tags)
        self.client.set_terminated(run_id, "KILLED")

    def close_ended(self, run_id: str) -> Row | None:
        """Return the row of a run whose end was written but not its status, and set the status."""
        [row] = rows_of([self.client.get_run(run_id)])
        if not row.state.ended:
            return None
        self.client.set_terminated(run_id, runs.STATUS[row.state])
        return row

    def unfinished(self, kind: str = "trial") -> list[str]:
        """Return the ids of runs of a kind that still stand as running."""
        running = self._runs(f"tags.kind = '{kind}' and attributes.status = 'RUNNING'")
        return [run.info.run_id for run in running]

    def run_of(self, number: int) -> str | None:
        """Return the id of the last run of a trial, or None where none was made."""
        found = self._runs(f"tags.kind = 'trial' and tags.`{runs.TRIAL}` = '{number}'")
        return str(found[-1].info.run_id) if found else None

    # Finals and the test split --------------------------------------------------------------

    def begin_finals(self) -> None:
        """Find the sweep's run, under which finals stand, and close those that were cut off."""
        parents = self._runs("tags.kind = 'sweep'")
        self.parent_id = parents[0].info.run_id if parents else ""
        for run_id in self.unfinished("final"):
            if self.close_ended(run_id) is None:
                self.interrupt(run_id)

    def begin_final(
        self, trial: int, config: TrialConfig, facts: Facts, name: str, gate: Gate
    ) -> str:
        """Create the run that retrains a trial with the seed of ``config``, and return its id.

        Its kind is ``final``: it is no trial of the study and no row of its report.
        """
        tags = {**_provenance(facts), runs.KIND: "final", runs.TRIAL: str(trial)}
        tags |= {runs.PARENT: self.parent_id} if self.parent_id else {}
        return self._begin(name, config, {**tags, **_measured(gate)})

    def finals(self) -> dict[str, Row]:
        """Return the last final run of each configuration that came to an end, by its key."""
        ended = [run for run in self._runs("tags.kind = 'final'") if _ended(run)]
        return {run.data.tags[runs.KEY]: rows_of([run])[0] for run in ended}

    def log_metrics(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Write further figures on a run: those of its finals, those of the test split."""
        self.client.log_batch(run_id, metrics=runs.metrics_of(figures))
        self._record = None

    def recorded(self, run_id: str) -> tuple[TrialConfig, str]:
        """Return what a trial was, and the digest of the data set that it was trained on."""
        details = details_of(self.client, self.client.get_run(run_id))
        return TrialConfig(**details["config"]), str(details["facts"]["dataset_digest"])

    def openings(self) -> list[dict[str, Any]]:
        """Return the openings of the study's test split, in order."""
        return openings(self.client, self.experiment_id)

    def open_test_split(self, by: str, details: Mapping[str, Any]) -> Opening:
        """Record that the test split is opened now, and return the permission to read it."""
        return open_test_split(self.client, self.experiment_id, by, details)

    def record_opening(self, index: int, opening: Opening) -> None:
        """Write the opening number ``index``, anew where it goes on after a cut."""
        record_opening(self.client, self.experiment_id, index, opening)

    def model_of(self, run_id: str, name: str = runs.MODEL) -> bytes:
        """Return an exported model of a finished trial: ``model`` or ``model-int8``."""
        return runs.download_model(self.client, self.client.get_run(run_id), name).read_bytes()

    # Reading back ---------------------------------------------------------------------------

    def record(self) -> StudyRecord:
        """Return the study as recorded; read from the store once, and kept up to date since."""
        if self._record is None:
            self.flush()
            experiment = self.client.get_experiment(self.experiment_id)
            self._record = study_of(self.client, experiment)
        elif self._new:
            rows = {row.trial: row for row in (*self._record.rows, *self._new)}
            ordered = tuple(rows[number] for number in sorted(rows))
            self._record = StudyRecord(**{**vars(self._record), "rows": ordered})
        self._new.clear()
        return self._record

    def refresh_views(self, *, pictures: bool = False) -> None:
        """Bring the study's note and saved view up to date; never fails.

        ``pictures`` also writes the study's figures to the sweep's run.
        """
        record = self.record()
        views.refresh(self.client, self.experiment_id, record)
        if pictures and record.rows:
            views.log_pictures(self.client, self.parent_id, record)

    def _runs(self, filter_string: str) -> list[Run]:
        return list(runs.search(self.client, self.experiment_id, filter_string))


def _ended(run: Run) -> bool:
    state = run.data.tags.get(runs.STATE)
    return state in set(State) and State(state).ended


def _provenance(facts: Facts) -> dict[str, str]:
    """Return the tags that say where and on what a run was made."""
    return {
        **facts.environment,
        "dataset": facts.dataset,
        "dataset.digest": facts.dataset_digest,
    }


def _measured(gate: Gate) -> dict[str, str]:
    """Return the tags that say by which rules a candidate was measured."""
    return {runs.CONVENTION: gate.convention, runs.PROVENANCE: gate.provenance}


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
