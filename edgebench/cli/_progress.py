"""What long work shows: a live display on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import click

from edgebench.metrics import metric_of
from edgebench.record import State
from edgebench.units import label, quantity, text

if TYPE_CHECKING:
    from edgebench.search import Event

LINES_EVERY = 20.0  # seconds between plain lines about epochs and refusals: a log, not a flood
REFUSALS_SHOWN = 5  # refused candidates that are named; a tight budget refuses hundreds a minute
ECHO = 3  # columns that the display leaves free at the right
WIDE = 110  # columns from which on bars are long and figures have their whole name


@contextmanager
def shown(quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield the observer of a search; everything it shows goes to stderr.

    What is shown of a trial that ended, and of the best so far, is the study's first objective.
    """
    if quiet:
        yield lambda event: None  # noqa: ARG005 - an observer that shows nothing
    elif sys.stderr.isatty():
        with _Display() as display:
            yield display
    else:
        yield _Lines()


class _Lines:
    """One line a trial, and now and then one about its epochs or what was refused."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._refused = 0

    def __call__(self, event: Event) -> None:
        line = f"[{event.done}/{event.total}] {end_text(event)}{covered_text(event)}"
        line += left_text(event)
        seldom = event.kind == "epoch"
        if seldom:
            line = f"{event.name} epoch {event.epoch}/{event.epochs} {epoch_text(event)}".rstrip()
        elif event.state == State.REFUSED:
            self._refused += 1
            seldom = self._refused > REFUSALS_SHOWN
            line += f" ({self._refused:,} refused)" if seldom else ""
        if event.kind in ("started", "paused") or (
            seldom and time.monotonic() - self._last < LINES_EVERY
        ):
            return
        self._last = time.monotonic()
        click.echo(line, err=True)


class _Display:
    """A rich display: the sweep's bar, a bar for each trial under way, the best so far."""

    def __init__(self) -> None:
        from rich.console import Console, RenderableType
        from rich.constrain import Constrain
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        console = Console(stderr=True)

        class Bars(Progress):
            """The sweep's bar, and the trials' in columns of their own: long names, short notes.

            Room is left for the terminal's own ``^C``: it would wrap, and repeat a row.
            """

            def get_renderables(self) -> Iterable[RenderableType]:
                room = max(console.width - ECHO, 1)
                for tasks in (self.tasks[:1], self.tasks[1:]):
                    if tasks:
                        yield Constrain(self.make_tasks_table(tasks), room)

        self._wide = console.width >= WIDE
        self._progress = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if self._wide else 8),
            MofNCompleteColumn(),
            *([TimeElapsedColumn()] if self._wide else []),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._sweep = self._progress.add_task("trials", total=None, note="")
        self._trials: dict[str, object] = {}
        self._best = math.nan
        self._refused = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._trials.values():  # cut off: a bar that stands still would say nothing
            self._progress.remove_task(task)  # type: ignore[arg-type]  # a TaskID
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "started":
            self._trials[event.name] = self._progress.add_task(
                event.name, total=event.epochs, completed=event.epoch, note="starts"
            )
        elif event.kind == "epoch":
            self._progress.update(
                self._trials[event.name],  # type: ignore[arg-type]  # a TaskID
                completed=event.epoch,
                note=epoch_text(event, named=self._wide),
            )
        elif event.kind == "paused":
            self._progress.remove_task(self._trials.pop(event.name))  # type: ignore[arg-type]  # a TaskID
        else:
            if event.name in self._trials:  # what is refused at the gate never started
                self._progress.remove_task(self._trials.pop(event.name))  # type: ignore[arg-type]  # a TaskID
            self._best = better(self._best, event)
            self._refused += event.state == State.REFUSED
            if event.state != State.REFUSED or self._refused <= REFUSALS_SHOWN:
                ended = end_text(event) + covered_text(event)
                self._progress.console.print(ended, highlight=False, markup=False)
        self._progress.update(
            self._sweep, completed=event.done, total=event.total, note=self._note(event)
        )

    def _note(self, event: Event) -> str:
        """Return the best so far, how many were refused, and how long the rest may take."""
        parts = [f"{self._refused:,} refused"] if self._refused else []
        if not math.isnan(self._best):
            parts.insert(0, f"best {written(event.objective, self._best, named=self._wide)}")
        return (", ".join(parts) + left_text(event)).removeprefix(", ")


def written(name: str, value: float, *, named: bool = True) -> str:
    """Return a figure as text, with its name where asked: ``accuracy int8 85.26 %``."""
    number = text(quantity(name, value))
    return f"{label(name)} {number}" if named else number


def better(best: float, event: Event) -> float:
    """Return the better of the best so far (NaN where none is) and a trial that ended."""
    value = event.metrics.get(event.objective, math.nan)
    if event.state != State.FINISHED or math.isnan(value):
        return best
    if math.isnan(best):
        return value
    return max(best, value) if metric_of(event.objective).goal == "maximize" else min(best, value)


def epoch_text(event: Event, *, named: bool = True) -> str:
    """Return the validation accuracy after an epoch, of the model that trains."""
    name = "val/accuracy"
    if name not in event.metrics:
        return ""
    return ("" if named else "val ") + written(name, event.metrics[name], named=named)


def end_text(event: Event) -> str:
    """Say what became of a trial: its value of the first objective, or its state and reason."""
    if event.state != State.FINISHED:
        reason = (event.reason or "").splitlines()
        return f"{event.name} {event.state}: {reason[0] if reason else ''}"
    value, seconds = event.metrics.get(event.objective), event.metrics.get("time/train_s")
    shown_value = "" if value is None else f" {written(event.objective, value)}"
    return f"{event.name}{shown_value}" + ("" if seconds is None else f" in {seconds:.0f} s")


def covered_text(event: Event) -> str:
    """Return what the front covers after a trial, and what those that are left may add to it."""
    if event.state != State.FINISHED or event.covered is None:
        return ""
    gain = "" if event.gain is None else f" (may gain {100 * event.gain:.2f} %)"
    return f", hypervolume {100 * event.covered:.2f} %{gain}"


def left_text(event: Event) -> str:
    """Return how long the rest is likely to take, or nothing where that is not known."""
    if event.seconds_left is None or event.done >= (event.total or 0):
        return ""
    minutes, seconds = divmod(round(event.seconds_left), 60)
    spelled = f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
    return f", about {spelled} left"
