"""Repeat the proof of a hand-over on its golden vectors, without PyTorch or data."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli._limits import limits_options
from edgebench.errors import CheckFailed


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--against",
    metavar="RUN",
    help="DIR must be what the record says was exported from this run: an id, STUDY:NUMBER, ...",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="KEY",
    help="DIR must be signed by the owner of the public Ed25519 key in this file.",
)
@limits_options
@click.option("--tracking-uri", metavar="URI", help="Where the record is; default mlruns/.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "markdown", "csv", "json")),
    default="table",
    show_default=True,
)
def command(
    *,
    folder: Path,
    against: str | None,
    key: Path | None,
    max_abs_diff: float,
    min_agreement: float,
    max_accuracy_drop: float,
    tracking_uri: str | None,
    format_: str,
) -> None:
    """Check the files of DIR against proof.json and run the ladder again; exit 1 if it fails.

    The limits are those given here, not those of the proof. By itself DIR proves that its files
    belong together; --against or --key prove where it comes from.
    """
    from edgebench.cli._listing import width
    from edgebench.export import Limits, verify
    from edgebench.report import render

    recorded = None
    if against is not None:
        from edgebench.tracking import recorded_handovers

        recorded = recorded_handovers(against, tracking_uri=tracking_uri)
    limits = Limits(max_abs_diff, min_agreement, max_accuracy_drop)
    found = verify(folder, limits=limits, recorded=recorded, key=key)
    if format_ == "json":
        import json

        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        click.echo(render(found.ladder.rows(), format_, width=width()), nl=False)
    for note in found.notes:
        click.echo(note, err=True)
    if found.passed:
        proven = [f"recorded with '{against}'"] if against is not None else []
        proven += [f"signed by '{key}'"] if key is not None else []
        said = f", {' and '.join(proven)}" if proven else ""
        click.echo(f"'{folder}' holds what was proven{said}", err=True)
        return
    broken = [f"{rung.name}: {'; '.join(rung.failures)}" for rung in found.ladder.rungs]
    raise CheckFailed(*found.problems, *(line for line in broken if not line.endswith(": ")))
