"""Time an ONNX model on this computer (host latency, which is not device latency)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgebench.cli._model import dtype_option, fetch_from, tracking_option

if TYPE_CHECKING:
    import onnx

    from edgebench.metrics import Dtype


@click.command()
@click.argument("model")
@dtype_option
@tracking_option
@click.option("--runs", type=click.IntRange(min=1), default=200, show_default=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "markdown", "csv", "json")),
    default="table",
    show_default=True,
)
def command(
    *, model: str, dtype: Dtype | None, tracking_uri: str | None, runs: int, format_: str
) -> None:
    """Time MODEL (an ONNX file, a hand-over, a run or a family): batch 1, one thread, warm.

    Prints the median and the 95th percentile.

    Host latency ranks kernels of this computer's CPU. It says nothing about a microcontroller: an
    int8 model may well be slower here and faster there.
    """
    from edgebench.cli._listing import width
    from edgebench.errors import EdgebenchError
    from edgebench.export import host_latency, runtime_errors
    from edgebench.report import render

    graph, name = _graph(model, dtype, tracking_uri)
    try:
        found = host_latency(graph, runs=runs)
    except runtime_errors() as error:
        raise EdgebenchError(f"ONNX Runtime cannot run '{model}': {error}") from error
    row = {
        "model": name,
        "host_latency_median_ms": round(found.median_ms, 4),
        "host_latency_p95_ms": round(found.p95_ms, 4),
        "runs": found.runs,
        "threads": 1,
        "batch": 1,
        "host": f"{found.processor}, {found.runtime}",
    }
    if format_ == "json":
        import json

        click.echo(json.dumps(row))
        return
    click.echo(render([row], format_, width=width()), nl=False)
    click.echo("host latency: this computer's CPU, not a device", err=True)


def _graph(
    model: str, dtype: Dtype | None, tracking_uri: str | None
) -> tuple[onnx.ModelProto, str]:
    """Return what is timed, and its name: a family has random weights and its defaults."""
    from edgebench.export import check_dtype, family_model, load, located
    from edgebench.profiling import profile

    path = located(model, fetch_from(tracking_uri), dtype)
    if path is None:
        check_dtype(model, "float32", dtype)
        return family_model(model, {}, (3, 32, 32)), model
    graph = load(path)
    if dtype is not None:
        check_dtype(model, profile(graph).dtype, dtype)
    return graph, Path(model).name
