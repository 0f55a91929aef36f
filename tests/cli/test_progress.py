"""What a search shows: the study's first objective, on a terminal of any width and in a log."""

from __future__ import annotations

import io
import math
import re
import sys

import pytest

from edgebench.cli import _progress
from edgebench.cli._progress import better, end_text, epoch_text, left_text, shown
from edgebench.record import State
from edgebench.search import Event

INT8 = {"val/accuracy_int8": 0.8526, "val/accuracy_best": 0.9, "time/train_s": 12.3}


def ended(value: float, state: State = State.FINISHED, **more: object) -> Event:
    """A trial that ended with this int8 accuracy."""
    metrics = {**INT8, "val/accuracy_int8": value}
    event = Event("ended", "trial-0007", 3, 10, metrics=metrics, state=state,
                  objective="val/accuracy_int8", reason=None)  # fmt: skip
    return Event(**{**event.__dict__, **more})  # type: ignore[arg-type]  # its own fields


def test_a_trial_ends_with_the_figure_that_is_sought() -> None:
    """The int8 accuracy where that is the objective, ROM where ROM is; in its unit."""
    assert end_text(ended(0.8526)) == "trial-0007 accuracy int8 85.26 % in 12 s"
    rom = Event("ended", "t", metrics={"footprint/rom_bytes": 12_300, "time/train_s": 1.0},
                state=State.FINISHED, objective="footprint/rom_bytes")  # fmt: skip
    assert end_text(rom) == "t ROM 12.30 kB in 1 s"
    assert end_text(Event("ended", "t", state=State.FINISHED)) == "t"


@pytest.mark.parametrize("state", [State.REFUSED, State.PRUNED, State.FAILED])
def test_what_did_not_finish_ends_with_its_state_and_first_line(state: State) -> None:
    """A traceback is for the record."""
    event = ended(0.1, state, reason="ROM 2 B is over 1 B by 1 B\nTraceback")
    assert end_text(event) == f"trial-0007 {state}: ROM 2 B is over 1 B by 1 B"


def test_an_epoch_shows_the_validation_accuracy() -> None:
    """Of the model that trains; short on a narrow terminal; nothing where there is none."""
    event = Event("epoch", "t", epoch=2, epochs=4, metrics={"val/accuracy": 0.5})
    assert epoch_text(event) == "validation accuracy 50.00 %"
    assert epoch_text(event, named=False) == "val 50.00 %"
    assert epoch_text(Event("epoch", "t", metrics={"val/loss": 1.0})) == ""


def test_the_best_goes_by_the_objectives_better_direction() -> None:
    """More accuracy, less ROM; what did not finish is no best, and neither is what is missing."""
    assert better(math.nan, ended(0.7)) == 0.7
    assert better(0.7, ended(0.6)) == 0.7
    assert better(0.7, ended(0.8)) == 0.8
    assert better(0.7, ended(0.9, State.PRUNED)) == 0.7
    assert better(0.7, ended(math.nan)) == 0.7
    small = Event("ended", metrics={"footprint/rom_bytes": 5}, state=State.FINISHED,
                  objective="footprint/rom_bytes")  # fmt: skip
    assert better(9, small) == 5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(16.2, ", about 16 s left"), (61.0, ", about 1 min 01 s left"), (None, "")],
)
def test_the_time_left_is_spelled_without_empty_minutes(seconds: float | None, words: str) -> None:
    """Nothing where it is not known, or where nothing is left."""
    assert left_text(Event("ended", done=1, total=2, seconds_left=seconds)) == words
    assert left_text(Event("ended", done=2, total=2, seconds_left=seconds)) == ""


def test_a_log_has_a_line_for_each_trial_and_few_for_epochs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, where no terminal is; epochs now and then."""
    epoch = Event("epoch", "trial-0007", epoch=1, epochs=4, metrics={"val/accuracy": 0.5})
    with shown(quiet=False) as observe:
        observe(Event("started", "trial-0007", epochs=4))
        observe(epoch)
        monkeypatch.setattr(_progress, "LINES_EVERY", 0.0)
        observe(epoch)
        observe(ended(0.8526, seconds_left=30.0))
        observe(ended(0.8526, covered=0.5324, gain=0.0031))
        observe(ended(0.8526, covered=0.5324))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "trial-0007 epoch 1/4 validation accuracy 50.00 %",
        "[3/10] trial-0007 accuracy int8 85.26 % in 12 s, about 30 s left",
        "[3/10] trial-0007 accuracy int8 85.26 % in 12 s, hypervolume 53.24 % (may gain 0.31 %)",
        "[3/10] trial-0007 accuracy int8 85.26 % in 12 s, hypervolume 53.24 %",
    ]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither out nor err."""
    with shown(quiet=True) as observe:
        observe(ended(0.5))
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A stderr that says that it is a terminal."""

    def isatty(self) -> bool:
        """As a terminal answers."""
        return True


@pytest.mark.parametrize(
    ("columns", "best"), [(80, "best 85.26 %"), (160, "best accuracy int8 85.26 %")]
)
def test_a_terminal_shows_bars_that_fit_it(
    monkeypatch: pytest.MonkeyPatch, columns: int, best: str
) -> None:
    """Every number whole, no line longer than the terminal, no bar left behind when cut off."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with shown(quiet=False) as observe:
        observe(Event("started", "trial-0007", 2, 10, epochs=4))
        observe(ended(0.8526))
        observe(ended(0.8526, covered=0.5324, gain=0.0031))
        more = {"objective": "val/accuracy_int8", "seconds_left": 754.0}
        for number in (8, 9):  # the second is drawn beside the time that is left
            name = f"trial-{number:04}-gap-w32-b2-l0.00123" + "-h4000" * (columns > 80) * 2
            observe(Event("started", name, 3, 10, epochs=4, **more))  # type: ignore[arg-type]  # its own fields
    lines = terminal.getvalue().replace("\r", "\n").splitlines()
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
    plain = [line.rstrip() for line in drawn]
    said = "trial-0007 accuracy int8 85.26 % in 12 s"
    assert said in plain
    assert f"{said}, hypervolume 53.24 % (may gain 0.31 %)" in plain
    assert max(map(len, plain)) <= columns
    bars = [line for line in drawn if "━" in line]
    assert max(map(len, bars)) <= columns - len("^C")  # which would wrap and repeat a row
    last = [line for line in plain if line][-1]
    assert last.startswith("trials ")
    assert last.endswith(f" {best}, about 12 min 34 s left")
    assert "…" not in terminal.getvalue()


def refused(number: int) -> Event:
    """A candidate that the gate refused: it never started."""
    return Event("ended", f"trial-{number:04}", 0, 10, state=State.REFUSED,
                 reason="ROM 2 B is over 1 B by 1 B")  # fmt: skip


def test_hundreds_of_refusals_are_counted_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Five are named; after that a line now and then would say how many there are."""
    with shown(quiet=False) as observe:
        for number in range(300):
            observe(refused(number))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == _progress.REFUSALS_SHOWN
    assert lines[0] == "[0/10] trial-0000 refused: ROM 2 B is over 1 B by 1 B"


def test_hundreds_of_refusals_are_counted_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the best; five are named."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with shown(quiet=False) as observe:
        for number in range(300):
            observe(refused(number))
        observe(ended(0.8526))
    text = terminal.getvalue()
    assert text.count("refused: ROM 2 B") == _progress.REFUSALS_SHOWN
    assert "best 85.26 %, 300 refused" in text
