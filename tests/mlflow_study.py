"""A record written to a real MLflow store as a sweep leaves it, without the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.record import Facts, Row, State, StudyRecord
from edgebench.space import Budget, Sweep, TrialConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from edgebench.tracking import StudyLog
    from edgebench.trial import Gate, Outcome


def write_study(folder: Path, record: StudyRecord) -> tuple[MlflowClient, str, StudyRecord]:
    """Write a finished sweep; returns the record as the store then holds it."""
    from edgebench.tracking import StudyLog

    log = StudyLog(store(folder), record.study)
    log.begin_sweep(sweep_of(record), facts_of(record), record.convention)
    for row in record.rows:
        write_row(log, row, record)
    log.end_sweep("FINISHED", {})
    return log.client, log.experiment_id, log.record()


def store(folder: Path) -> str:
    """Return the address of the store that `write_study` makes in ``folder``."""
    return f"sqlite:///{folder}/mlflow.db"


def sweep_of(record: StudyRecord) -> Sweep:
    """Return a sweep that could have left ``record``."""
    budget = Budget(record.budget, record.target) if record.budget else None
    objectives = tuple(record.objectives)
    return Sweep(
        record.study,
        record.dataset,
        "random",
        len(record.rows),
        objectives,
        budget,
        (),
        0,
        False,
        analysis=tuple(dict.fromkeys(name for row in record.rows for name in row.analyses)),
        figures=tuple(record.figures),
    )


def facts_of(record: StudyRecord, environment: Mapping[str, str] | None = None) -> Facts:
    """Return facts of images like those of CIFAR-10."""
    return Facts(
        input_shape=(3, 32, 32),
        classes=tuple(record.classes),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        dataset=record.dataset,
        dataset_digest="0123456789abcdef",
        split_sizes=record.split_sizes,
        environment=environment or {"torch.version": "2.9"},
    )


def gate_of(row: Row, record: StudyRecord) -> Gate:
    """Return what was known of the candidate of ``row`` before its training."""
    from edgebench.trial import Gate

    figures = {name: value for name, value in row.metrics.items() if name.startswith("footprint/")}
    return Gate(None, figures, {}, tuple(row.layers), record.convention, record.provenance)


def outcome_of(row: Row, **more: Any) -> Outcome:
    """Return what became of the candidate of ``row``, without a model."""
    from edgebench.trial import Outcome

    epochs = zip(*row.curves.values(), strict=True)
    curve = tuple(dict(zip(row.curves, values, strict=True)) for values in epochs)
    return Outcome(
        row.state, row.reason, row.metrics, curve, "float32", analyses=row.analyses, **more
    )


def begin(log: StudyLog, row: Row, record: StudyRecord) -> str:
    """Begin the trial of ``row`` and record its epochs; returns the run's id."""
    config = TrialConfig(row.params, record.dataset)
    run_id = log.begin_trial(row.trial, config, facts_of(record), row.name, gate_of(row, record))
    for number, epoch in enumerate(outcome_of(row).curve, 1):
        log.log_epoch(run_id, number, epoch)
    return run_id


def write_row(log: StudyLog, row: Row, record: StudyRecord, **more: Any) -> Row:
    """Write one row as its trial would have; returns it as it can be read back."""
    bare = dataclasses.replace(
        row,
        run_id="",
        state=State(row.state),
        curves={},
        layers=(),
        confusion={},
        filters=None,
        analyses={},
    )
    if row.state == State.REFUSED:
        log.refuse(bare)
        return bare
    bare = dataclasses.replace(bare, run_id=begin(log, row, record))
    return end(log, bare, row, record, **more)


def end(log: StudyLog, bare: Row, row: Row, record: StudyRecord, **more: Any) -> Row:
    """End the trial that was begun for ``row``; ``more`` is what else its outcome has."""
    config = TrialConfig(row.params, record.dataset)
    outcome = outcome_of(row, **more)
    return log.end_trial(bare, config, facts_of(record), gate_of(row, record), outcome)


def model_bytes() -> bytes:
    """Return a small ONNX file with an input and ten logits."""
    from onnx import TensorProto, helper

    shapes = {"input": ["batch", 10], "logits": ["batch", 10]}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    node = helper.make_node("Identity", ["input"], ["logits"])
    graph = helper.make_graph([node], "made", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString())
