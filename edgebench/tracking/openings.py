"""The one door to the test split: every opening is recorded before an image is read.

A sweep's end, `edgebench finalize` and `edgebench export --split test` all ask here. Each opening
is a tag of the study's experiment, written in one step.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient

from edgebench.record import Opening

TAG = "edgebench.test_opening."


def openings(client: MlflowClient, experiment_id: str) -> list[dict[str, Any]]:
    """Return when, by what and for what the test split of a study was opened, in order."""
    tags = client.get_experiment(experiment_id).tags
    return [json.loads(tags[name]) for name in sorted(tags) if name.startswith(TAG)]


def open_test_split(
    client: MlflowClient, experiment_id: str, by: str, details: Mapping[str, Any]
) -> Opening:
    """Record that the test split is opened now, and return the permission to read it.

    ``by`` is the command; ``details`` say for which trials and what else is worth knowing.
    """
    opening = Opening(dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), by, dict(details))
    record_opening(client, experiment_id, len(openings(client, experiment_id)), opening)
    return opening


def record_opening(client: MlflowClient, experiment_id: str, index: int, opening: Opening) -> None:
    """Write the opening number ``index`` (from 0), anew where it goes on after a cut."""
    content = {"when": opening.when, "by": opening.by, **opening.details}
    client.set_experiment_tag(experiment_id, f"{TAG}{index:05d}", json.dumps(content))
