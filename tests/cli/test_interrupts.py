"""Ctrl-C and SIGTERM reach the command wherever they fall."""

from __future__ import annotations

import os
import signal
import sys
import time
import weakref

import pytest

from edgebench.cli._running import interruptible


class Thing:
    """Something that a weak reference can point at."""


def spin(seconds: float) -> None:
    """Run Python for a while: a signal's handler is called between two of its steps."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_raised_with_its_signal(number: signal.Signals) -> None:
    """Once: what follows is not cut off by a second one; afterwards all is as it was."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, interruptible():  # noqa: PT012 - until it falls
        os.kill(os.getpid(), number)
        spin(5)
    assert caught.value.args == (number,)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_destructor_is_not_lost(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops what is raised there; it comes a moment later, and nothing is printed."""
    went_on = []

    def callback(_: object) -> None:
        os.kill(os.getpid(), number)
        spin(5)

    thing = Thing()
    alarm = signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt) as caught, interruptible():  # noqa: PT012 - until it falls
        reference = weakref.ref(thing, callback)
        del thing
        went_on.append(True)
        spin(5)
    signal.signal(signal.SIGALRM, alarm)
    assert reference() is None
    assert went_on  # after the callback, which swallowed it
    assert caught.value.args == (number,)
    assert "Traceback" not in capsys.readouterr().err


def test_what_else_is_dropped_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of a destructor that is no interrupt goes to whoever was told before."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: told.append(one.exc_type))

    class Broken:
        def __del__(self) -> None:
            raise OSError("gone")

    with interruptible():
        broken = Broken()
        del broken
    assert told == [OSError]
