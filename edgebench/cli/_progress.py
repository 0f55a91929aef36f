"""What long work shows: a live display on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from edgebench.search import Event

EPOCH_LINES_EVERY = 20.0  # seconds between plain lines about epochs: a log, not a flood


@contextmanager
def shown(quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield the observer of a search; everything it shows goes to stderr."""
    if quiet:
        yield lambda event: None  # noqa: ARG005 - an observer that shows nothing
    elif sys.stderr.isatty():
        with _Display() as display:
            yield display
    else:
        yield _Lines()


class _Lines:
    """One line a trial, and now and then one about its epochs."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        if event.kind == "epoch":
            if time.monotonic() - self._last < EPOCH_LINES_EVERY:
                return
            accuracy = event.metrics["val/accuracy"]
            text = f"{event.name} epoch {event.epoch}/{event.epochs} val {accuracy:.2%}"
        elif event.kind == "ended":
            text = f"[{event.done}/{event.total}] {_ended(event)}{_left(event)}"
        else:
            return
        self._last = time.monotonic()
        click.echo(text, err=True)


class _Display:
    """A rich display: the sweep's bar, a bar for each trial under way, the best so far."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._sweep = self._progress.add_task("trials", total=None, note="")
        self._trials: dict[str, object] = {}
        self._best = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "started":
            self._trials[event.name] = self._progress.add_task(
                event.name, total=event.epochs, note="gate"
            )
        elif event.kind == "epoch":
            note = f"val {event.metrics['val/accuracy']:.2%}"
            self._progress.update(self._trials[event.name], completed=event.epoch, note=note)  # type: ignore[arg-type]  # a TaskID
        else:
            self._progress.remove_task(self._trials.pop(event.name))  # type: ignore[arg-type]  # a TaskID
            self._best = max(self._best, event.metrics.get("val/accuracy_best", 0.0))
            self._progress.console.print(_ended(event), highlight=False, markup=False)
        best = f"best val {self._best:.2%}" if self._best else ""
        self._progress.update(
            self._sweep, completed=event.done, total=event.total, note=best + _left(event)
        )


def _ended(event: Event) -> str:
    if event.state != "finished":
        reason = (event.reason or "").splitlines()
        return f"{event.name} {event.state}: {reason[0] if reason else ''}"
    accuracy = event.metrics["val/accuracy_best"]
    seconds = event.metrics["time/train_s"]
    return f"{event.name} val {accuracy:.2%} in {seconds:.0f} s"


def _left(event: Event) -> str:
    if event.seconds_left is None or event.done >= (event.total or 0):
        return ""
    minutes, seconds = divmod(round(event.seconds_left), 60)
    return f", about {minutes} min {seconds:02d} s left"
