"""What `profile` and `fit` share: naming a model, its options, and the profile of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.errors import EdgebenchError, unknown

if TYPE_CHECKING:
    from edgebench.profiling import Profile

_RUN = re.compile(r"^[0-9a-f]{32}$|^[^/\\]+:[^/\\]+$")
_SHAPE = re.compile(r"^\d+(x\d+)*$")


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which model is meant."""
    for option in (
        click.option("--tracking-uri", metavar="URI", help="Where runs are; default mlruns/."),
        click.option("--softmax", is_flag=True, help="End a family's network in a softmax."),
        click.option("--classes", type=click.IntRange(min=1), help="Of a family; default 10."),
        click.option(
            "--input",
            "input_shape",
            metavar="CxHxW",
            help="Image of a family (default 3x32x32), or the sizes an ONNX file leaves open.",
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
    input_shape: str | None,
    classes: int | None,
    softmax: bool,
    tracking_uri: str | None,
) -> Profile:
    """Return the profile of an ONNX file, a run or an untrained family.

    Raises:
        EdgebenchError: Nothing has that name, or an option does not suit what was named.
    """
    from edgebench.profiling import profile

    shape = _shape(input_shape)
    path: Path | None = Path(name) if Path(name).is_file() else None
    if path is None and _RUN.match(name):
        from edgebench.tracking import fetch_onnx

        path = fetch_onnx(name, tracking_uri=tracking_uri)
    if path is not None:
        if settings or softmax or classes:
            raise EdgebenchError(
                "--set, --classes and --softmax are for families; an exported model is as it is"
            )
        return profile(path, input_shape=shape)
    if name.endswith(".onnx"):
        raise EdgebenchError(f"no such file: {name}")
    return profile(_family(name, settings, shape or (3, 32, 32), classes or 10, softmax))


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sizes = tuple(int(part) for part in text.split("x")) if _SHAPE.match(text) else ()
    if not sizes or 0 in sizes:
        raise EdgebenchError(f"--input: '{text}' is no shape; write sizes such as 3x32x32")
    return sizes


def _family(
    name: str, settings: tuple[str, ...], shape: tuple[int, ...], classes: int, softmax: bool
) -> Any:
    from edgebench.export import untrained_graph
    from edgebench.models import MODELS
    from edgebench.registry import active_options, bind
    from edgebench.yaml12 import assignments

    if name not in MODELS:
        raise EdgebenchError(
            unknown("model family", name, MODELS) + "; nor is it a file, or a run (study:number)"
        )
    if len(shape) != 3:
        raise EdgebenchError(
            f"--input: a family takes CxHxW, not {len(shape)} sizes; for example 3x32x32"
        )
    family = MODELS[name]
    given = {k.removeprefix("model."): v for k, v in assignments(settings).items()}
    known = active_options(family, given)
    mistakes = [
        f"--set: {unknown(f'option of {name}', key, known)}" for key in given if key not in known
    ]
    for key, value in given.items():
        rule = known[key].mistake(value) if key in known else None
        if rule:
            mistakes.append(f"--set: {key}: {rule}")
    if mistakes:
        raise EdgebenchError(*mistakes)
    network = family(shape, classes, **bind(family, given))
    return untrained_graph(network, shape, softmax=softmax)
