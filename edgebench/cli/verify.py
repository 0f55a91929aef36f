"""Repeat the proof of a hand-over on its golden vectors, without PyTorch or data."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.errors import CheckFailed


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "markdown", "csv", "json")),
    default="table",
    show_default=True,
)
def command(*, folder: Path, format_: str) -> None:
    """Check the files of DIR against proof.json and run the ladder again; exit 1 if it fails."""
    from edgebench.export import verify
    from edgebench.report import render

    found = verify(folder)
    if format_ == "json":
        import json

        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        click.echo(render(found.ladder.rows(), format_), nl=False)
    if found.passed:
        click.echo(f"'{folder}' holds what was proven", err=True)
        return
    broken = [f"{rung.name}: {'; '.join(rung.failures)}" for rung in found.ladder.rungs]
    raise CheckFailed(*found.problems, *(line for line in broken if not line.endswith(": ")))
