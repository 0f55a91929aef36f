"""Naming a model: a file, a hand-over, a run of the record, or an untrained family.

One grammar for every command that takes a model: ``model.onnx``, ``handover/``, a run's id,
``STUDY:NUMBER``, ``STUDY:best``, or the name of a family.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgebench.errors import EdgebenchError, unknown
from edgebench.export.files import missing
from edgebench.export.handover.bundle import FLOAT_MODEL, INT8_MODEL
from edgebench.export.handover.stated import deployed_dtype
from edgebench.metrics import Dtype
from edgebench.profiling import Profile, profile

RUN = re.compile(r"^[0-9a-f]{32}$|^[^/\\]+:[^/\\]+$")
"""A run's id, ``STUDY:NUMBER`` or ``STUDY:best``."""

Shapes = Mapping[str, tuple[int, ...] | None]
Fetch = Callable[[str, Dtype | None], Path]
"""Brings the exported model of a run, in a data type or in the one it is deployed in, here."""
_NONE: Mapping[str, Any] = {}


def located(name: str, fetch: Fetch, dtype: Dtype | None = None) -> Path | None:
    """Return the file of an exported model, or None where ``name`` is none (but of a family).

    Args:
        name: A file, the folder of a hand-over, or a run (see `RUN`); what exists comes first.
        fetch: Brings the exported model of a run into a local file.
        dtype: Which model of a hand-over or a run is meant; by default the one that its study
            deploys.

    Raises:
        EdgebenchError: There is no such file or run, or it lacks the model in that type.
    """
    if _exists(name, Path.is_file):
        return Path(name)
    if _exists(name, Path.is_dir):
        meant = dtype or deployed_dtype(Path(name))
        file = Path(name) / (INT8_MODEL if meant == "int8" else FLOAT_MODEL)
        if file.is_file():
            return file
        if any(Path(name, other).is_file() for other in (FLOAT_MODEL, INT8_MODEL)):
            raise EdgebenchError(f"the hand-over '{name}' holds no {file.name}")
    if RUN.match(name):
        return fetch(name, dtype)
    if name.endswith((".onnx", ".tflite")):
        raise EdgebenchError(missing(Path(name)))
    return None


def check_dtype(name: str, found: str, asked: Dtype | None) -> None:
    """Raise EdgebenchError where a model is in another data type than the one asked for."""
    if asked is None or found == asked:
        return
    way = (
        "'edgebench export RUN -o DIR' makes an int8 model of a run"
        if asked == "int8"
        else "it has no float32 weights any more"
    )
    raise EdgebenchError(f"'{name}' is a model in {found}, not in {asked}; {way}")


def profile_named(
    name: str,
    fetch: Fetch,
    *,
    dtype: Dtype | None = None,
    options: Mapping[str, Any] = _NONE,
    image: tuple[int, ...] | None = None,
    inputs: Shapes = _NONE,
    classes: int | None = None,
    softmax: bool = False,
) -> Profile:
    """Return the profile of a file, a hand-over, a run or an untrained family, without training.

    A file needs neither PyTorch nor MLflow.

    Args:
        name: What `located` takes, or the name of a family.
        fetch: Brings the exported model of a run into a local file.
        dtype: The data type of the model; by default that of the file, and a family's is float32.
        options: Of a family, as ``width`` or ``model.width``.
        image: C, H, W of a family (default 3x32x32), or the sizes that a file leaves open.
        inputs: What is stated of a file's inputs by name, as `profile` takes it.
        classes: Of a family; 10 by default.
        softmax: End a family's network in a softmax.

    Raises:
        EdgebenchError: Nothing has that name, or an option does not suit what was named.
    """
    path = located(name, fetch, dtype)
    if path is not None:
        if options or softmax or classes:
            raise EdgebenchError(
                "--set, --classes and --softmax are for families; an exported model is as it is"
            )
        found = profile(path, input_shape=image, inputs=inputs)
        check_dtype(name, found.dtype, dtype)
        return found
    if inputs:
        raise EdgebenchError("a family has one input; state its size alone, as in 3x32x32")
    graph = _family(name, options, image or (3, 32, 32), classes or 10, softmax=softmax)
    if dtype == "int8":
        from edgebench.export.quantization import untrained_int8_graph

        graph = untrained_int8_graph(graph)
    return profile(graph)


def _exists(name: str, test: Callable[[Path], bool]) -> bool:
    try:
        return test(Path(name))
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def _family(
    name: str, options: Mapping[str, Any], shape: tuple[int, ...], classes: int, *, softmax: bool
) -> Any:
    """Return the graph of an untrained family."""
    from edgebench.export.untrained import untrained_graph
    from edgebench.models import MODELS
    from edgebench.registry import active_options, bind

    channels, height, width = _family_name(name, shape)
    family = MODELS[name]
    given = {key.removeprefix("model."): value for key, value in options.items()}
    known = active_options(family, given)
    mistakes = [unknown(f"option of {name}", key, known) for key in given if key not in known]
    for key, value in given.items():
        rule = known[key].mistake(value) if key in known else None
        if rule:
            mistakes.append(f"{key}: {rule}")
    if mistakes:
        raise EdgebenchError(*mistakes)
    network = family((channels, height, width), classes, **bind(family, given))
    return untrained_graph(network, (channels, height, width), softmax=softmax)


def _family_name(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape of an image for a family; raises EdgebenchError on what is neither."""
    from edgebench.models import MODELS

    if name not in MODELS:
        raise EdgebenchError(
            unknown("model family", name, MODELS)
            + "; nor is it a file, a hand-over, or a run (study:number)"
        )
    if len(shape) != 3:
        raise EdgebenchError(
            f"the input of a family is CxHxW, not {len(shape)} sizes; for example 3x32x32"
        )
    return shape[0], shape[1], shape[2]


def input_shapes(texts: tuple[str, ...]) -> tuple[tuple[int, ...] | None, Shapes]:
    """Read what is said of inputs: ``3x32x32``, ``NAME=1x3x32x32`` or ``NAME=frozen``.

    Returns the size that has no name, and the shapes by name (None where an input is frozen).

    Raises:
        EdgebenchError: A text is none of these, or two have no name.
    """
    image: tuple[int, ...] | None = None
    named: dict[str, tuple[int, ...] | None] = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if name:
            named[name] = None if size == "frozen" else _shape(size, text)
        elif image is not None:
            raise EdgebenchError(f"--input: '{text}' is the second size without an input's name")
        else:
            image = _shape(size, text)
    return image, named


def _shape(size: str, text: str) -> tuple[int, ...]:
    plain = re.fullmatch(r"[0-9]{1,10}(x[0-9]{1,10})*", size)
    sizes = tuple(int(part) for part in size.split("x")) if plain else ()
    if not sizes or 0 in sizes:
        raise EdgebenchError(
            f"--input: '{text}' is no shape; write sizes such as 3x32x32, or NAME=1x3x32x32"
        )
    return sizes


def family_model(name: str, options: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    """Return a family with random weights, of a fixed seed, as an ONNX model that can be run.

    Raises:
        EdgebenchError: No family has that name, or an option does not suit it.
    """
    import torch

    from edgebench.export.conversion import to_onnx
    from edgebench.models import MODELS
    from edgebench.registry import bind

    channels, height, width = _family_name(name, shape)
    given = {key.removeprefix("model."): value for key, value in options.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MODELS[name]((channels, height, width), 10, **bind(MODELS[name], given)).eval()
    return to_onnx(network, (channels, height, width))
