"""The exceptions a user can cause, and the sentences that name the nearest valid choice.

The library raises these; only ``edgebench.cli`` prints them and exits.
"""

from __future__ import annotations

from collections.abc import Iterable


class EdgebenchError(Exception):
    """A mistake that the user can mend; the message names the value, the rule and a way out.

    Several mistakes of one file are reported together: pass one message each.
    """

    exit_code = 2

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class CheckFailed(EdgebenchError):
    """A check did not pass: the model does not fit, parity is broken, nothing is feasible."""

    exit_code = 1


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
    close = nearest(name, choices)
    hint = f"did you mean '{close}'?" if close else f"known: {', '.join(choices)}"
    return f"unknown {kind} '{name}'; {hint}"
