"""Retrain the front, then open the test split, once and on the record."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.record import Opening
from edgebench.report import TEST, Finals, Member
from edgebench.search.dispatcher import Dispatcher
from edgebench.search.finals.plan import Plan
from edgebench.search.finals.retraining import Retraining
from edgebench.search.progress import Observer
from edgebench.search.settings import Settings
from edgebench.search.tasks import Judge
from edgebench.space import INT8
from edgebench.tracking import (
    MODEL,
    MODEL_INT8,
    FinalsLog,
    experiment_id_of,
    read_study,
)


def finalize(
    study: str,
    settings: Settings,
    observe: Observer,
    *,
    seeds: int = 3,
    again: bool = False,
    dataset: str | None = None,
) -> Finals:
    """Retrain the front of ``study`` with new seeds, then open the test split and compare.

    A final run that finished is never repeated; one that was cut off or failed is. The opening is
    recorded before the first test image is read, so that no look goes unrecorded.

    Args:
        study: Its name.
        settings: Where and how, as for the sweep; its storage says where the study's lock is.
        observe: Told what happens.
        seeds: How many trainings of each member.
        again: Open the test split although it was opened before.
        dataset: Where the images are now, if not where the sweep read them.

    Raises:
        EdgebenchError: No such study, no front, the test split was opened before, other images,
            or the study is being run by another process.
        CheckFailed: No final run finished; the test split stays closed.
        KeyboardInterrupt: Passed on after the runs under way have been closed.
    """
    if seeds < 1:
        raise EdgebenchError(f"--seeds {seeds}: at least 1 is needed; 3 give an interval")
    settings.check_stores()
    experiment_id_of(study, settings.tracking_uri)  # before anything is made
    with settings.alone(study), settings.open_pool() as pool:
        record = read_study(study, tracking_uri=settings.tracking_uri)
        log = FinalsLog(settings.tracking_uri, study)
        plan = Plan.of(record, log, seeds)
        openings = _openings(plan, log.openings(), study, again=again)
        last = openings[-1]
        dispatcher = Dispatcher(pool)
        facts = plan.facts(dispatcher, dataset, study)
        log.begin_finals()
        Retraining(plan, log, facts, dispatcher, observe, dataset).go()
        finals = plan.gather(log)
        if not any(member.finished for member in finals):
            raise CheckFailed(
                f"no final run of '{study}' finished; the test split stays closed",
                *(f"{m.row.name}, seed {s}: {r}" for m in finals for s, r in m.failed.items()),
            )
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        last = {"when": now, **last}  # the time at which it began stays
        opening = _recorded(log, last)
        _judge(plan, log, finals, dispatcher, dataset=dataset, opening=opening)
        finals = plan.gather(log)
        for member in finals:
            log.log_metrics(member.row.run_id, member.figures())
        openings[-1] = {**last, "complete": True}
        _recorded(log, openings[-1])
    return Finals(study, openings, finals, record.dtype)


def _recorded(log: FinalsLog, content: Mapping[str, Any]) -> Opening:
    """Write an opening of the test split, and return it."""
    details = {name: value for name, value in content.items() if name not in {"when", "by"}}
    opening = Opening(str(content["when"]), str(content["by"]), details)
    log.record_opening(opening)
    return opening


def _openings(
    plan: Plan, before: Sequence[Mapping[str, Any]], study: str, *, again: bool
) -> list[dict[str, Any]]:
    """Return the list with this opening at its end, or with the one that this goes on with.

    ``when`` is missing from a new one: that is known after the trainings.
    An opening that was cut off is not another one where it asks for the same members and seeds.

    Raises:
        EdgebenchError: The test split was opened before, and not ``again``.
    """
    openings = [dict(opening) for opening in before]
    asked: dict[str, list[int]] = {
        "seeds": list(plan.seeds),
        "trials": sorted(row.trial for row, _, _ in plan.members),
    }
    own = [one for one in openings if one["by"] == "finalize"]
    last = own[-1] if own else None
    if last and not last["complete"] and all(last[name] == asked[name] for name in asked):
        openings.remove(last)
        return [*openings, last]
    if last and not again:
        raise EdgebenchError(
            f"the test split of '{study}' was opened on {last['when']} by {last['by']} "
            f"(seeds {', '.join(map(str, last['seeds']))}); what it showed is in 'edgebench report "
            f"{study} --format json' under final/, and --again opens it once more, which is "
            "recorded too"
        )
    opening = {"by": "finalize", **asked, "again": bool(own), "complete": False}
    return [*openings, opening]


def _judge(
    plan: Plan,
    log: FinalsLog,
    finals: Sequence[Member],
    dispatcher: Dispatcher,
    *,
    dataset: str | None,
    opening: Opening,
) -> None:
    """Read the test split: every final run that finished, float and int8, each once."""
    for member, (_, config, _) in zip(finals, plan.members, strict=True):
        where = dataclasses.replace(config, dataset=dataset or config.dataset)
        names = {"": MODEL} | ({INT8: MODEL_INT8} if member.int8 else {})
        for run in member.finished:
            if all(f"{TEST}{suffix}" in run.metrics for suffix in names):
                continue
            models = {suffix: log.model_of(run.run_id, name) for suffix, name in names.items()}
            log.log_metrics(run.run_id, dispatcher.ask(Judge(where, models, opening)))
