"""Export a run to ONNX, float32 and int8, together with the proof that it is the model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.errors import CheckFailed, EdgebenchError

if TYPE_CHECKING:
    from edgebench.export import Calibration, Proven, Request

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
    from edgebench import export
    from edgebench.report import plain, render

    _check_output(output, folder=folder, force=force)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from edgebench.cli import _exporting
    from edgebench.tracking import fetch_run

    saved = fetch_run(run, tracking_uri=tracking_uri)
    images = _exporting.dataset_of(saved, dataset, data_dir)
    model = _exporting.model_of(saved)
    preprocessing = _exporting.preprocessing_of(saved)
    judged = _exporting.images_of(images, split)
    proven = export.prove(
        model,
        preprocessing,
        request,
        train=_exporting.images_of(images, "train"),
        validation=_exporting.images_of(images, "validation"),
        judged=judged,
    )
    origin = _exporting.origin_of(saved, images)
    proof = export.statement(proven, preprocessing, run=origin, split=split)
    if format_ == "json":
        click.echo(json.dumps(plain(proof), indent=2))
    else:
        click.echo(render(proven.ladder.rows(), format_), nl=False)
    _tell_int8(proof["int8"])
    _exporting.record(saved.run_id, proven, proof, tracking_uri)
    _require_passed(proven)
    if folder:
        vectors = export.golden_vectors(model, proven, preprocessing, judged)
        export.write(output, export.Bundle.of(proven, vectors, proof), force=force)
    else:
        _write_file(output, proven, proof)
    click.echo(f"wrote {output}", err=True)


def _check_output(output: Path, *, folder: bool, force: bool) -> None:
    """Refuse a place that cannot be written to before anything is computed."""
    from edgebench.export import check_free

    if folder:
        check_free(output, force=force)
    elif not output.absolute().parent.is_dir():
        raise EdgebenchError(f"there is no folder '{output.parent}' to write '{output.name}' in")


def _request(options: dict[str, Any], *, int8: bool) -> Request:
    """Check every option before anything is loaded."""
    from edgebench.export import Calibration, Limits, Request, candidates, check_opset

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


def _tell_int8(report: dict[str, Any] | None) -> None:
    """Say how the int8 model was made, and which operators stay float and why."""
    if report is None:
        return
    click.echo(
        f"int8: calibrated by {report['candidate']} on {report['calibration_images']} training "
        "images",
        err=True,
    )
    stay = report["float_operators"]
    for one in stay:
        click.echo(f"int8: '{one['name']}' stays float32: {one['reason']}", err=True)
    if not stay:
        click.echo("int8: the whole graph", err=True)


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
    from edgebench.export import proof_bytes, serialise, write_atomically

    content = serialise(proven.choice.model if proven.choice else proven.float_model)
    beside = output.with_suffix(".proof.json")
    write_atomically(beside, proof_bytes(proof, {output.name: content}))
    write_atomically(output, content)
    click.echo(f"wrote {beside}", err=True)
