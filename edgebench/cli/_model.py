"""What `profile` and `fit` share: the options that say which model is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgebench.profiling import Profile


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which model is meant."""
    for option in (
        click.option("--tracking-uri", metavar="URI", help="Where runs are; default mlruns/."),
        click.option("--softmax", is_flag=True, help="End a family's network in a softmax."),
        click.option("--classes", type=click.IntRange(min=1), help="Of a family; default 10."),
        click.option(
            "--input",
            "inputs",
            multiple=True,
            metavar="[NAME=]SHAPE",
            help="CxHxW of a family (default 3x32x32), or the sizes that an ONNX file leaves open; "
            "by input: NAME=1x3x224x224, or NAME=frozen for a constant.",
        ),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
                     help="An option of the family: width=32 or model.width=32."),
    ):  # fmt: skip
        function = option(function)
    return function


def load(
    name: str,
    *,
    settings: tuple[str, ...],
    inputs: tuple[str, ...],
    classes: int | None,
    softmax: bool,
    tracking_uri: str | None,
) -> Profile:
    """Return the profile of an ONNX file, a run or an untrained family.

    Raises:
        EdgebenchError: Nothing has that name, or an option does not suit what was named.
    """
    from edgebench.export import input_shapes, profile_named
    from edgebench.yaml12 import assignments

    def fetch(run: str) -> Path:
        from edgebench.tracking import fetch_onnx

        return fetch_onnx(run, tracking_uri=tracking_uri)

    image, shapes = input_shapes(inputs)
    return profile_named(
        name,
        fetch,
        options=assignments(settings),
        image=image,
        inputs=shapes,
        classes=classes,
        softmax=softmax,
    )
