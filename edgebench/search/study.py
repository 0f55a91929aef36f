"""A study: its stores are opened, its data looked at, and a coordinator runs or continues it."""

from __future__ import annotations

import logging
from itertools import zip_longest

from edgebench.collector import paused
from edgebench.errors import EdgebenchError, redacted, unknown
from edgebench.footprint import CONVENTIONS
from edgebench.metrics import METRICS
from edgebench.record import Facts, Row, StudyRecord
from edgebench.report import ranked, too_few
from edgebench.scores import CLASSES_LISTED, recall_name
from edgebench.search.coordinator import Coordinator
from edgebench.search.curves import NEWEST
from edgebench.search.dispatcher import Dispatcher
from edgebench.search.found import Found
from edgebench.search.progress import Observer
from edgebench.search.repeats import Repeats
from edgebench.search.sampler import Sampler
from edgebench.search.settings import Settings
from edgebench.search.stopping import EARLY_STOPPING
from edgebench.search.tasks import Prepare
from edgebench.space import INT8, Sweep, TrialConfig
from edgebench.tracking import (
    END_SECONDS,
    StudyLog,
    absolute,
    agreed,
    best_value,
    read_study,
    stores_reached,
    tracked,
)

LOG = logging.getLogger(__name__)


def search(sweep: Sweep, settings: Settings, observe: Observer) -> StudyRecord:
    """Run or continue the study of ``sweep`` until its cap, its end or the timeout.

    Raises:
        EdgebenchError: The data cannot be read, the study holds another search, another process
            is running it, or a study that a range is taken from has no best trial.
        KeyboardInterrupt: Passed on after the running trials have been closed.
    """
    settings.check_stores()
    sweep = sweep.narrowed(
        lambda study, axis: best_value(study, axis, tracking_uri=settings.tracking_uri)
    )
    trained: list[Row] = []
    stopping = EARLY_STOPPING[sweep.early_stop](sweep, trained)
    with settings.open_pool() as pool:
        dispatcher = Dispatcher(pool, stopping, sweep.analysis)
        first = sweep.first()
        facts: Facts = dispatcher.ask(Prepare(first))  # before any store is made
        _check_classes(sweep, facts)
        few = too_few(facts.split_sizes.get("validation", 0))
        if few:
            LOG.warning(few)
        for line in facts.omitted:
            LOG.warning("%s: %s", facts.dataset, line)
        with (
            stores_reached(settings.tracking_uri, settings.storage),
            settings.alone(sweep.name) as lock,
        ):
            with paused():  # all that was recorded becomes objects at once
                sampler, log = _stores(sweep, settings)
                convention = f"{sweep.convention} ({CONVENTIONS[sweep.convention].title})"
                log.begin_sweep(sweep, facts, convention)
                learned = (stopping is not None, sweep.method == "edgebench", sweep.stop_when)
                if any(learned) or sweep.repeats > 1:
                    trained += log.trained(NEWEST)
            known = {first.data_key: facts}
            running = Coordinator(sampler, log, dispatcher, settings, observe, lock, known, trained)
            running.in_rungs()
            status = "KILLED"
            try:
                running.recover()
                running.found = Found(sweep, log.record().rows, trained)
                if sweep.repeats > 1:
                    running.repeats = Repeats(sweep, log, trained)
                dispatcher.run(running, running.rungs)
                log.deliver(END_SECONDS)
                running.open_test_split()
                status = "FINISHED"
            finally:
                # An interruption may strike anywhere, between the stores too. Where MLflow's server
                # is away, the next start settles this.
                if not log.owes:
                    running.recover()
                    log.end_sweep(status, running.counts())
                    log.refresh_views(pictures=status == "FINISHED")
            return log.record()


def _check_classes(sweep: Sweep, facts: Facts) -> None:
    """Raise EdgebenchError where an objective is the recall of a class that the data have not."""
    mistakes = []
    for objective in sweep.objectives:
        known = {
            recall_name(name, "val", suffix): name
            for suffix in ("", INT8)
            for name in facts.classes
        }
        name = objective.name
        if name not in METRICS and (name not in known or len(facts.classes) > CLASSES_LISTED):
            mistakes.append(f"{name}: {unknown('class', name.split('/', 2)[2], facts.classes)}")
    if mistakes:
        raise EdgebenchError(*mistakes)


def _stores(sweep: Sweep, settings: Settings) -> tuple[Sampler, StudyLog]:
    """Open both stores, which must be a pair; neither is made where they are none."""
    storage, uri = settings.storage, settings.tracking_uri
    first = _adopted(sweep, uri) if sweep.warm_start else ()
    known = tracked(uri, sweep.name)
    sampler = Sampler(
        sweep,
        storage,
        lambda stored: agreed(sweep.name, storage, uri, stored, known),
        redacted(absolute(uri)),
        first,
    )
    log = StudyLog(uri, sweep.name, settings.journal(sweep.name))
    log.pair(sampler.identity, storage)
    return sampler, log


def _adopted(sweep: Sweep, uri: str) -> list[TrialConfig]:
    """Return what the fronts of other studies come to in this search, the best of each in turn.

    Raises:
        EdgebenchError: There is no such study.
    """
    fronts = []
    for name in sweep.warm_start:
        record = read_study(name, tracking_uri=uri)
        rows = ranked(record.front(), record.objectives)
        found = [sweep.adopted(row.params) for row in rows]
        fronts.append([config for config in found if config is not None])
        if rows and not fronts[-1]:
            LOG.warning("warm_start: none of the front of '%s' is in this search", name)
    in_turn = [config for level in zip_longest(*fronts) for config in level if config is not None]
    return list({config.key: config for config in in_turn}.values())
