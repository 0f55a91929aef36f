"""List the boards that a model can be checked against, with the sources of their figures."""

from __future__ import annotations

import click

from edgebench.units import FORMATS, UNITS


@click.command()
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
@click.option("--units", type=click.Choice(UNITS), default="binary", show_default=True)
@click.option("--sources", is_flag=True, help="Show where the figures come from.")
def command(*, format_: str, units: str, sources: bool) -> None:
    """List the boards: flash, RAM (the largest block), and what is reserved of each."""
    from edgebench.cli._listing import width
    from edgebench.footprint import TARGETS
    from edgebench.report import render
    from edgebench.units import Bytes

    rows = [
        {
            "name": board.name,
            "mcu": board.mcu,
            "core": board.core,
            "MHz": board.clock_mhz,
            "flash": Bytes(board.flash_bytes),
            "RAM": Bytes(board.ram_bytes),
            "RAM in all": Bytes(board.ram_total_bytes),
            "reserved flash": Bytes(board.reserve_flash_bytes),
            "reserved RAM": Bytes(board.reserve_ram_bytes),
        }
        | ({"source": "; ".join(board.source)} if sources or format_ in ("json", "csv") else {})
        for board in TARGETS.values()
    ]
    click.echo(render(rows, format_, units=units, width=width()), nl=False)
