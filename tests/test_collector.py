"""The garbage collector rests where it would find nothing, and is left as it was."""

from __future__ import annotations

import contextlib
import gc

from onnx_graphs import Sketchpad

from edgebench.collector import paused
from edgebench.footprint import measure
from edgebench.profiling import profile


def test_it_is_left_as_it_was() -> None:
    """After an exception too, and off where it was off."""
    seen = []
    with contextlib.suppress(KeyError), paused():
        seen.append(gc.isenabled())
        raise KeyError
    assert [*seen, gc.isenabled()] == [False, True]
    gc.disable()
    try:
        with paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_no_graph_is_collected_while_it_is_read_and_measured() -> None:
    """A thousand operators are far more objects than begin a collection."""
    pad, value = Sketchpad(), "input"
    for _ in range(1_000):
        value = pad.conv(value, 3, 3, pads=[1, 1, 1, 1])
    model = pad.model(value)
    began: list[int] = []

    def count(phase: str, _: dict[str, int]) -> None:
        began.append(phase == "start")

    gc.callbacks.append(count)
    try:
        measure(profile(model))
    finally:
        gc.callbacks.remove(count)
    assert sum(began) <= 3  # what was owed is paid behind each of the two
