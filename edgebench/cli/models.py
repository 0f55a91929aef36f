"""List the model families and their options."""

from __future__ import annotations

import click

from edgebench.report import FORMATS, render


@click.command()
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
def command(*, format_: str) -> None:
    """List the model families with their options, defaults and choices."""
    from edgebench.models import MODELS
    from edgebench.registry import options

    rows = [
        {
            "family": name,
            "option": f"model.{option.name}",
            "default": option.default,
            "choices": ", ".join(map(str, option.choices())),
            "about": (family.__doc__ or "").strip().splitlines()[0],
        }
        for name, family in MODELS.items()
        for option in options(family).values()
    ]
    click.echo(render(rows, format_), nl=False)
