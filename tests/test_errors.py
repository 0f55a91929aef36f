"""Messages name the nearest valid choice."""

from __future__ import annotations

from edgebench.errors import CheckFailed, EdgebenchError, nearest, unknown


def test_a_near_name_is_suggested() -> None:
    """A slip of the finger gets one suggestion."""
    assert unknown("model family", "vg", ["gap", "vgg"]) == (
        "unknown model family 'vg'; did you mean 'vgg'?"
    )


def test_a_far_name_gets_the_whole_list() -> None:
    """Where nothing is near, all choices are shown, in order."""
    assert unknown("goal", "up", ["minimize", "maximize"]) == (
        "unknown goal 'up'; known: maximize, minimize"
    )


def test_a_beginning_is_completed() -> None:
    """What was begun is nearer than what merely looks alike."""
    names = ["footprint/macs", "footprint/rom_bytes", "footprint/rom_bytes_int8"]
    assert nearest("footprint/rom", names) == "footprint/rom_bytes"


def test_case_does_not_matter() -> None:
    """A board may be written as its maker writes it."""
    assert nearest("STM32F746G-DISCO", ["stm32f746g-disco"]) == "stm32f746g-disco"


def test_exit_codes_follow_the_contract() -> None:
    """2 is the user's mistake, 1 a check that did not pass."""
    assert (EdgebenchError("x").exit_code, CheckFailed("x").exit_code) == (2, 1)
