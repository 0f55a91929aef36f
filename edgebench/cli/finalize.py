"""Retrain a study's front with new seeds, then open the test split once and compare."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli._running import watched
from edgebench.record import MLFLOW_STORE, OPTUNA_STORE


@click.command()
@click.argument("study")
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings of each member.")
@click.option("--again", is_flag=True, help="Open the test split once more; it is recorded.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Local processes that train; the cores are divided among them.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--dataset", help="Where the same images are now, as in folder:PATH.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Where archives and decoded images are kept.",
)
@click.option(
    "--storage",
    default=OPTUNA_STORE,
    show_default=True,
    metavar="URL",
    help="Optuna's store; the study's lock is beside it.",
)
@click.option(
    "--tracking-uri",
    default=MLFLOW_STORE,
    show_default=True,
    metavar="URI",
    help="MLflow's store.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option("--quiet", is_flag=True, help="Show no progress.")  # fmt: skip
def command(
    *,
    study: str,
    seeds: int,
    again: bool,
    workers: int,
    device: str,
    dataset: str | None,
    data_dir: Path,
    storage: str,
    tracking_uri: str,
    format_: str,
    quiet: bool,
) -> None:
    """Retrain the front of STUDY with new seeds; give means, intervals and ties.

    The test split is opened once, after all trainings, and the record says so; a second opening
    needs --again. The same command continues one that was cut off.
    """
    from edgebench.report import finals_document
    from edgebench.search import Settings, finalize

    settings = Settings(
        storage=storage,
        tracking_uri=tracking_uri,
        data_dir=data_dir,
        workers=workers,
        device=device,
    )
    with watched(quiet) as observe:
        finals = finalize(study, settings, observe, seeds=seeds, again=again, dataset=dataset)
    click.echo(finals_document(finals, format_), nl=False)
