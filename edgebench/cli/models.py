"""List the model families and their options."""

from __future__ import annotations

import click

from edgebench.units import FORMATS


@click.command()
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
def command(*, format_: str) -> None:
    """List the model families with their options; `options model` has those of their choices."""
    from edgebench.cli._listing import about, about_option, default_of, type_of, values_of, width
    from edgebench.models import MODELS
    from edgebench.registry import options
    from edgebench.report import render

    rows = [
        {
            "family": name,
            "option": f"model.{option.name}",
            "type": type_of(option),
            "values": values_of(option),
            "default": default_of(option),
            "about": about_option(family, option.name) or about(family),
        }
        for name, family in MODELS.items()
        for option in options(family).values()
    ]
    click.echo(render(rows, format_, width=width()), nl=False)
