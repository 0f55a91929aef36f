"""Time an ONNX model on this computer (host latency, which is not device latency)."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx")
@click.option("--runs", type=click.IntRange(min=1), default=200, show_default=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "markdown", "csv", "json")),
    default="table",
    show_default=True,
)
def command(*, model: Path, runs: int, format_: str) -> None:
    """Print the median and 95th percentile at batch 1, one thread, warm.

    Host latency ranks kernels of this computer's CPU. It says nothing about a microcontroller: an
    int8 model may well be slower here and faster there.
    """
    from edgebench.errors import EdgebenchError
    from edgebench.export import host_latency, load, runtime_errors
    from edgebench.report import render

    try:
        found = host_latency(load(model), runs=runs)
    except runtime_errors() as error:
        raise EdgebenchError(f"ONNX Runtime cannot run '{model}': {error}") from error
    row = {
        "model": model.name,
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
    click.echo(render([row], format_), nl=False)
    click.echo("host latency: this computer's CPU, not a device", err=True)
