"""What the front's members look like inside: their first layer, and whom they mistake for whom."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.analysis import first_filters
from edgebench.errors import EdgebenchError
from edgebench.record import Row, StudyRecord
from edgebench.report import front
from edgebench.scores import counted

if TYPE_CHECKING:
    import onnx

    from edgebench.tracking.reading import SavedRun

LOG = logging.getLogger(__name__)


def with_analyses(
    record: StudyRecord, *, tracking_uri: str | None = None, data_dir: Path | None = None
) -> StudyRecord:
    """Return the record with ``filters`` and ``confusion`` of the members of its front.

    The confusion is counted on the validation images, with the model that ships. Where a model or
    the data are no longer there, a warning says so and the member goes without.
    """
    from edgebench.tracking.reading import fetch_run

    members = {row.trial for row in front(record.rows, record.objectives)}
    rows = []
    for row in record.rows:
        seen = row
        if row.trial in members:
            try:
                seen = _seen(row, fetch_run(row.run_id, tracking_uri=tracking_uri), data_dir)
            except EdgebenchError as error:
                LOG.warning("%s goes without pictures of its inside: %s", row.name, error)
        rows.append(seen)
    return dataclasses.replace(record, rows=rows)


def _seen(row: Row, run: SavedRun, data_dir: Path | None) -> Row:
    import onnx

    model = onnx.load(run.onnx)
    filters = first_filters(model)
    return dataclasses.replace(
        row,
        filters=None if filters is None else filters.tolist(),
        confusion=_confusion(model, run, data_dir),
    )


def _confusion(model: onnx.ModelProto, run: SavedRun, data_dir: Path | None) -> list[list[int]]:
    from edgebench import data, export

    dataset = data.load(
        run.config.dataset,
        data_dir=data_dir,
        seed=run.config.split_seed,
        options=run.config.data_options,
    )
    images = export.Preprocessing(run.mean, run.std, run.classes).apply(
        dataset.validation.images.numpy()
    )
    answers = export.onnx_logits(model, images).argmax(1)
    found: list[list[int]] = counted(
        dataset.validation.labels.numpy(), answers, len(run.classes)
    ).tolist()
    return found
