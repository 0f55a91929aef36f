"""The end of a study: its models are measured on the test split, each once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edgebench.record import Facts
from edgebench.report import front
from edgebench.search.dispatcher import Dispatcher, WorkerDied
from edgebench.search.tasks import Judge
from edgebench.space import INT8, Sweep, TrialConfig
from edgebench.tracking import MODEL, MODEL_INT8, StudyLog

LOG = logging.getLogger(__name__)


def open_test_split(
    sweep: Sweep, log: StudyLog, dispatcher: Dispatcher, facts_of: Callable[[TrialConfig], Facts]
) -> None:
    """Measure what was not measured yet: the front's members, or all with ``test: all``."""
    models = {"": MODEL}
    if sweep.int8:
        models[INT8] = MODEL_INT8
    rows = log.record().rows
    members = front(rows, sweep.objectives)
    if sweep.test == "all":
        members = [row for row in rows if row.feasible]
    unread = [row for row in members if "test/accuracy" not in row.metrics]
    if not unread:
        return
    opening = log.open_test_split("sweep", {"trials": [row.trial for row in unread]})
    for row in unread:
        exported = {suffix: log.model_of(row.run_id, name) for suffix, name in models.items()}
        config = sweep.config(row.params)
        try:
            digest = facts_of(config).dataset_digest
            scores = dispatcher.ask(Judge(config, exported, opening, digest))
        except WorkerDied as death:
            LOG.warning("%s goes without a test accuracy: %s", row.name, death)
            continue
        log.log_metrics(row.run_id, scores)
