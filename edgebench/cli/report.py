"""Show a study's trade-off table and front, or write its pictures and what-if page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgebench.report import Board
from edgebench.report.table import FORMATS
from edgebench.report.units import UNITS

if TYPE_CHECKING:
    from edgebench.footprint import Target

SUFFIXES = {".txt": "table", ".md": "markdown", ".csv": "csv", ".json": "json", ".html": "html"}


@click.command()
@click.argument("study")
@click.option("--target", metavar="BOARD", help="Ask again for this board, without a new search.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: table.")
@click.option("--units", type=click.Choice(UNITS), default="decimal", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file (its suffix chooses the format) or a directory for everything.",
)
@click.option("--tracking-uri", metavar="URI", help="Where the record is; default mlruns/.")
def command(
    *,
    study: str,
    target: str | None,
    format_: str | None,
    units: str,
    output: Path | None,
    tracking_uri: str | None,
) -> None:
    """Show STUDY's trade-off table, its front, and how the front fits the boards."""
    from edgebench.footprint import TARGETS, load_target
    from edgebench.report.document import document, refit
    from edgebench.tracking import read_study

    record = read_study(study, tracking_uri=tracking_uri)
    boards = [_left(board) for board in TARGETS.values()]
    if target is not None:
        record = refit(record, _left(load_target(target)))
    chosen = format_ or (SUFFIXES.get(output.suffix, "table") if output else "table")
    content = document(record, chosen, units=units, boards=boards)
    if output is None:
        click.echo(content, nl=False)
    else:
        output.write_text(content, encoding="utf-8")
        click.echo(f"wrote {output}", err=True)


def _left(target: Target) -> Board:
    """Return what a board leaves to a model: its memories less the stated reserves."""
    return Board(
        target.name,
        target.flash_bytes - target.reserve_flash_bytes,
        target.ram_bytes - target.reserve_ram_bytes,
    )
