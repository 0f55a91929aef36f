"""The table of refused candidates: rows of the study that are no runs of MLflow.

A tight budget refuses ten candidates for one that is trained; as runs they would drown it. They
stand as JSON lines among the artifacts of the sweep's run, in parts of `PART` rows, so that what a
row costs does not grow with the table. The last part is written anew at each flush.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable

from mlflow import MlflowClient
from mlflow.entities import Run

from edgebench.record import Row, State
from edgebench.tracking.runs import download

LOG = logging.getLogger(__name__)
FOLDER = "refused"
PART = 500
"""Rows of one part."""


class RefusedTable:
    """The refused candidates of one study, in the order in which they were refused."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        self.rows = read_refused(client, client.get_run(run_id))
        self._written = len(self.rows)

    def append(self, row: Row) -> None:
        """Add a row; it is in the store after the next `flush`."""
        self.rows.append(row)

    def complete(self, rows: Iterable[Row]) -> None:
        """Add those of ``rows`` that are missing: a kill loses what was not flushed."""
        known = {row.trial for row in self.rows}
        self.rows += [row for row in rows if row.trial not in known]

    def flush(self) -> None:
        """Write what was added since the last flush, and the part that it begins in."""
        if len(self.rows) == self._written:
            return
        for part in range(self._written // PART, -(-len(self.rows) // PART)):
            lines = [_line(row) for row in self.rows[part * PART : (part + 1) * PART]]
            self._client.log_text(self._run_id, "".join(lines), f"{FOLDER}/{part:05d}.jsonl")
        self._written = len(self.rows)


def read_refused(client: MlflowClient, run: Run) -> list[Row]:
    """Return the rows that the store holds; a line that a kill cut short is left out."""
    parts = sorted(one.path for one in client.list_artifacts(run.info.run_id, FOLDER))
    found: dict[int, Row] = {}
    for part in parts:
        for line in download(client, run, part).read_text(encoding="utf-8").splitlines():
            try:
                row = Row(**json.loads(line) | {"state": State.REFUSED})
            except (ValueError, TypeError):
                LOG.warning("a line of '%s' was cut short; the next sweep writes it again", part)
            else:
                found[row.trial] = row
    return list(found.values())


def _line(row: Row) -> str:
    kept = ("trial", "run_id", "name", "state", "reason", "params", "metrics")
    content = {name: value for name, value in dataclasses.asdict(row).items() if name in kept}
    return json.dumps(content) + "\n"
