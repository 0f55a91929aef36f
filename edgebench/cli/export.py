"""Export a run to ONNX, float32 and int8, together with the proof that it is the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from edgebench.cli._limits import limits_options
from edgebench.errors import EdgebenchError

if TYPE_CHECKING:
    from edgebench.metrics import Dtype
    from edgebench.tracking import ExportedRun

Method = Literal["minmax", "entropy", "percentile"]
METHODS = get_args(Method)


@click.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file that ends in .onnx, or a folder for the whole hand-over.",
)
@click.option("--int8", is_flag=True, help="Write the int8 model to the file (a folder has both).")
@click.option("--opset", type=int, default=18, show_default=True, help="18 to 22.")
@click.option("--softmax", is_flag=True, help="End in probabilities instead of logits.")
@click.option(
    "--register",
    metavar="NAME",
    help="Register the run's model in MLflow, after the proof where there is an output.",
)
@click.option(
    "--firmware",
    is_flag=True,
    help="A folder also has the C of the model that the study deploys (--int8: of the int8 one), "
    "compiled and measured.",
)
@click.option("--force", is_flag=True, help="Replace a hand-over that is in the folder.")
@limits_options
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
@click.option(
    "--sign",
    type=click.Path(path_type=Path),
    metavar="KEY",
    help="Sign a folder's proof with the private Ed25519 key in this file.",
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
    output: Path | None,
    register: str | None,
    max_abs_diff: float,
    min_agreement: float,
    max_accuracy_drop: float,
    calibration_method: Method | None,
    int8_candidates: str,
    format_: str,
    **options: Any,
) -> None:
    """Export RUN (a run id, STUDY:NUMBER or STUDY:best) and prove it by the parity ladder.

    A failed rung is exit 1, names the operator that diverges, and leaves no file.
    """
    from edgebench.export import Calibration, Limits
    from edgebench.tracking import ParityFailed, export_run

    if output is None:
        if register is None:
            raise EdgebenchError("write -o FILE.onnx or -o DIR, or --register NAME, or both")
        _register(run, register, options)
        return
    limits = Limits(max_abs_diff, min_agreement, max_accuracy_drop)
    calibration = Calibration(calibration_method) if calibration_method else int8_candidates
    try:
        exported = export_run(run, output, limits=limits, calibration=calibration, **options)
    except ParityFailed as failure:
        _show(failure.exported, format_)
        raise
    _show(exported, format_)
    for path in exported.written:
        click.echo(f"wrote {path}", err=True)
    if register is not None:
        _register(run, register, options)


def _register(run: str, name: str, options: dict[str, Any]) -> None:
    from edgebench.tracking import register

    dtype: Dtype | None = "int8" if options["int8"] else None
    found = register(run, name, dtype, tracking_uri=options["tracking_uri"])
    click.echo(f"registered {found}", err=True)


def _show(exported: ExportedRun, format_: str) -> None:
    """Print the ladder, or the whole proof as JSON, and how the int8 model was made."""
    from edgebench.report import plain, render

    if format_ == "json":
        click.echo(json.dumps(plain(dict(exported.proof)), indent=2))
    else:
        from edgebench.cli._listing import width

        click.echo(render(exported.ladder.rows(), format_, width=width()), nl=False)
    _show_int8(exported.proof["int8"])


def _show_int8(report: dict[str, Any] | None) -> None:
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
