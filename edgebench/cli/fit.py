"""Check a model against every listed board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgebench.cli._model import load, model_options
from edgebench.units import UNITS, Bytes, Milliseconds

if TYPE_CHECKING:
    from edgebench.footprint import Latency, NoLatency

FORMATS = ("table", "markdown", "csv", "json")


@click.command()
@click.argument("model")
@model_options
@click.option("--convention", default="st", show_default=True, metavar="NAME")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="BOARD",
    help="Only these boards (or .yaml files), and exit 1 if it is not sure to fit one of them.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
@click.option("--units", type=click.Choice(UNITS), default="decimal", show_default=True)
@click.option(
    "--allow-unknown",
    is_flag=True,
    help="Accept operators without a rule: the figures are then a lower bound.",
)
def command(
    *,
    model: str,
    convention: str,
    targets: tuple[str, ...],
    format_: str,
    units: str,
    allow_unknown: bool,
    **which: Any,
) -> int:
    """Check MODEL (a file, a run or a family) against the boards, the smallest first.

    What is left is what the upper figures leave, where there are some: they decide the verdict.
    """
    from edgebench.cli._listing import width
    from edgebench.footprint import (
        CONVENTIONS,
        TARGETS,
        estimate,
        load_target,
        measure,
        require_known,
    )
    from edgebench.report import render

    CONVENTIONS[convention]  # an unknown name is refused before anything is read
    boards = [load_target(name) for name in targets] or list(TARGETS.values())
    found = load(model, **which)
    footprint = measure(found, convention)
    if not allow_unknown:
        require_known(footprint)
    boards.sort(key=lambda board: (board.flash_bytes + board.ram_bytes, board.name))
    fits = [board.check(footprint) for board in boards]
    rows = [
        {
            "target": board.name,
            "fits": fit.fits,
            "verdict": fit.verdict.value,
            **_left(
                "flash", board.free_flash_bytes, fit.rom_margin_bytes, fit.rom_upper_margin_bytes
            ),
            **_left("RAM", board.free_ram_bytes, fit.ram_margin_bytes, fit.ram_upper_margin_bytes),
            "first limit": fit.limit,
            "latency": _latency(estimate(found, board, convention)),
            "reason": fit.reason,
        }
        for board, fit in zip(boards, fits, strict=True)
    ]
    if format_ in ("table", "markdown"):
        rows = [{k: v for k, v in row.items() if k not in ("fits", "reason")} for row in rows]
    click.echo(render(rows, format_, units=units, width=width()), nl=False)
    sizes = ", ".join(
        f"{name} {Bytes(size).text(units)}"
        for name, size in (("ROM", footprint.rom_bytes), ("RAM", footprint.ram_bytes))
    )
    click.echo(f"{model}: {sizes}; {footprint.provenance}", err=True)
    return 1 if targets and not all(fit.fits for fit in fits) else 0


def _left(memory: str, free: int, estimate: int, upper: int | None) -> dict[str, object]:
    """Return the columns of what is left of a memory, by the upper figure where there is one."""
    left = estimate if upper is None else upper
    share = round(100 * left / free, 2) if free else -100.0
    return {f"{memory} left": Bytes(left), f"{memory} left, %": share}


def _latency(found: Latency | NoLatency) -> Milliseconds | None:
    """Return the estimated time, or None where there is none; `profile --target` says why."""
    from edgebench.footprint import Latency

    return Milliseconds(found.ms) if isinstance(found, Latency) else None
