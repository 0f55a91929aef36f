"""The record of a study as plain data: its objectives, its trials, what became of each."""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench.metrics import Dtype, Goal, limited, metric_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd  # type: ignore[import-untyped]  # it ships no type information

__all__ = [
    "MLFLOW_STORE",
    "OPTUNA_STORE",
    "ClassContents",
    "Facts",
    "FigureAsked",
    "Goal",
    "Objective",
    "Opening",
    "Row",
    "Scalar",
    "State",
    "StudyRecord",
    "costs",
    "front",
]

OPTUNA_STORE = os.environ.get("EDGEBENCH_STORAGE") or "sqlite:///mlruns/optuna.db"
MLFLOW_STORE = os.environ.get("EDGEBENCH_TRACKING_URI") or "sqlite:///mlruns/mlflow.db"
"""Where a study is kept unless a command is told otherwise: in the folder it runs from, or where
the environment says. There an address with a password is seen by nobody else."""

Scalar = bool | int | float | str


class State(enum.StrEnum):
    """What became of a trial; the one list of states, for Optuna, MLflow and the report.

    ``REFUSED``: never trained, since its footprint is over the budget or it cannot be built.
    ``PRUNED``: stopped between two epochs, since it could not join the front any more.
    ``PAUSED``: trained in part; it goes on when it promises most.
    ``FAILED``: it could not be trained or proven. ``INTERRUPTED``: the command was cut off.
    """

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    REFUSED = "refused"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Tell whether the trial came to an end of its own, so that it is not tried again."""
        return self not in (State.RUNNING, State.PAUSED, State.INTERRUPTED)


@dataclass(frozen=True)
class Objective:
    """A metric that the study searched by, and the direction that is better."""

    name: str
    goal: Goal


@dataclass(frozen=True)
class FigureAsked:
    """A figure that a sweep file asks for.

    ``kind`` names how it is drawn and ``options`` what that kind is told; ``where`` narrows it to
    the trials that have one of the values of each axis named.
    """

    name: str
    kind: str
    title: str = ""
    where: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One trial as recorded: its axes, its metrics, and what became of it.

    ``reason`` says why a trial was refused, failed or pruned; a finished row that carries a reason
    was trained and does not fit. ``run_id`` is "" where the trial has no run of its own: a refused
    one, which has neither ``curves`` nor ``layers``. ``curves`` holds one value an epoch, as many
    as were trained. ``layers`` holds the operators in order, each with name, op, output_shape,
    parameters, macc and live_bytes (the activations alive while it runs), of the float32 model.
    ``confusion`` counts validation images, true class by predicted class, of the model in each data
    type. ``filters`` has the first layer's
    weights as (out, in, height, width). ``analyses`` has what each analysis of the training left.
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
    confusion: Mapping[Dtype, Sequence[Sequence[int]]] = field(default_factory=dict)
    filters: Sequence[object] | None = None
    analyses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Tell whether the trial finished and nothing speaks against it."""
        return self.state == State.FINISHED and self.reason is None

    def complete(self, names: Sequence[str]) -> bool:
        """Tell whether the trial has a finite value of each of the metrics ``names``."""
        return all(math.isfinite(self.metrics.get(name, math.nan)) for name in names)


def front(rows: Sequence[Row], objectives: Sequence[Objective]) -> list[Row]:
    """Return the feasible rows that no feasible row dominates, in the order given.

    A row dominates another when it is nowhere worse and somewhere better. Rows with equal
    objectives do not dominate each other, so all of them stay or none does. Rows that lack an
    objective, or have a non-finite one, take no part.
    """
    import numpy as np

    names = [goal.name for goal in objectives]
    candidates = [row for row in rows if row.feasible and row.complete(names)]
    if not candidates or not objectives:
        return []
    # Sorted, no point can dominate an earlier one: each is compared with the members so far.
    points, of_row = np.unique(costs(candidates, objectives), axis=0, return_inverse=True)
    members = np.empty_like(points)
    count = 0
    kept = np.zeros(len(points), dtype=bool)
    for index, point in enumerate(points):
        if not (members[:count] <= point).all(axis=1).any():
            members[count] = point
            count += 1
            kept[index] = True
    return [row for row, stays in zip(candidates, kept[of_row.ravel()], strict=True) if stays]


def costs(rows: Sequence[Row], objectives: Sequence[Objective]) -> npt.NDArray[np.float64]:
    """Return rows x objectives with every column turned so that less is better."""
    import numpy as np

    signs = [-1.0 if goal.goal == "maximize" else 1.0 for goal in objectives]
    return np.array(
        [[s * row.metrics[g.name] for s, g in zip(signs, objectives, strict=True)] for row in rows]
    )


@dataclass(frozen=True)
class StudyRecord:
    """All that a report needs to know of a study.

    ``budget`` maps the key of a footprint (``rom_bytes_int8``) to its limit; ``split_sizes`` maps
    ``validation`` and ``test`` to image counts; ``provenance`` says how the footprints were
    obtained, ``provenance_int8`` those of the int8 models, and ``convention`` by which rules;
    ``figures`` are those that its sweep file asks for; ``deployed`` is the data type of the model
    that ships where objectives and budget do not tell;
    ``remarks`` are sentences that a report adds to its notes; ``omitted`` says which files of the
    data set's folder are no part of it.
    """

    study: str
    objectives: tuple[Objective, ...]
    rows: Sequence[Row]
    dataset: str = ""
    split_sizes: Mapping[str, int] = field(default_factory=dict)
    budget: Mapping[str, float] | None = None
    target: str | None = None
    provenance: str = ""
    provenance_int8: str = ""
    convention: str = ""
    classes: Sequence[str] = ()
    deployed: Dtype | None = None
    figures: Sequence[FigureAsked] = ()
    remarks: Sequence[str] = ()
    omitted: Sequence[str] = ()

    @property
    def dtype(self) -> Dtype:
        """The data type of the model that ships: int8 where an objective or a limit is of int8.

        Every footprint, fit, axis, chart and verdict of a report is of the model in this type.
        """
        if self.deployed:
            return self.deployed
        named = [metric_of(goal.name) for goal in self.objectives]
        named += [metric for metric, _ in limited(self.budget)]
        return "int8" if any(metric.dtype == "int8" for metric in named) else "float32"

    def front(self) -> list[Row]:
        """Return the feasible trials that no other dominates, by the study's objectives."""
        return front(self.rows, self.objectives)

    def to_pandas(self) -> pd.DataFrame:
        """Return the study as a data frame, one row a trial.

        Its columns are ``trial, run_id, name, state, reason, on_front``, then a column for each
        parameter (``model.width``) and each metric (``footprint/rom_bytes``) of any trial; what a
        trial does not have is missing there.

        Raises:
            ModuleNotFoundError: pandas is not installed; it comes with MLflow.
        """
        import pandas as pd

        members = {row.trial for row in self.front()}
        columns = ["trial", "run_id", "name", "state", "reason", "on_front"]
        content = [
            {
                "trial": row.trial,
                "run_id": row.run_id,
                "name": row.name,
                "state": str(row.state),
                "reason": row.reason,
                "on_front": row.trial in members,
                **row.params,
                **row.metrics,
            }
            for row in self.rows
        ]
        more = dict.fromkeys(name for row in self.rows for name in (*row.params, *row.metrics))
        return pd.DataFrame(content, columns=[*columns, *more])


@dataclass(frozen=True)
class ClassContents:
    """What a data set holds of one class: its images in both parts, and a digest of all pixels."""

    training: int
    test: int
    digest: str


@dataclass(frozen=True)
class Facts:
    """What a worker found: the data set and the machine.

    ``dataset_digest`` is of the images as they are split, ``contents`` by class of the images as
    they were read; ``omitted`` says which files are no part of them.
    """

    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    dataset_digest: str
    split_sizes: Mapping[str, int]
    environment: Mapping[str, str]
    contents: Mapping[str, ClassContents] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opening:
    """The permission to read a test split, which only its record gives.

    Attributes:
        when: ISO time in UTC.
        by: The command that opened it.
        details: For which trials, seeds, ...; plain JSON data.
    """

    when: str
    by: str
    details: Mapping[str, object] = field(default_factory=dict)
