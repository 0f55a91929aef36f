"""Runs that a cut left open: whoever meets them, to go on or to read, gives them their last status.

A coordinator that is killed, or whose database goes away, leaves its sweep's run and its trials'
runs as running. Nobody is at work on them where the study's lock is free, or where a server, which
cannot be locked, has heard nothing of the study for long.
"""

from __future__ import annotations

import json
import logging
import time

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from edgebench.record import State
from edgebench.tracking import runs, views
from edgebench.tracking.lock import locked_if_free
from edgebench.tracking.servers import reason_of

LOG = logging.getLogger(__name__)
SILENCE_SECONDS = 900.0
"""A coordinator refreshes its study's views more often than this."""


def close_abandoned(client: MlflowClient, uri: str, experiment: Experiment) -> int:
    """Close the runs of a study that nobody is at work on; return how many there were."""
    found = list(runs.search(client, experiment.experiment_id, "attributes.status = 'RUNNING'"))
    mine = [run for run in found if runs.KIND in run.data.tags]
    if not mine:
        return 0
    with locked_if_free(experiment.name, uri) as free:
        if not (free or _silent(uri, experiment)):
            return 0
        try:
            for run in mine:
                _close(client, run)
        except MlflowException as error:  # who reads need not be able to write
            LOG.warning("'%s' stands as running and is not: %s", experiment.name, reason_of(error))
            return 0
    LOG.warning(
        "the study '%s' was cut off: %d runs that stood as running are closed; the command that "
        "ran it goes on with it",
        experiment.name,
        len(mine),
    )
    return len(mine)


def interrupt(client: MlflowClient, experiment_id: str, run_id: str) -> None:
    """Close a run that was cut off; what it trained will be tried again.

    Models that were logged before the cut belong to no finished trial, and are deleted.
    """
    mine = f"source_run_id = '{run_id}'"
    for model in client.search_logged_models([experiment_id], mine):
        client.delete_logged_model(model.model_id)
    leave(client, run_id, "the command was cut off in this run")


def leave(client: MlflowClient, run_id: str, reason: str) -> None:
    """Close a run that is not gone on with; this asks nothing, so it can wait in a journal.

    The run's kind is no longer ``trial``, so the study's view in MLflow does not list it.
    """
    state = State.INTERRUPTED.value
    tags = {runs.STATE: state, runs.REASON: reason}
    runs.write(client, run_id, tags=runs.tags_of(tags))
    client.set_terminated(run_id, runs.STATUS[State.INTERRUPTED])
    # Last: until then it is found and closed again.
    runs.write(client, run_id, tags=runs.tags_of({runs.KIND: state}))


def _close(client: MlflowClient, run: Run) -> None:
    tags = run.data.tags
    state = State(tags.get(runs.STATE, State.RUNNING))
    if tags[runs.KIND] == "sweep":
        client.set_terminated(run.info.run_id, "KILLED")
    elif state.ended:
        client.set_terminated(run.info.run_id, runs.STATUS[state])
    else:
        interrupt(client, run.info.experiment_id, run.info.run_id)


def _silent(uri: str, experiment: Experiment) -> bool:
    """Tell whether a store that cannot be locked has heard nothing of a study for long."""
    if not uri.startswith("http"):
        return False
    view = json.loads(experiment.tags.get(views.VIEW_TAG, "{}"))
    refreshed: float = view.get("updatedAt", time.time() * 1000) / 1000
    return time.time() - refreshed > SILENCE_SECONDS
