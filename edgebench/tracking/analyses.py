"""What the front's members look like inside: their first layer."""

from __future__ import annotations

import dataclasses
import logging

from edgebench.analysis import first_filters
from edgebench.errors import EdgebenchError
from edgebench.record import Row, StudyRecord
from edgebench.report import front

LOG = logging.getLogger(__name__)


def with_filters(record: StudyRecord, *, tracking_uri: str | None = None) -> StudyRecord:
    """Return the record with the first layer's filters of the members of its front.

    Where a model is no longer there, a warning says so and the member goes without.
    """
    members = {row.trial for row in front(record.rows, record.objectives)}
    rows = []
    for row in record.rows:
        seen = row
        if row.trial in members:
            try:
                seen = _seen(row, tracking_uri)
            except EdgebenchError as error:
                LOG.warning("%s goes without a picture of its filters: %s", row.name, error)
        rows.append(seen)
    return dataclasses.replace(record, rows=rows)


def _seen(row: Row, tracking_uri: str | None) -> Row:
    import onnx

    from edgebench.tracking.reading import fetch_onnx

    filters = first_filters(onnx.load(fetch_onnx(row.run_id, "float32", tracking_uri=tracking_uri)))
    return dataclasses.replace(row, filters=None if filters is None else filters.tolist())
