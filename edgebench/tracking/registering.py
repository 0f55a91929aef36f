"""MLflow's model registry: the model of a run under a name that others can ask for."""

from __future__ import annotations

import re

import mlflow
from mlflow.exceptions import MlflowException

from edgebench.errors import EdgebenchError
from edgebench.metrics import Dtype
from edgebench.tracking import runs
from edgebench.tracking.reading import deployed


def register(
    run: str, name: str, dtype: Dtype | None = None, *, tracking_uri: str | None = None
) -> str:
    """Register the model that a run logged and proved; return ``models:/NAME/VERSION``.

    A model that is registered under this name already keeps its version.

    Args:
        run: A run id, ``STUDY:NUMBER`` or ``STUDY:best``.
        name: Of the registered model, which is made where there is none.
        dtype: ``float32`` or ``int8``; by default what the run's study deploys.
        tracking_uri: The record; ``mlruns/`` by default.

    Raises:
        EdgebenchError: No such run or model, or the registry refuses the name.
    """
    if not re.fullmatch(r"[\w.\- ]{1,200}", name):
        raise EdgebenchError(
            f"--register: '{name}' is no name; write letters, digits, '-', '_' and '.'"
        )
    client, found, logged = deployed(run, dtype, tracking_uri=tracking_uri)
    model = runs.logged_model(client, found, logged)
    try:
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.model_id == model:
                return f"models:/{name}/{version.version}"
        made = mlflow.register_model(f"models:/{model}", name)
    except MlflowException as error:
        raise EdgebenchError(f"the model registry refuses '{name}': {error.message}") from error
    return f"models:/{name}/{made.version}"
