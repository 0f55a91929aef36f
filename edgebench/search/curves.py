"""How far a learning curve may still rise, by the curves of a study that came to their end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgebench.record import Row, State

ACCURACY = "val/accuracy"
"""The metric whose curve is followed."""
NEWEST = 1000
"""The latest trials whose curves are looked at: what an epoch and a start cost has a bound."""
FEWEST = 3
"""Finished curves below which nothing is said of another one's end."""
CAUTION = 6.0
"""The allowance while few curves are known: their greatest rise counts 1 + CAUTION / curves times.

`benchmarks/search/stops.py` prints what other values would save, and stop wrongly.
"""
SUPPOSED = 3.0
EXPONENT, EXPONENT_DEVIATION = 0.2, 0.1
"""Of a learning curve before the study has its own; the share of training is below 1."""
SMALLEST_ERROR = 1e-4
"""What counts as none: no validation split tells less apart."""


def highest_end(curve: Sequence[float], epochs: int, trained: Sequence[Row], goal: str) -> float:
    """Return the most that a candidate may reach in ``goal`` when its training ends.

    It is what is left of the error where it falls by as large a factor as in any finished curve
    that stood as high or higher at this share of its training: one that stood lower had more left
    to learn. The factor is taken to a higher power the fewer such curves there are (`CAUTION`);
    the `FEWEST` that stood highest always count.

    Args:
        curve: The validation accuracy of each epoch so far, 0..1.
        epochs: How many there are to be.
        trained: Trials of the study, with their curves; of the `NEWEST` those that finished count.
        goal: The accuracy that is sought, as ``val/accuracy_best`` or that of the int8 model.

    Returns:
        An accuracy; infinity where fewer than `FEWEST` curves are known.
    """
    falls = _falls(curve, epochs, trained, goal)
    if len(falls) < FEWEST:
        return float("inf")
    return 1 - (1 - max(curve)) * float(min(1.0, *falls) ** (1 + CAUTION / len(falls)))


def likely_fall(progress: float, trained: Sequence[Row], goal: str) -> tuple[float, float]:
    """Return mean and deviation of what a curve's error still falls by, as a logarithm.

    It is learned from the finished curves. Before there are any, an error is expected to fall as a
    power of the share of training, by an exponent that is known as badly as from `SUPPOSED` curves.

    Args:
        progress: The share of its training that the curve has, 0..1.
        trained: Trials of the study, with their curves; those that finished count.
        goal: The accuracy that is sought.
    """
    found = [math.log(fall) for _, fall in _stood(progress, trained, goal)]
    mean = (SUPPOSED * EXPONENT * math.log(progress) + sum(found)) / (SUPPOSED + len(found))
    supposed = SUPPOSED * (EXPONENT_DEVIATION * math.log(progress)) ** 2
    squares = supposed + sum((fall - mean) ** 2 for fall in found)
    return mean, math.sqrt(squares / (SUPPOSED + len(found)))


def _falls(curve: Sequence[float], epochs: int, trained: Sequence[Row], goal: str) -> list[float]:
    """Return the final error over the error at this share, of the curves that stood as high."""
    level = max(curve)
    stood = sorted(_stood(len(curve) / epochs, trained, goal), reverse=True)
    return [fall for place, (then, fall) in enumerate(stood) if place < FEWEST or then >= level]


def _stood(progress: float, trained: Sequence[Row], goal: str) -> list[tuple[float, float]]:
    """Return the accuracy at this share, and the final error over the one then, of each curve."""
    stood = []
    for row in trained[-NEWEST:]:
        known = row.curves.get(ACCURACY, ())
        if row.state is State.FINISHED and known and goal in row.metrics:
            then = max(known[: max(1, int(progress * len(known)))])
            left = max(1 - row.metrics[goal], SMALLEST_ERROR)
            stood.append((then, left / max(1 - then, SMALLEST_ERROR)))
    return stood
