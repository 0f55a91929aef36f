"""One study, one pair of stores: each knows the study's identity and where the other store is.

A study whose two halves come from different pairs would train configurations twice and have two
trials of one number, so that is refused before anything is written.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from mlflow import MlflowClient

from edgebench.errors import EdgebenchError, redacted
from edgebench.tracking import runs
from edgebench.tracking.servers import is_database_server
from edgebench.tracking.store import absolute, sqlite_path

IDENTITY = "edgebench.study_id"
STORAGE = "edgebench.storage"


@dataclass(frozen=True)
class Known:
    """What a store holds of a study: its identity, where its other store is, whether it has trials.

    A study that was begun by an older version has the identity "".
    """

    identity: str
    other: str
    empty: bool


def tracked(uri: str, study: str) -> Known | None:
    """Return what MLflow's store knows of a study, or None where it has no such study.

    Raises:
        EdgebenchError: What answers there is no MLflow server, or none of ours.
    """
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        return None
    if is_database_server(uri):
        runs.writer(uri)  # makes its tables
    found = runs.reader(uri).get_experiment_by_name(study)
    if found is None or runs.STUDY not in found.tags:
        return None
    return Known(found.tags.get(IDENTITY, ""), found.tags.get(STORAGE, "another store"), False)


def agreed(study: str, storage: str, uri: str, stored: Known | None, mlflows: Known | None) -> str:
    """Return the identity of a study by what Optuna's and MLflow's store know of it.

    Raises:
        EdgebenchError: They are not a pair.
    """
    ours, theirs = (redacted(absolute(address)) for address in (storage, uri))
    rename = f"or give this sweep another name with --set name={study}-2"
    if mlflows is not None and (stored is None or _differ(stored, mlflows)):
        raise EdgebenchError(
            f"the study '{study}' in {theirs} was recorded together with --storage "
            f"{mlflows.other}, not with {ours}: name that one, {rename}"
        )
    if mlflows is None and stored is not None and not stored.empty:
        raise EdgebenchError(
            f"the study '{study}' in {ours} was recorded together with --tracking-uri "
            f"{stored.other}, not with {theirs}: name that one, {rename}"
        )
    known = [one.identity for one in (stored, mlflows) if one is not None and one.identity]
    return known[0] if known else uuid.uuid4().hex


def _differ(stored: Known, mlflows: Known) -> bool:
    """Tell whether both have an identity, and not the same; an older version gave none."""
    return bool(stored.identity and mlflows.identity and stored.identity != mlflows.identity)


def mark(client: MlflowClient, experiment_id: str, identity: str, storage: str) -> None:
    """Write on a study's experiment which study it is, and where Optuna's half of it is.

    Raises:
        EdgebenchError: Another process has just done so, with another store.
    """
    experiment = client.get_experiment(experiment_id)
    tags = experiment.tags
    if tags.get(IDENTITY, identity) != identity:
        raise EdgebenchError(
            f"the study '{experiment.name}' was begun at this moment by another process, with "
            f"--storage {tags[STORAGE]}: name that one"
        )
    wanted = {IDENTITY: identity, STORAGE: redacted(absolute(storage))}
    for name, value in wanted.items():
        if tags.get(name) != value:
            client.set_experiment_tag(experiment_id, name, value)
