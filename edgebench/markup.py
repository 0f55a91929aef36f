"""Names from anywhere in Markdown: a class or folder may be called anything, and stays text."""

from __future__ import annotations

import re

_MEANT = re.compile(r"([\\`*\[\]|~#])|(?<!\w)(_)|(_)(?!\w)")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: str) -> str:
    """Return ``text`` as one line of Markdown that shows it and means nothing else.

    Neither emphasis, link, code, table cell nor HTML begins or ends in it. An underscore or hash
    inside a word, as in ``accuracy_best``, has no meaning and stays.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _MEANT.sub(r"\\\g<0>", line).translate(_ENTITIES)


def code(text: str) -> str:
    """Return ``text`` as Markdown code, on one line, between as many backticks as it needs."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    runs = [len(run) for run in re.findall("`+", line)]
    fence = "`" * (max(runs, default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"
