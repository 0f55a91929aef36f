"""List the data sets and their sources."""

from __future__ import annotations

import inspect

import click

from edgebench.units import FORMATS


@click.command()
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
def command(*, format_: str) -> None:
    """List the data sets, what they hold and where they come from."""
    from edgebench.cli._listing import about, width
    from edgebench.data import DATASETS
    from edgebench.report import render

    rows = []
    for name, reader in DATASETS.items():
        source = (inspect.getdoc(reader) or "").partition("Source:")[2]
        rows.append({"data set": name, "about": about(reader), "source": " ".join(source.split())})
    click.echo(render(rows, format_, width=width()), nl=False)
