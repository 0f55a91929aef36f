"""What a study looks like in the MLflow UI: links, a saved view, notes.

Links and views follow the UI of MLflow 3.17; the format of a saved view is not documented, so
everything that writes here is best effort: it logs what went wrong and never raises.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgebench.markup import escaped
from edgebench.metrics import charted
from edgebench.record import Row, StudyRecord
from edgebench.report import (
    front,
    listed,
    metrics_shown,
    notes,
    render,
    table_one,
    trials,
    verdict,
)
from edgebench.tracking.servers import reason_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOG = logging.getLogger(__name__)
TRIALS = "tags.kind = 'trial'"
VIEW = "edgebench"  # the key of the saved view: one a study, rewritten as it goes
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
NOTE_TAG = "mlflow.note.content"
SECTION = "trade-offs"  # of the charts
LONGEST_NOTE = 18_000  # characters; MLflow refuses an experiment tag of more than 20,000


def comparison_url(
    base: str,
    experiment_id: str,
    *,
    metric: str = "val/accuracy_best",
    mode: str = "CHART",
    saved_view: bool = True,
) -> str:
    """Return the link to a study's trials, best ``metric`` first, as ``CHART`` or ``TABLE``.

    With ``saved_view`` it asks for the view that `refresh` wrote, and for nothing else: any filter
    in the link makes the UI pass over the view. Without, it sorts by the metric, which flattens
    the list; sorted by time, the UI folds the trials under their parent and draws empty charts.
    """
    asked = [
        "workflowType=machine_learning",  # else the UI opens on its page of traces
        f"compareRunsMode={mode}",
    ]
    if saved_view:
        asked.append(f"viewStateShareKey={VIEW}")
    else:
        asked.append(f"searchFilter={quote(TRIALS)}")
        asked.append(f"orderByKey={quote(f'metrics.`{metric}`')}&orderByAsc=false")
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{'&'.join(asked)}"


def front_url(base: str, experiment_id: str, run_ids: Sequence[str]) -> str:
    """Return the link that compares runs side by side: the members of a front."""
    runs, experiments = quote(json.dumps(list(run_ids))), quote(json.dumps([experiment_id]))
    return f"{base.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}"


def links(
    base: str, experiment_id: str, record: StudyRecord, *, saved_view: bool = True
) -> dict[str, str]:
    """Return the links worth printing: ``comparison``, and ``front`` when it has two members.

    ``saved_view`` is what `refresh` returned.
    """
    metric = metrics_shown(record)[0]
    link = comparison_url(base, experiment_id, metric=metric, saved_view=saved_view)
    found = {"comparison": link}
    members = [row.run_id for row in front(record.rows, record.objectives) if row.run_id]
    if len(members) > 1:
        found["front"] = front_url(base, experiment_id, members)
    return found


def run_tags(row: Row, record: StudyRecord) -> dict[str, str]:
    """Return the tags that let a run speak for itself: its table row, and whether it fits."""
    [shown] = trials(record, [row])
    del shown["front"]  # true of the study as it stands, not of the run
    return {NOTE_TAG: render([shown], "markdown"), "fits": verdict(row, record)}


def note(record: StudyRecord) -> str:
    """Return the experiment's description in Markdown: the front, the trials, how to read them."""
    head = [f"### {record.study}", "", *(f"- {escaped(line)}" for line in notes(record)), ""]
    members = table_one(record)
    if members:
        head += [render(members, "markdown", title="The front")]
    rows, refused = listed(record)
    head += [f"{refused}\n"] if refused else []
    lines = render(trials(record, rows), "markdown", title="Trials").splitlines()
    room = LONGEST_NOTE - len("\n".join(head)) - 100
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    more = [f"\n{left} more trials: `edgebench report {record.study}`."] if left else []
    return "\n".join([*head, *kept, *more])[:LONGEST_NOTE]


def refresh(client: MlflowClient, experiment_id: str, record: StudyRecord) -> bool:
    """Write the experiment's note and saved view, and return whether that went well.

    What fails is logged, nothing raises.
    """
    try:
        client.set_experiment_tag(experiment_id, NOTE_TAG, note(record))
        save_view(client, experiment_id, record)
    except Exception as error:  # noqa: BLE001 - a view must never be able to fail a sweep
        LOG.warning("the MLflow view of %s was not refreshed: %s", record.study, reason_of(error))
        return False
    return True


def log_pictures(client: MlflowClient, run_id: str, record: StudyRecord) -> bool:
    """Log the study's pictures on a run (the sweep's parent), best effort as `refresh`."""
    from edgebench.report import asked_figures, figures, render

    try:
        for stem, figure in figures(record):
            client.log_figure(run_id, figure, f"pictures/{stem}.png")
        for name, picture in asked_figures(record):
            client.log_figure(run_id, picture.figure, f"figures/{name}.png")
            client.log_text(run_id, render(list(picture.rows), "csv"), f"figures/{name}.csv")
    except Exception as error:  # noqa: BLE001 - a picture must never be able to fail a sweep
        LOG.warning("the pictures of %s were not logged: %s", record.study, reason_of(error))
        return False
    return True


def save_view(client: MlflowClient, experiment_id: str, record: StudyRecord) -> None:
    """Write the view `comparison_url` asks for: an experiment tag with the UI's own state."""
    packed = zlib.compress(json.dumps(view_state(record)).encode())
    now = int(time.time() * 1000)
    view = {
        "name": "Trade-offs",
        "createdAt": now,
        "updatedAt": now,
        "state": f"deflate;{base64.b64encode(packed).decode()}",
    }
    client.set_experiment_tag(experiment_id, VIEW_TAG, json.dumps(view))


def _charts(record: StudyRecord, accuracy: str) -> list[dict[str, Any]]:
    """Return a scatter of accuracy against each cost that some row of the study has."""
    costs = [
        cost
        for cost in charted(record.dtype)
        if any(cost.name in row.metrics for row in record.rows)
    ]
    return [
        {
            "uuid": f"trade-off-{index}",
            "type": "SCATTER",
            "metricSectionId": SECTION,
            "runsCountToCompare": 100,
            "deleted": False,
            "isGenerated": False,
            "xaxis": {"key": cost.name, "type": "METRIC"},
            "yaxis": {"key": accuracy, "type": "METRIC"},
            "tooltipDataKeys": [],
        }
        for index, cost in enumerate(costs)
    ]


def view_state(record: StudyRecord) -> dict[str, Any]:
    """Return the UI's state: our columns, sorted by accuracy, and accuracy against each cost."""
    shown = metrics_shown(record)
    return {
        "searchFilter": TRIALS,
        "orderByKey": f"metrics.`{shown[0]}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        # No params: tags stand right of them, and ``fits`` would be out of sight.
        "selectedColumns": [*(f"metrics.`{name}`" for name in shown), "tags.`fits`"],
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": _charts(record, shown[0]),
        "compareRunSections": [
            {
                "uuid": SECTION,
                "name": "Trade-offs",
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
            }
        ],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
        "chartsSearchFilter": "",
    }
