"""List the boards that a model can be checked against, with the sources of their figures."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import click

from edgebench.units import FORMATS, UNITS

if TYPE_CHECKING:
    from edgebench.footprint import Target

YAML = "yaml"


@click.command()
@click.argument("name", required=False, metavar="[BOARD]")
@click.option(
    "--format",
    "format_",
    type=click.Choice([*FORMATS, YAML]),
    default="table",
    help="yaml is a BOARD as the file that --target takes: the beginning of your own.",
)
@click.option("--units", type=click.Choice(UNITS), default="binary", show_default=True)
@click.option("--sources", is_flag=True, help="Show where the figures come from.")
def command(*, name: str | None, format_: str, units: str, sources: bool) -> None:
    """List the boards, or one: flash, RAM (the largest block), and what is reserved of each."""
    from edgebench.cli._listing import width
    from edgebench.errors import EdgebenchError
    from edgebench.footprint import TARGETS, load_target
    from edgebench.report import render
    from edgebench.units import Bytes

    boards = [load_target(name)] if name else list(TARGETS.values())
    if format_ == YAML:
        if not name:
            raise EdgebenchError(
                f"--format yaml is the file of one board; name it, as in 'targets {boards[0].name}'"
            )
        click.echo(as_yaml(boards[0]), nl=False)
        return
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
        for board in boards
    ]
    click.echo(render(rows, format_, units=units, width=width()), nl=False)


def as_yaml(board: Target) -> str:
    """Return a board as a file that ``--target`` takes, with a comment on each key.

    What the board does not state is a comment alone, to be filled in.
    """
    from edgebench.cli._listing import about_option

    lines = [
        "# A board for --target and for budget.target; flash_bytes and ram_bytes must be given."
    ]
    for field in fields(board):
        value = getattr(board, field.name)
        line = f"{field.name}: {json.dumps(list(value) if isinstance(value, tuple) else value)}"
        unstated = field.name == "name" or (not value and value == field.default)
        lines += [f"# {about_option(type(board), field.name)}", f"# {line}" if unstated else line]
    return "\n".join(lines) + "\n"
