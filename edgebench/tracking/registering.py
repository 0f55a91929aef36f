"""MLflow's model registry: the model of a run under a name that others can ask for."""

from __future__ import annotations

import re

from mlflow.exceptions import MlflowException

from edgebench.errors import EdgebenchError
from edgebench.metrics import Dtype
from edgebench.tracking import runs
from edgebench.tracking.reading import deployed

MODEL = "edgebench.model"
"""The tag of a version that says which logged model it is."""


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
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.tags.get(MODEL) == model:
                return f"models:/{name}/{version.version}"
        source = f"models:/{model}"
        made = client.create_model_version(
            name, source, found.info.run_id, tags={MODEL: model}, model_id=model
        )
    except MlflowException as error:
        raise EdgebenchError(f"the model registry refuses '{name}': {error.message}") from error
    return f"models:/{name}/{made.version}"
