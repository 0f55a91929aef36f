"""The table of refused candidates: rows of the study that are no runs of MLflow.

A tight budget refuses ten candidates for one that is trained; as runs they would drown it. They
stand as JSON lines among the artifacts of the sweep's run, in parts of `PART` rows, so that what a
row costs does not grow with the table. The last part is written anew at each flush; a kill in
between loses rows that the search writes again from Optuna's store (`RefusedTable.complete`).
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from edgebench.record import Row, State
from edgebench.tracking.runs import local_artifact

LOG = logging.getLogger(__name__)
FOLDER = "refused"
PART = 500
"""Rows of one part."""
COLUMNS = ("trial", "run_id", "name", "state", "reason", "params", "metrics")
"""What is kept of a row: a candidate that is not trained has nothing else."""


@dataclass(frozen=True)
class Read:
    """The rows that the store holds, and whether every line of every part could be read."""

    rows: list[Row]
    whole: bool


class RefusedTable:
    """The refused candidates of one study, in the order in which they were refused."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        found = read_refused(client, client.get_run(run_id))
        self.rows = found.rows
        self._written = len(found.rows) if found.whole else 0

    def append(self, row: Row) -> None:
        """Add a row; it is in the store after the next `flush`."""
        self.rows.append(row)

    def complete(self, rows: Iterable[Row]) -> list[Row]:
        """Add those of ``rows`` that are missing, and return them: a kill lost them."""
        known = {row.trial for row in self.rows}
        missing = [row for row in rows if row.trial not in known]
        self.rows += missing
        return missing

    def flush(self) -> None:
        """Write what was added since the last flush, and the part that it begins in."""
        if len(self.rows) == self._written:
            return
        for part in range(self._written // PART, -(-len(self.rows) // PART)):
            lines = [_line(row) for row in self.rows[part * PART : (part + 1) * PART]]
            self._client.log_text(self._run_id, "".join(lines), f"{FOLDER}/{part:05d}.jsonl")
        self._written = len(self.rows)


def read_refused(client: MlflowClient, run: Run) -> Read:
    """Read the table of a sweep's run; a line that a kill cut short is left out, with a warning."""
    found: dict[int, Row] = {}
    whole = True
    for name, text in _parts(client, run):
        for line in text.splitlines():
            try:
                row = Row(**json.loads(line) | {"state": State.REFUSED})
            except (ValueError, TypeError):
                LOG.warning("a line of '%s' was cut short; the next sweep writes it again", name)
                whole = False
            else:
                found[row.trial] = row
    return Read(list(found.values()), whole)


def _parts(client: MlflowClient, run: Run) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each part, in order; one transfer brings all of them."""
    folder = local_artifact(run, FOLDER)
    if folder is not None:
        yield from _texts(folder)
    elif client.list_artifacts(run.info.run_id, FOLDER):
        with tempfile.TemporaryDirectory() as copy:
            yield from _texts(Path(client.download_artifacts(run.info.run_id, FOLDER, copy)))


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    for part in sorted(folder.glob("*.jsonl")):
        yield f"{FOLDER}/{part.name}", part.read_text(encoding="utf-8", errors="replace")


def _line(row: Row) -> str:
    return json.dumps({name: getattr(row, name) for name in COLUMNS}) + "\n"
