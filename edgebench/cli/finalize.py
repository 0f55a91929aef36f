"""Retrain a study's front with new seeds, then open the test split once and compare."""

from __future__ import annotations

from typing import Any

import click

from edgebench.cli._running import SHOWN, WHERE, watched, with_options


@click.command()
@click.argument("study")
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings of each member.")
@click.option("--again", is_flag=True, help="Open the test split once more; it is recorded.")
@click.option("--dataset", help="Where the same images are now, as in folder:PATH.")
@with_options(WHERE, SHOWN)
def command(
    *,
    study: str,
    seeds: int,
    again: bool,
    dataset: str | None,
    format_: str,
    quiet: bool,
    **where: Any,
) -> None:
    """Retrain the front of STUDY with new seeds; give means, intervals and ties.

    The test split is opened once, after all trainings, and the record says so; a second opening
    needs --again. The same command continues one that was cut off.
    """
    from edgebench.report import finals_document
    from edgebench.search import Settings, finalize

    settings = Settings(**where)
    with watched(quiet) as observe:
        finals = finalize(study, settings, observe, seeds=seeds, again=again, dataset=dataset)
    click.echo(finals_document(finals, format_), nl=False)
