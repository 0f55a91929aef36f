"""The one door to the test split: every opening is recorded before an image is read.

A sweep's end, `edgebench finalize` and `edgebench export --split test` all ask here. Each opening
is a tag of the study's experiment, written in one step; tags of two commands that open it at the
same moment have different names, so neither is lost.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient

from edgebench.record import Opening

TAG = "edgebench.test_opening."


def openings(client: MlflowClient, experiment_id: str) -> list[dict[str, Any]]:
    """Return when, by what and for what the test split of a study was opened, in order."""
    return [json.loads(content) for _, content in _recorded(client, experiment_id)]


def open_test_split(
    client: MlflowClient, experiment_id: str, by: str, details: Mapping[str, Any]
) -> Opening:
    """Record that the test split is opened now, and return the permission to read it.

    ``by`` is the command; ``details`` say for which trials and what else is worth knowing.
    """
    opening = Opening(dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), by, dict(details))
    _write(client, experiment_id, _new_name(client, experiment_id), opening)
    return opening


def record_opening(client: MlflowClient, experiment_id: str, opening: Opening) -> None:
    """Write an opening, over the one of the same time and command where it goes on after a cut."""
    same = [
        name
        for name, text in _recorded(client, experiment_id)
        if (one := json.loads(text))["when"] == opening.when and one["by"] == opening.by
    ]
    name = same[0] if same else _new_name(client, experiment_id)
    _write(client, experiment_id, name, opening)


def _recorded(client: MlflowClient, experiment_id: str) -> list[tuple[str, str]]:
    tags = client.get_experiment(experiment_id).tags
    return [(name, tags[name]) for name in sorted(tags) if name.startswith(TAG)]


def _new_name(client: MlflowClient, experiment_id: str) -> str:
    """Return a tag's name that sorts behind those recorded, and that nobody else will choose."""
    return f"{TAG}{len(_recorded(client, experiment_id)):05d}.{uuid.uuid4().hex[:8]}"


def _write(client: MlflowClient, experiment_id: str, name: str, opening: Opening) -> None:
    content = {"when": opening.when, "by": opening.by, **opening.details}
    client.set_experiment_tag(experiment_id, name, json.dumps(content))
