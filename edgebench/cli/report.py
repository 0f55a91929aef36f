"""Show a study's trade-off table and front, or write its pictures and what-if page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgebench.errors import EdgebenchError
from edgebench.metrics import Dtype
from edgebench.units import FORMATS, UNITS

if TYPE_CHECKING:
    from edgebench.record import StudyRecord
    from edgebench.report import Board

SUFFIXES = {".txt": "table", ".md": "markdown", ".csv": "csv", ".json": "json", ".html": "html"}


@click.command()
@click.argument("study", required=False)
@click.option("--target", metavar="BOARD", help="Ask again for this board, without a new search.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "int8"]),
    help="The model that ships; default int8 where the study's budget or objectives are of int8.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: table.")
@click.option(
    "--all", "everything", is_flag=True, help="Every refused trial in the table, however many."
)
@click.option(
    "--columns",
    metavar="NAME,...",
    help="These columns of the trials: titles as shown, or recorded names as val/macro_f1.",
)
@click.option("--wide", is_flag=True, help="All columns, however narrow the terminal.")
@click.option("--units", type=click.Choice(UNITS), default="decimal", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file, its suffix choosing the format (.html: the what-if page), or a directory for "
    "everything, pictures included.",
)
@click.option("--tracking-uri", metavar="URI", help="Where the record is; default mlruns/.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    hidden=True,  # older versions counted confusion matrices anew; now the record has them
    expose_value=False,
)
def command(
    *,
    study: str | None,
    target: str | None,
    dtype: Dtype | None,
    format_: str | None,
    everything: bool,
    columns: str | None,
    wide: bool,
    units: str,
    output: Path | None,
    tracking_uri: str | None,
) -> None:
    """Show STUDY's trade-off table, its front, and how the front fits the boards.

    Without STUDY it is the one that was written last.
    """
    from edgebench.cli._listing import width
    from edgebench.footprint import TARGETS, load_target
    from edgebench.report import Board, redeploy, refit
    from edgebench.tracking import last_study, read_study

    folder = output is not None and (output.is_dir() or not output.suffix)
    chosen = _format(format_, output, folder=folder)
    asked = load_target(target) if target is not None else None
    name = study or last_study(tracking_uri)
    record = read_study(name, tracking_uri=tracking_uri, details=folder or chosen == "html")
    boards = {board.name: board for board in TARGETS.values()}
    if asked is not None:
        boards[asked.name] = asked
    if dtype is not None and dtype != record.dtype:
        record = redeploy(record, dtype)
    left = [Board(b.name, b.free_flash_bytes, b.free_ram_bytes) for b in boards.values()]
    if asked is not None:
        record = refit(record, next(board for board in left if board.name == asked.name))
    content = partial(
        _content,
        record,
        units=units,
        boards=left,
        everything=everything,
        columns=_split(columns),
    )
    if output is None:
        click.echo(content(chosen, width=None if wide else width()), nl=False)
    elif folder:
        from edgebench.tracking import with_filters

        record = with_filters(record, tracking_uri=tracking_uri)
        _write_all(record, output, content, left)
    else:
        _save(output, content(chosen))


def _split(columns: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (columns or "").split(",") if name.strip())


def _format(asked: str | None, output: Path | None, *, folder: bool) -> str:
    """Return the format: the one asked for, else the suffix's, else ``table``."""
    if asked is not None and folder:
        raise EdgebenchError(f"{output} is a directory, which takes every format; leave --format")
    if asked is not None or output is None or folder:
        return asked or "table"
    if output.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise EdgebenchError(f"{output}: '{output.suffix}' chooses no format; use {known}")
    return SUFFIXES[output.suffix]


def _content(
    record: StudyRecord,
    chosen: str,
    *,
    units: str,
    boards: Sequence[Board],
    everything: bool,
    columns: Sequence[str],
    width: int | None = None,
) -> str:
    if chosen == "html":
        from edgebench.report import page

        return page(record, boards, units=units)
    from edgebench.report import document

    return document(
        record,
        chosen,
        units=units,
        boards=boards,
        everything=everything,
        columns=columns,
        width=width,
    )


def _write_all(
    record: StudyRecord, folder: Path, content: Callable[[str], str], boards: Sequence[Board]
) -> None:
    from edgebench.report import figures

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("trials.csv", "study.json", "study.html"):
        _save(folder / name, content(SUFFIXES[Path(name).suffix]))
    stems = []
    for stem, figure in figures(record, boards):
        figure.savefig(folder / f"{stem}.png")
        click.echo(f"wrote {folder / stem}.png", err=True)
        stems.append(stem)
    pictures = [f"![{stem}]({stem}.png)" for stem in [*_write_asked(record, folder), *stems]]
    text = content(SUFFIXES[".md"])
    _save(folder / "report.md", "\n\n".join([text.rstrip(), "## Figures", *pictures]) + "\n")


def _write_asked(record: StudyRecord, folder: Path) -> list[str]:
    """Write the figures of the sweep file, each as PNG and SVG with its numbers as CSV.

    Returns:
        The names of those that have something to draw.
    """
    from edgebench.report import asked_figures, render

    drawn: list[str] = []
    for name, picture in asked_figures(record):
        for suffix in ("png", "svg"):
            picture.figure.savefig(folder / f"{name}.{suffix}")
            click.echo(f"wrote {folder / name}.{suffix}", err=True)
        _save(folder / f"{name}.csv", render(list(picture.rows), "csv"))
        drawn.append(name)
    for figure in record.figures:
        if figure.name not in drawn:
            click.echo(f"{figure.name}: nothing to draw yet", err=True)
    return drawn


def _save(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise EdgebenchError(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}", err=True)
