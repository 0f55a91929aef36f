"""The shipped sweeps: each candidate can be built and measured; the table of them is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgebench import trial
from edgebench.space import Sweep, TrialConfig, load

FOLDER = Path(__file__).resolve().parent.parent / "sweeps"
SHIPPED = sorted(FOLDER.glob("*.yaml"))
SHAPES = {
    "cifar10": (3, 32, 32),
    "fashion_mnist": (1, 28, 28),
    "digits": (1, 32, 32),
    "circles": (2, 1, 1),
}
"""What the images of the data sets are: nothing is read."""


def candidates(sweep: Sweep) -> list[TrialConfig]:
    """Return candidates of a sweep that differ in what the gate looks at: model and input.

    All of a grid; of a random search that has no end, the first.
    """
    every = sweep.configurations() or [sweep.first()]
    if sweep.method != "grid":
        every = every[:1] + every[-1:]
    looked_at = {
        json.dumps(
            {
                name: value
                for name, value in config.params.items()
                if name.startswith(("model.", "data.")) and name != "model.init_scale"
            }
        ): config
        for config in every
    }
    return list(looked_at.values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_candidate_of_a_shipped_sweep_passes_the_gate(path: Path) -> None:
    """It can be built for the images of the data set, without training and without the images."""
    sweep = load(path)
    channels, height, width = SHAPES[sweep.dataset]
    for config in candidates(sweep):
        size = config.data_options.crop
        shape = (channels, size or height, size or width)
        found = trial.gate(config, None, shape, 2 if sweep.dataset == "circles" else 10)
        assert found.refusal is None, config.params
        assert found.metrics["footprint/macs"] > 0


def test_the_page_of_the_sweeps_has_a_line_for_each() -> None:
    """And no line for one that is not there."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)\.yaml` \|", page, re.MULTILINE)
    assert sorted(named) == [path.stem for path in SHIPPED]
