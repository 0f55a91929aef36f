"""The what-if page: one HTML file that answers "which model fits?" offline, from the record."""

from __future__ import annotations

import base64
import html
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgebench.record import Row, StudyRecord
from edgebench.report.boards import Board, fit_matrix
from edgebench.report.document import (
    axes_shown,
    images_behind,
    metrics_shown,
    notes,
    verdict,
)
from edgebench.report.front import front
from edgebench.report.table import plain, render
from edgebench.units import label, quantity, text

WEB = Path(__file__).parent / "web"
SCRIPTS = ("answers.js", "drawing.js", "page.js")  # one script, in this order
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
        "MATRIX": render(fit_matrix(record, boards), "html", units=units) if boards else "",
        "LIBRARY": _library(),
        "SCRIPT": "".join(map(_file, SCRIPTS)),
    }
    frame = _file("page.html")
    pieces = frame.split("%%")  # text and names of parts alternate, so no part is searched again
    return "".join(parts[p] if i % 2 else p for i, p in enumerate(pieces))


def data(record: StudyRecord, boards: Sequence[Board], *, units: str) -> dict[str, object]:
    """Return what the page shows, with exact numbers; equal lists of layers are stored once."""
    members = {row.trial for row in front(record.rows, record.objectives)}
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
    shown = metrics_shown(record)
    return {
        "study": record.study,
        "units": units,
        "objectives": [[goal.name, goal.goal] for goal in record.objectives],
        "notes": notes(record),
        "axes": axes_shown(record.rows),
        "metrics": shown,
        "labels": {name: label(name) for name in {n for r in record.rows for n in r.metrics}},
        "images": {name: images_behind(name, record) for name in shown if "accuracy" in name},
        "boards": [[board.name, board.flash_bytes, board.ram_bytes] for board in boards],
        "budget": dict(record.budget or {}),
        "target": record.target,
        "rows": rows,
        "layers": shapes,
    }


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
        "texts": {k: text(v, units) for k, v in row.params.items()}
        | {k: text(quantity(k, v), units) for k, v in row.metrics.items()},
        "curves": curves,
    }


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
