"""First-layer filters: what the best run of each group looks for in an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from matplotlib.figure import Figure

from edgebench.record import Row, StudyRecord
from edgebench.report.asked import FIGURE_KINDS, Axes, Picture
from edgebench.report.front import ranked
from edgebench.report.grouping import grouped, listed, named
from edgebench.report.sheet import Kernels, stretched


@FIGURE_KINDS.register
def filters(
    record: StudyRecord,
    title: str,
    *,
    by: Axes = "",
    most: Annotated[int, Ge(1), Le(256)] = 64,
) -> Picture | None:
    """Draw the first ``most`` filters of the best run of each group, by the analysis ``filters``.

    Each filter is stretched to its own range, so brightness compares within a filter only; filters
    of three channels are in colour, others in the grey of their mean.
    """
    axes = listed(by)
    found: list[tuple[str, Row, Kernels]] = []
    for key, members in grouped(record, axes).items():
        seen = [row for row in members if row.analyses.get("filters", {}).get("filters")]
        for row in ranked(seen, record.objectives)[:1]:
            kernels = np.asarray(row.analyses["filters"]["filters"][:most], dtype=np.float64)
            found.append((named(axes, key), row, kernels))
    if not found:
        return None
    rows = [line for name, row, kernels in found for line in _rows(name, row, kernels)]
    return Picture(_drawn(title, found), rows)


def _rows(name: str, row: Row, kernels: Kernels) -> Iterator[dict[str, object]]:
    for (number, channel, down, across), weight in np.ndenumerate(kernels):
        yield {"group": name, "trial": row.trial, "filter": number, "channel": channel,
               "row": down, "column": across, "weight": weight}  # fmt: skip


def _drawn(title: str, found: Sequence[tuple[str, Row, Kernels]]) -> Figure:
    across = max(int(np.ceil(np.sqrt(len(kernels) * 1.6))) for _, _, kernels in found)
    downs = [int(np.ceil(len(kernels) / across)) for _, _, kernels in found]
    size = (max(4.5, 0.55 * across), 0.55 * sum(downs) + 0.35 * len(found) + 0.4)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    parts = figure.subfigures(len(found), 1, squeeze=False, height_ratios=downs)[:, 0]
    for part, down, (name, row, kernels) in zip(parts, downs, found, strict=True):
        part.suptitle(f"{name or row.name}: {len(kernels)} filters", fontsize=8)
        cells = np.atleast_1d(part.subplots(down, across, squeeze=False)).ravel()
        for cell in cells:
            cell.set_axis_off()
        for cell, kernel in zip(cells, kernels, strict=False):
            cell.imshow(stretched(kernel), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    figure.suptitle(title, fontsize=11)
    return figure
