"""What the commands that train share: options, signals, running a search, showing its end."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgebench.errors import CheckFailed, redacted
from edgebench.record import MLFLOW_STORE, OPTUNA_STORE
from edgebench.units import FORMATS, UNITS

if TYPE_CHECKING:
    from edgebench.record import StudyRecord
    from edgebench.search import Observer
    from edgebench.space import Sweep

AGAIN_SECONDS = 0.02
"""After which an interrupt that Python dropped is raised again."""
F = TypeVar("F", bound=Callable[..., Any])

WHERE = (
    click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True,
                 help="Trials at once; the cores are divided among them."),
    click.option("--pool", default="local", show_default=True, metavar="NAME",
                 help="Where trials run: local, ray, or ray://HOST:PORT."),
    click.option("--gpus-per-trial", type=click.FloatRange(min=0), metavar="X",
                 help="The share of a GPU that each has on a Ray cluster, as in 0.25."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
                 show_default=True),
    click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False),
                 default=Path("data"), show_default=True,
                 help="Where archives and decoded images are kept."),
    click.option("--storage", default=OPTUNA_STORE, show_default=redacted(OPTUNA_STORE),
                 metavar="URL", help="Optuna's store; also read from EDGEBENCH_STORAGE."),
    click.option("--tracking-uri", default=MLFLOW_STORE, show_default=redacted(MLFLOW_STORE),
                 metavar="URI", help="MLflow's store; also read from EDGEBENCH_TRACKING_URI."),
)  # fmt: skip
"""Where and how trainings run, and where they are recorded."""
SHOWN = (
    click.option("--format", "format_", type=click.Choice(FORMATS), default="table",
                 show_default=True),
    click.option("--quiet", is_flag=True, help="Show no progress."),
)  # fmt: skip
SEARCHED = (
    click.option("--timeout", type=click.FloatRange(min=1), help="Start no trial after S seconds."),
    click.option("--dataset", help="Use this data set instead, as in folder:PATH."),
    click.option("--seed", type=click.IntRange(min=0), help="Use this seed instead."),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
                 help="Replace a part of the search, as in train.epochs=3; may be repeated."),
    click.option("--units", type=click.Choice(UNITS), default="decimal", show_default=True),
)  # fmt: skip
"""What only a search has: ``sweep`` and ``train``."""


def with_options(*groups: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    """Return a decorator that adds groups of options to a command, in their order."""

    def decorate(command: F) -> F:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def overrides(settings: tuple[str, ...], **named: Any) -> dict[str, Any]:
    """Merge ``--set`` texts with the options that replace one part; None leaves the part alone."""
    from edgebench import yaml12

    given = {name.replace("__", "."): value for name, value in named.items() if value is not None}
    return yaml12.assignments(settings) | given


def run(sweep: Sweep, *, quiet: bool, **where: Any) -> StudyRecord:
    """Run or continue the search; SIGTERM ends it as cleanly as Ctrl-C."""
    import edgebench

    with watched(quiet) as observe:
        return edgebench.run_sweep(sweep, observe=observe, **where)


@contextlib.contextmanager
def watched(quiet: bool) -> Iterator[Observer]:
    """Yield what shows the work inside; Ctrl-C and SIGTERM end it with a word and their status."""
    from edgebench.cli._progress import shown

    try:
        with interruptible(), shown(quiet) as observe:
            yield observe
    except KeyboardInterrupt as cut:
        number = cut.args[0] if cut.args else signal.SIGINT
        click.echo("interrupted; everything finished is kept, the same command goes on", err=True)
        sys.exit(128 + number)


def show(record: StudyRecord, format_: str, units: str, tracking_uri: str) -> None:
    """Print the trade-off table and front to stdout, the links to stderr.

    Raises:
        CheckFailed: No trial is feasible.
    """
    from edgebench.cli._listing import width
    from edgebench.report import document, front
    from edgebench.tracking import experiment_id_of, views

    click.echo(document(record, format_, units=units, width=width()).rstrip("\n"))
    links = views.links(
        "http://127.0.0.1:5000", experiment_id_of(record.study, tracking_uri), record
    )
    click.echo(
        f"\nedgebench report {record.study} -o DIR   writes tables, pictures, a page", err=True
    )
    click.echo(f"edgebench ui {record.study}   opens the comparison in MLflow:", err=True)
    for name, link in links.items():
        click.echo(f"{name}: {link}", err=True)
    if not front(record.rows, record.objectives):
        raise CheckFailed(f"no trial of '{record.study}' is feasible; the table says why")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt; what follows must not cut it off.

    Python drops what is raised in a destructor or a weak reference's callback. An interrupt that
    fell into one is raised again a moment later: else the command would go on, deaf to signals.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    hook = sys.unraisablehook

    caught: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    def alarm(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt(*caught[:1])

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)
            return
        caught.extend(unraisable.exc_value.args)
        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    before = {one: signal.signal(one, interrupt) for one in signals}
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if signal.getsignal(signal.SIGALRM) is alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for one, handler in before.items():
            signal.signal(one, handler)
