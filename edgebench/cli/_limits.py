"""What `export` and `verify` share: the options that say how much two sides may differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def limits_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the three limits of a ladder's rungs, with the values that they have by default."""
    for option in (
        click.option(
            "--max-accuracy-drop",
            type=float,
            default=0.01,
            show_default=True,
            help="0.01 is one point; 2 images are luck unless the limit is 0.",
        ),
        click.option(
            "--min-agreement",
            type=float,
            default=0.999,
            show_default=True,
            help="Share of images with the same float32 class.",
        ),
        click.option(
            "--max-abs-diff",
            type=float,
            default=1e-4,
            show_default=True,
            help="Of a float32 logit; relative to the largest one where that is above 1.",
        ),
    ):
        function = option(function)
    return function
