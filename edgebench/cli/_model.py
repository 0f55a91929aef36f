"""What the commands on a MODEL share: one grammar, and the options that say which is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgebench.export import Fetch
    from edgebench.metrics import Dtype
    from edgebench.profiling import Profile

dtype_option = click.option(
    "--dtype",
    type=click.Choice(["float32", "int8"]),
    help="Which model of a run, a hand-over or a family; of the first two, by default what the "
    "study deploys.",
)
tracking_option = click.option(
    "--tracking-uri", metavar="URI", help="Where runs are; default mlruns/."
)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which model is meant."""
    for option in (
        tracking_option,
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
        dtype_option,
    ):  # fmt: skip
        function = option(function)
    return function


def fetch_from(tracking_uri: str | None) -> Fetch:
    """Return what brings the exported model of a run of that store into a local file."""

    def fetch(run: str, dtype: Dtype | None) -> Path:
        from edgebench.tracking import fetch_onnx

        return fetch_onnx(run, dtype, tracking_uri=tracking_uri)

    return fetch


def load(
    name: str,
    *,
    settings: tuple[str, ...],
    inputs: tuple[str, ...],
    classes: int | None,
    softmax: bool,
    dtype: Dtype | None,
    tracking_uri: str | None,
) -> Profile:
    """Return the profile of a file, a hand-over, a run or an untrained family.

    Raises:
        EdgebenchError: Nothing has that name, or an option does not suit what was named.
    """
    from edgebench.export import input_shapes, profile_named
    from edgebench.yaml12 import assignments

    image, shapes = input_shapes(inputs)
    return profile_named(
        name,
        fetch_from(tracking_uri),
        dtype=dtype,
        options=assignments(settings),
        image=image,
        inputs=shapes,
        classes=classes,
        softmax=softmax,
    )
