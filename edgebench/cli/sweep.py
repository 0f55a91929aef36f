"""Run or continue a sweep and end with its trade-off table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgebench.cli._running import SEARCHED, SHOWN, WHERE, overrides, run, show, with_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(min=1), help="Runs in all, instead of run_cap.")
@click.option("--target", metavar="BOARD", help="Search under this board's flash and RAM.")
@with_options(SEARCHED, WHERE, SHOWN)
def command(
    *,
    file: Path,
    trials: int | None,
    target: str | None,
    dataset: str | None,
    seed: int | None,
    settings: tuple[str, ...],
    format_: str,
    units: str,
    **where: Any,
) -> None:
    """Run or continue the sweep of FILE; end with the trade-off table, the front and a link.

    The same command continues a sweep that was cut off, whatever cut it off.
    """
    import edgebench

    replaced = overrides(
        settings, run_cap=trials, dataset=dataset, seed=seed, budget__target=target
    )
    loaded = edgebench.load_sweep(file, replaced)
    show(run(loaded, **where), format_, units, where["tracking_uri"])
