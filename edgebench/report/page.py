"""The what-if page: one HTML file that tells which model fits, offline, from the record."""

from __future__ import annotations

import base64
import html
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from edgebench.metrics import (
    Dtype,
    Metric,
    charted,
    deciding,
    estimated,
    in_dtype,
    limited,
    metric_of,
)
from edgebench.record import Row, StudyRecord
from edgebench.report.asked import asked_figures
from edgebench.report.boards import Board, fit_matrix
from edgebench.report.document import notes
from edgebench.report.rows import axes_shown, images_behind, metrics_shown, verdict
from edgebench.report.table import plain, render
from edgebench.units import quantity, text

WEB = Path(__file__).parent / "web"
SCRIPTS = ("front.js", "drawing.js", "page.js")  # one script, in this order
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
LAYER_KEYS = ("name", "op", "output_shape", "parameters", "macc", "live_bytes")


def page(record: StudyRecord, boards: Sequence[Board] = (), *, units: str = "decimal") -> str:
    """Return the whole page; nothing in it is fetched from anywhere.

    The data stand in it as plain JSON, the drawing library (plotly.js, from the plotly package)
    deflated, which makes a page of about 2 MB.
    """
    parts = {
        "TITLE": html.escape(f"{record.study}: which model fits?"),
        "STYLE": _file("page.css"),
        "DATA": _embedded(data(record, boards, units=units)),
        "DTYPE": record.dtype,
        "FIGURES": _asked(record),
        "MATRIX": render(fit_matrix(record, boards), "html", units=units) if boards else "",
        "LIBRARY": _library(),
        "SCRIPT": "".join(map(_file, SCRIPTS)),
    }
    frame = _file("page.html")
    pieces = frame.split("%%")  # text and names of parts alternate, so no part is searched again
    return "".join(parts[p] if i % 2 else p for i, p in enumerate(pieces))


def data(record: StudyRecord, boards: Sequence[Board], *, units: str) -> dict[str, object]:
    """Return what the page shows, with exact numbers; equal lists of layers are stored once."""
    members = {row.trial for row in record.front()}
    axes = axes_shown(record.rows)
    stored: dict[str, int] = {}
    shapes: list[object] = []
    rows = []
    for row in record.rows:
        layers = [[plain(layer.get(key)) for key in LAYER_KEYS] for layer in row.layers]
        key = json.dumps(layers)
        if layers and key not in stored:
            stored[key] = len(shapes)
            shapes.append(layers)
        rows.append(
            _row(row, record, on_front=row.trial in members, units=units)
            | {"layers": stored.get(key)}
        )
    return {
        "study": record.study,
        "units": units,
        "dtype": record.dtype,
        "objectives": [[goal.name, goal.goal] for goal in record.objectives],
        "notes": notes(record),
        "axes": axes,
        "metrics": metrics_shown(record),
        "figures": _figures(record),
        "limits": _limits(record),
        "boards": [[board.name, board.flash_bytes, board.ram_bytes] for board in boards],
        "target": record.target,
        "rows": rows,
        "layers": shapes,
    }


def _figures(record: StudyRecord) -> dict[str, dict[str, object]]:
    """Return what the table of metrics says of every figure of the record, by its name."""
    recorded = {name for row in record.rows for name in (*row.metrics, *row.curves)}
    recorded |= {goal.name for goal in record.objectives}
    known = {name: metric_of(name) for name in sorted(recorded)}
    return {
        name: {
            "title": metric.title,
            "unit": metric.unit,
            "goal": metric.goal,
            "dtype": metric.dtype,
            "twin": metric.twin if metric.twin in recorded else "",
            "images": images_behind(name, record),
            "per_epoch": metric.per_epoch,
        }
        for name, metric in known.items()
    }


def _limits(record: StudyRecord) -> list[dict[str, object]]:
    """Return the sliders: the costs that are charted, and whatever else the budget limits.

    Each has, by data type, its figure (``least``) and the one that decides (``names``: the upper
    figure where a board's memory is the limit), the memory of a board that sets it, and the study's
    own limit. One on the estimate of a memory gives way where a board is chosen. A limit on the
    model that does not ship bounds the same figure in either type.
    """
    bounds = {metric.name: limit for metric, limit in limited(record.budget)}
    recorded = {name for row in record.rows for name in row.metrics}
    costs = [deciding(one) if one.memory else one for one in charted(record.dtype)]
    costs = [one for one in costs if estimated(one).memory or one.name in recorded]
    sliders: dict[str, dict[str, object]] = {}
    for metric in [*costs, *map(metric_of, bounds)]:
        cost = estimated(metric)
        fixed = metric.dtype != record.dtype
        memory = None if fixed or cost is metric else cost.memory
        sliders.setdefault(
            metric.name,
            {
                "id": memory or metric.key,
                "title": f"{cost.figure} {cost.dtype}" if fixed else _slider_title(metric),
                "memory": memory,
                "replaced": not fixed and cost is metric and bool(cost.memory),
                "unit": metric.unit,
                "names": _in_dtypes(metric.name, fixed=fixed),
                "least": _in_dtypes(cost.name, fixed=fixed),
                "budget": bounds.get(metric.name),
            },
        )
    return list(sliders.values())


def _slider_title(metric: Metric) -> str:
    """Return the figure's name; of a memory's, whether the estimate or the promise is limited."""
    cost = estimated(metric)
    return f"{cost.figure}, estimate" if cost is metric and cost.memory else cost.figure


def _in_dtypes(name: str, *, fixed: bool) -> dict[Dtype, str]:
    return {dtype: name if fixed else in_dtype(name, dtype) for dtype in DTYPES}


def _row(row: Row, record: StudyRecord, *, on_front: bool, units: str) -> dict[str, object]:
    metrics = {k: plain(quantity(k, v)) for k, v in row.metrics.items()}
    curves: Mapping[str, object] = {
        name: [plain(value) for value in values] for name, values in row.curves.items()
    }
    return {
        "trial": row.trial,
        "run_id": row.run_id,
        "name": row.name,
        "state": row.state,
        "verdict": verdict(row, record),
        "on_front": on_front,
        "params": plain(row.params),
        "metrics": metrics,
        "texts": {k: text(quantity(k, v), units) for k, v in row.metrics.items()}
        | {k: written for k, v in row.params.items() if (written := text(v, units)) != str(v)},
        "curves": curves,
    }


def _asked(record: StudyRecord) -> str:
    """Return the figures of the sweep file as a section, each picture embedded; or nothing."""
    found = []
    for name, picture in asked_figures(record):
        drawn = io.BytesIO()
        picture.figure.savefig(drawn, format="svg")
        source = base64.b64encode(drawn.getvalue()).decode()
        found.append(
            f'<figure><img alt="{html.escape(name)}" src="data:image/svg+xml;base64,{source}">'
            f"</figure>"
        )
    if not found:
        return ""
    inside = "\n".join(found)
    return f'<section id="figures" aria-label="Figures"><h2>Figures</h2>\n{inside}\n</section>'


def _file(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _embedded(value: object) -> str:
    """Return JSON that cannot end the script element that holds it."""
    dumped = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return dumped.replace("<", "\\u003c")


def _library() -> str:
    """Return plotly.js deflated (zlib) in base64."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode()
