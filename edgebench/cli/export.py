"""Export a run to ONNX, float32 and int8, together with the proof that it is the model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from edgebench.errors import CheckFailed, EdgebenchError

if TYPE_CHECKING:
    from torch import nn

    from edgebench.data import Dataset
    from edgebench.export import Preprocessing
    from edgebench.handover import Images, Proven, Request
    from edgebench.quantization import Calibration
    from edgebench.tracking import SavedRun

METHODS = ("minmax", "entropy", "percentile")


@click.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A file that ends in .onnx, or a folder for the whole hand-over.",
)
@click.option("--int8", is_flag=True, help="Write the int8 model to the file (a folder has both).")
@click.option("--opset", type=int, default=18, show_default=True, help="18 to 22.")
@click.option("--softmax", is_flag=True, help="End in probabilities instead of logits.")
@click.option("--force", is_flag=True, help="Replace a hand-over that is in the folder.")
@click.option(
    "--max-abs-diff", type=float, default=1e-4, show_default=True, help="Of a float32 logit."
)
@click.option(
    "--min-agreement",
    type=float,
    default=0.999,
    show_default=True,
    help="Share of equal float32 answers.",
)
@click.option(
    "--max-accuracy-drop",
    type=float,
    default=0.01,
    show_default=True,
    help="0.01 is one point; 2 images are luck unless the limit is 0.",
)
@click.option(
    "--calibration-count", type=int, default=512, show_default=True, help="Training images."
)
@click.option("--calibration-method", type=click.Choice(METHODS), help="This one, no other tried.")
@click.option(
    "--int8-candidates",
    default="auto",
    show_default=True,
    metavar="auto|NAME",
    help="auto keeps the most accurate on the validation split.",
)
@click.option(
    "--split",
    type=click.Choice(("validation", "test")),
    default="validation",
    show_default=True,
    help="The images of the ladder; 'test' opens the test split.",
)
@click.option("--dataset", metavar="NAME", help="Where the run's images are on this machine.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--tracking-uri", metavar="URI", help="Where the record is; default mlruns/.")
@click.option(
    "--format", "format_", type=click.Choice(("table", "markdown", "csv", "json")), default="table"
)
def command(
    *,
    run: str,
    output: Path,
    int8: bool,
    force: bool,
    split: str,
    dataset: str | None,
    data_dir: Path | None,
    tracking_uri: str | None,
    format_: str,
    **options: Any,
) -> None:
    """Export RUN (a run id, STUDY:NUMBER or STUDY:best) and climb the parity ladder.

    A failed rung is exit 1, names the operator that diverges, and leaves no file.
    """
    folder = output.suffix != ".onnx"
    request = _request(options, int8=int8 or folder)
    from edgebench import handover
    from edgebench.report.table import plain, render

    if folder:
        handover.check_free(output, force=force)
    elif not output.absolute().parent.is_dir():
        raise EdgebenchError(f"there is no folder '{output.parent}' to write '{output.name}' in")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from edgebench.tracking import fetch_run

    saved = fetch_run(run, tracking_uri=tracking_uri)
    images = _dataset(saved, dataset, data_dir)
    model = _model(saved)
    preprocessing = _preprocessing(saved)
    judged = _images(images, split)
    proven = handover.prove(
        model,
        preprocessing,
        request,
        train=_images(images, "train"),
        validation=_images(images, "validation"),
        judged=judged,
    )
    proof = handover.statement(proven, preprocessing, run=_origin(saved, images), split=split)
    if format_ == "json":
        click.echo(json.dumps(plain(proof), indent=2))
    else:
        click.echo(render(proven.ladder.rows(), format_), nl=False)
    _record(saved.run_id, proven, proof, tracking_uri)
    _require_passed(proven)
    if folder:
        assert proven.choice is not None  # noqa: S101 - a folder asks for int8
        vectors = handover.golden_vectors(model, proven, preprocessing, judged)
        bundle = handover.Bundle(proven.float_model, proven.choice.model, vectors, proof)
        handover.write(output, bundle, force=force)
    else:
        _write_file(output, proven, proof)
    click.echo(f"wrote {output}", err=True)


def _request(options: dict[str, Any], *, int8: bool) -> Request:
    """Check every option before anything is loaded."""
    from edgebench.export import check_opset
    from edgebench.handover import Request
    from edgebench.parity import Limits
    from edgebench.quantization import Calibration, candidates

    check_opset(options["opset"])
    count = options["calibration_count"]
    if count < 1:
        raise EdgebenchError(
            f"--calibration-count must be at least 1, but got {count}; the nearest valid value is 1"
        )
    method = options["calibration_method"]
    settings: dict[str, Calibration] = (
        {method: Calibration(method)} if method else candidates(options["int8_candidates"])
    )
    limits = Limits(options["max_abs_diff"], options["min_agreement"], options["max_accuracy_drop"])
    return Request(options["opset"], options["softmax"], int8, settings, count, limits)


def _dataset(saved: SavedRun, name: str | None, data_dir: Path | None) -> Dataset:
    """Load the run's own images; raises EdgebenchError where others are found."""
    from edgebench import data

    try:
        found = data.load(
            name or saved.config.dataset, data_dir=data_dir, seed=saved.config.split_seed
        )
    except EdgebenchError as error:
        hint = "" if name else "; say where the run's images are with --dataset or --data-dir"
        raise EdgebenchError(f"{error}{hint}") from error
    compared: tuple[tuple[str, tuple[Any, ...], tuple[Any, ...]], ...] = (
        ("classes", saved.classes, found.classes),
        ("image shape", saved.input_shape, found.input_shape),
        # Sums in another order differ in the last digits.
        ("mean", _rounded(saved.mean), _rounded(found.mean)),
        ("deviation", _rounded(saved.std), _rounded(found.std)),
    )
    for what, expected, got in compared:
        if expected != got:
            raise EdgebenchError(
                f"'{found.name}' is not the data set that '{saved.name}' was trained on "
                f"('{saved.dataset_name}'): its {what} {_short(got)} should be {_short(expected)}"
            )
    return found


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in values)


def _short(values: tuple[object, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:4])
    return f"({shown}, …)" if len(values) > 4 else f"({shown})"


def _model(saved: SavedRun) -> nn.Module:
    """Rebuild the trained network from the run's configuration and checkpoint."""
    import torch

    from edgebench.models import MODELS

    model = MODELS[saved.config.family](
        saved.input_shape, len(saved.classes), **saved.config.model_options
    )
    model.load_state_dict(torch.load(saved.checkpoint, map_location="cpu", weights_only=True))
    return model.eval()


def _preprocessing(saved: SavedRun) -> Preprocessing:
    from edgebench.export import Preprocessing

    return Preprocessing(saved.mean, saved.std, saved.classes)


def _images(dataset: Dataset, split: str) -> Images:
    from edgebench.handover import Images

    chosen = getattr(dataset, split)
    return Images(chosen.images.numpy(), chosen.labels.numpy())


def _origin(saved: SavedRun, dataset: Dataset) -> dict[str, object]:
    """Say where the model comes from, without a path of this machine."""
    return {
        "name": saved.name,
        "run_id": saved.run_id,
        "study": saved.study,
        "family": saved.config.family,
        "params": dict(saved.config.params),
        "dataset": saved.dataset_name,
        "dataset_digest": dataset.digest,
        "seed": saved.config.seed,
    }


def _require_passed(proven: Proven) -> None:
    """Raise CheckFailed (exit 1) with the rung, its reasons and the diverging operator."""
    rung = proven.ladder.failed
    if rung is None:
        return
    reasons = "; ".join(rung.failures)
    raise CheckFailed(
        f"the rung from {rung.reference} to {rung.candidate} failed: {reasons}",
        *([str(rung.divergence)] if rung.divergence else []),
        "nothing was written",
    )


def _write_file(output: Path, proven: Proven, proof: dict[str, Any]) -> None:
    """Write the proof and then the model beside it, each whole or not at all."""
    from edgebench.export import serialise, write_atomically
    from edgebench.handover import proof_bytes

    content = serialise(proven.choice.model if proven.choice else proven.float_model)
    beside = output.with_suffix(".proof.json")
    write_atomically(beside, proof_bytes(proof, {output.name: content}))
    write_atomically(output, content)
    click.echo(f"wrote {beside}", err=True)


def _record(run_id: str, proven: Proven, proof: dict[str, Any], uri: str | None) -> None:
    """Put the ladder on the run, passed or not: figures as metrics, the proof as an artifact."""
    import math

    from mlflow import MlflowClient

    from edgebench.report.table import plain
    from edgebench.tracking import DEFAULT_URI

    client = MlflowClient(tracking_uri=uri or DEFAULT_URI)
    for name, value in proven.ladder.metrics().items():
        if math.isfinite(value):
            client.log_metric(run_id, name, value, synchronous=True)
    client.log_dict(run_id, cast("dict[str, Any]", plain(proof)), "proof.json")
