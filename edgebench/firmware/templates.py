"""The kernels in C: a file of the folder ``kernels`` each, found by the name that it defines."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "kernels"


@functools.cache
def templates() -> Mapping[str, str]:
    """Return the text of every kernel by its name."""
    return {
        path.stem: path.read_text(encoding="utf-8").rstrip() for path in sorted(FOLDER.glob("*.c"))
    }


def kernels(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the kernels that ``texts`` name, and those that these name, callees first."""
    found: dict[str, str] = {}
    for text in texts:
        _add(text, found)
    return tuple(found.values())


def _add(text: str, found: dict[str, str]) -> None:
    known = templates()
    for name in re.findall(r"[a-z_][a-z_0-9]*", text):
        if name in known and name not in found and known[name] is not text:
            _add(known[name], found)
            found[name] = known[name]
