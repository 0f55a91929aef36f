"""Rows in, text out: the one renderer of every list that a command prints."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence

from edgebench.errors import EdgebenchError, unknown
from edgebench.markup import escaped
from edgebench.units import FORMATS, text

NARROWEST = 24  # characters in which a last column is still worth reading


def render(
    rows: Sequence[Mapping[str, object]],
    format: str,  # noqa: A002 - the name of the option that it serves
    *,
    columns: Sequence[str] | None = None,
    title: str | None = None,
    units: str = "decimal",
    width: int | None = None,
) -> str:
    """Return ``rows`` as an aligned table, markdown, csv, json or html, ending in a newline.

    ``columns`` chooses and orders the keys; by default all of them, in order of first appearance.
    csv and json carry exact numbers; the others write `Bytes`, `Count` and the like with units.
    ``title`` is left out of csv and json. An aligned table of more than ``width`` characters wraps
    its last column, or writes it under each row where little room is left; where more does not
    fit, each row has what does, and under it the rest by name. Raises EdgebenchError on an unknown
    format.
    """
    if format not in FORMATS:
        raise EdgebenchError(unknown("format", format, FORMATS))
    keys = list(columns) if columns is not None else list(dict.fromkeys(k for r in rows for k in r))
    if format == "json":
        return json.dumps([{k: plain(r.get(k)) for k in keys} for r in rows], indent=2) + "\n"
    if format == "csv":
        return _csv(rows, keys)
    cells = [[_line(text(row.get(key), units)) for key in keys] for row in rows]
    right = [_numeric([row.get(key) for row in rows]) for key in keys]
    if format == "table":
        return _aligned(keys, cells, right, title, width)
    writer = _markdown if format == "markdown" else _html
    return writer(keys, cells, right, title)


def plain(value: object) -> object:
    """Return ``value`` as JSON can hold it: a number that is not finite becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _csv(rows: Sequence[Mapping[str, object]], keys: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows(
        ["" if (value := plain(row.get(key))) is None else value for key in keys] for row in rows
    )
    return out.getvalue()


def _aligned(
    keys: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    title: str | None,
    width: int | None,
) -> str:
    widths = [max(map(len, column)) for column in zip(keys, *cells, strict=True)]
    begins = sum(widths[:-1]) + 2 * (len(widths) - 1)  # of the last column
    room = None if width is None or begins + widths[-1] <= width else width - begins
    if room is not None and width is not None and begins > width:
        return _folded(keys, cells, right, title, width)
    if room is not None:
        widths[-1] = max(room, len(keys[-1]))

    def line(texts: Sequence[str]) -> list[str]:
        first, *more = _wrapped(texts[-1], room, width)
        padded = [
            value.rjust(wide) if flush else value.ljust(wide)
            for value, wide, flush in zip([*texts[:-1], first], widths, right, strict=True)
        ]
        indent = begins if room is not None and room >= NARROWEST else 4
        return ["  ".join(padded).rstrip(), *(f"{' ' * indent}{part}" for part in more)]

    rule = "  ".join("─" * wide for wide in widths)
    lines = [*line(keys), rule, *(part for row in cells for part in line(row))] if keys else []
    return "\n".join([*([title, ""] if title else []), *lines]) + "\n"


def _folded(
    keys: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    title: str | None,
    width: int,
) -> str:
    """Write the first columns as a table, and the others of each row under it, by their names."""
    widths = [max(map(len, column)) for column in zip(keys, *cells, strict=True)]
    fit = 1
    while sum(widths[: fit + 1]) + 2 * fit <= width:
        fit += 1
    table = _aligned(keys[:fit], [row[:fit] for row in cells], right[:fit], title, None)
    lines = table.splitlines()
    first = len(lines) - len(cells)  # of the rows
    out, missing = lines[:first], text(None)
    for line, row in zip(lines[first:], cells, strict=True):
        rest = zip(keys[fit:], row[fit:], strict=True)
        said = "; ".join(f"{key}: {cell}" for key, cell in rest if cell not in ("", missing))
        under = textwrap.wrap(said, max(width - 4, NARROWEST))
        out += [line, *(f"    {part}" for part in under)]
    return "\n".join(out) + "\n"


def _wrapped(value: str, room: int | None, width: int | None) -> list[str]:
    """Return the lines of a last cell: the first stands in the row, the others under it."""
    if room is None or width is None or len(value) <= room:
        return [value]
    if room >= NARROWEST:
        return textwrap.wrap(value, room)
    return ["", *textwrap.wrap(value, max(width - 4, NARROWEST))]


def _markdown(
    keys: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str | None
) -> str:
    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(map(escaped, texts)) + " |"

    rule = "|" + "|".join(" ---: " if flush else " --- " for flush in right) + "|"
    heading = [f"**{escaped(title)}**", ""] if title else []
    return "\n".join([*heading, line(keys), rule, *map(line, cells)]) + "\n"


def _html(
    keys: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str | None
) -> str:
    def line(tag: str, texts: Sequence[str]) -> str:
        inner = "".join(
            f"<{tag}{number if flush else ''}>{html.escape(value)}</{tag}>"
            for value, flush in zip(texts, right, strict=True)
        )
        return f"<tr>{inner}</tr>"

    number = ' class="number"'
    caption = f"<caption>{html.escape(title)}</caption>\n" if title else ""
    head = f"<thead>{line('th', keys)}</thead>"
    body = "\n".join(line("td", row) for row in cells)
    return f"<table>\n{caption}{head}\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _line(value: str) -> str:
    return " ".join(value.split())


def _numeric(values: Sequence[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in present
    )
