"""The exceptions a user can cause, and the sentences that name the nearest valid choice.

The library raises these; only ``edgebench.cli`` prints them and exits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PASSWORD = re.compile(r"([a-zA-Z][\w+.-]*://[^\s:/@'\"]*):[^\s'\"]+@")


class EdgebenchError(Exception):
    """A mistake that the user can mend; the message names the value, the rule and a way out.

    Several mistakes of one file are reported together: pass one message each. Each is one line:
    what a name from anywhere has of line breaks and the like is escaped.
    """

    exit_code = 2

    def __init__(self, *mistakes: str) -> None:
        self.mistakes = tuple(map(_one_line, mistakes))
        super().__init__("\n".join(self.mistakes))


class CheckFailed(EdgebenchError):
    """A check did not pass: the model does not fit, parity is broken, nothing is feasible."""

    exit_code = 1


NAMED = 10
"""Mistakes of one kind that are named; the others are counted."""
LONGEST_SHOWN = 60
"""Characters of a stranger's text inside a message."""


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]


def more(count: int, what: str) -> list[str]:
    """Return the line that counts what is beyond the first `NAMED` of ``count``; none if nothing.

    ``what`` names them, after the place where they stand: ``parameters: unknown axes``.
    """
    place, colon, kind = what.rpartition(": ")
    return [f"{place}{colon}and {count - NAMED:,} more {kind}"] if count > NAMED else []


def shown(value: object) -> str:
    """Return a value from anywhere as Python writes it, on one short line."""
    text = f"'{value}'" if isinstance(value, str) and value.isprintable() else _short_repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def quoted(value: object) -> str:
    """Return a value between quotes, whatever its type, on one short line."""
    text = str(value)
    return f"'{text}'" if len(text) <= LONGEST_SHOWN and text.isprintable() else shown(text)


def _short_repr(value: object) -> str:
    import reprlib  # here, since importing this module must cost nothing

    short = reprlib.Repr()
    short.maxother = short.maxstring = short.maxlong = LONGEST_SHOWN
    return short.repr(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the member of ``known`` that ``name`` most likely meant, or None."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    begun = [folded for folded in by_folded if name and folded.startswith(name.casefold())]
    if begun:
        return by_folded[min(begun, key=len)]
    import difflib  # here, since importing this module must cost nothing

    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[close[0]] if close else None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that ``name`` is no ``kind``, with the nearest known name, or all of them."""
    choices = sorted(known)
    close = nearest(name, choices) if len(name) <= LONGEST_SHOWN else None
    hint = f"did you mean '{close}'?" if close else f"known: {', '.join(choices)}"
    return f"unknown {kind} {quoted(name)}; {hint}"


def redacted(text: str) -> str:
    """Return ``text`` with the password of every address in it replaced by ``***``.

    >>> redacted("cannot reach postgresql://me:secret@host/optuna")
    'cannot reach postgresql://me:***@host/optuna'
    """
    return _PASSWORD.sub(r"\1:***@", text) if "://" in text else text
