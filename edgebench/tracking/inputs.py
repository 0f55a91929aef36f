"""The data set of a run as MLflow knows data sets: its Datasets column, and filters by name."""

from __future__ import annotations

import json

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from edgebench.record import Facts

PROFILE_LIMIT = 60_000
"""Characters of a profile that every store takes; longer lists of class names are left out."""


def input_of(facts: Facts) -> DatasetInput:
    """Return what a run was trained on: name, digest, shape, classes and the sizes of its splits.

    No path of this machine is in it: the digest says which images they were.
    """
    pixels = TensorSpec(np.dtype("uint8"), (-1, *facts.input_shape), "pixels")
    content: dict[str, object] = {
        "num_rows": sum(facts.split_sizes.values()),
        "splits": dict(facts.split_sizes),
        "classes": list(facts.classes),
    }
    if len(json.dumps(content)) > PROFILE_LIMIT:
        content["classes"] = len(facts.classes)
    dataset = Dataset(
        name=facts.dataset,
        digest=facts.dataset_digest,
        source_type="code",  # as `mlflow.data` names what a program made
        source=json.dumps({"tags": {"edgebench.dataset": facts.dataset}}),
        schema=json.dumps({"mlflow_tensorspec": {"features": Schema([pixels]).to_json()}}),
        profile=json.dumps(content),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
