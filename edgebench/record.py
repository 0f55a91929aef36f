"""The record of a study as plain data: its objectives, its trials, what became of each."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

OPTUNA_STORE = "sqlite:///mlruns/optuna.db"
MLFLOW_STORE = "sqlite:///mlruns/mlflow.db"
"""Where a study is kept unless a command is told otherwise: in the folder it runs from."""

Scalar = bool | int | float | str
Goal = Literal["maximize", "minimize"]


class State(enum.StrEnum):
    """What became of a trial; the one list of states, for Optuna, MLflow and the report.

    ``REFUSED``: never trained, since its footprint is over the budget or it cannot be built.
    ``PRUNED``: stopped between two epochs, since it could not join the front any more.
    ``FAILED``: it could not be trained or proven. ``INTERRUPTED``: the command was cut off.
    """

    RUNNING = "running"
    FINISHED = "finished"
    REFUSED = "refused"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Tell whether the trial came to an end of its own, so that it is not tried again."""
        return self not in (State.RUNNING, State.INTERRUPTED)


@dataclass(frozen=True)
class Opening:
    """One reading of the test split: when (ISO 8601), by what, and what else belongs to it."""

    when: str
    by: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    """A metric that the study searched by, and the direction that is better."""

    name: str
    goal: Goal


@dataclass(frozen=True)
class Row:
    """One trial as recorded: its axes, its metrics, and what became of it.

    ``reason`` says why a trial was refused, failed or pruned; a finished row that carries a reason
    was trained and does not fit. ``curves`` holds one value an epoch. ``layers`` holds the
    operators in order, each with name, op, output_shape, parameters, macc and live_bytes (the
    activations alive while it runs). ``confusion`` counts images, true class by predicted class.
    ``filters`` has the first layer's weights as (out, in, height, width).
    """

    trial: int
    run_id: str
    name: str
    state: State
    reason: str | None
    params: Mapping[str, Scalar]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    layers: Sequence[Mapping[str, object]] = ()
    confusion: Sequence[Sequence[int]] | None = None
    filters: Sequence[object] | None = None

    @property
    def feasible(self) -> bool:
        """Tell whether the trial finished and nothing speaks against it."""
        return self.state == "finished" and self.reason is None


@dataclass(frozen=True)
class StudyRecord:
    """All that a report needs to know of a study.

    ``budget`` maps a footprint name without its slash (``rom_bytes``) to its limit; ``split_sizes``
    maps ``validation`` and ``test`` to image counts; ``provenance`` says how the footprints were
    obtained and ``convention`` by which rules.
    """

    study: str
    objectives: tuple[Objective, ...]
    rows: Sequence[Row]
    dataset: str = ""
    split_sizes: Mapping[str, int] = field(default_factory=dict)
    budget: Mapping[str, int] | None = None
    target: str | None = None
    provenance: str = ""
    convention: str = ""
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class Facts:
    """What a worker found: the data set and the machine."""

    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    dataset_digest: str
    split_sizes: Mapping[str, int]
    environment: Mapping[str, str]
