"""Each part of several machines fails in the middle of one study; both stores are whole afterwards.

The parts are real: two nodes of Ray, PostgreSQL with both stores in it, MLflow's server. What
happens to a study at random moments is `benchmarks/cluster/soak.py`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ground import WORKERS, Ground, open_ground
from stopwatch import PATIENCE

TRIALS, EPOCHS = 8, 20
LEFT = 6
"""Epochs that a trial in the middle of its training has yet to come, at least."""
STUDY = "faults"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Start all the parts."""
    with open_ground(tmp_path, trials=TRIALS, epochs=EPOCHS, paced=True) as made:
        yield made


def until_trained(ground: Ground, trials: int = WORKERS) -> None:
    """Wait until so many trials are being trained, each with an epoch that was not there before."""
    before = ground.in_the_middle(STUDY)

    def seen() -> bool:
        now = ground.in_the_middle(STUDY)
        return (
            sum(before.get(run, 0) < step <= EPOCHS - LEFT for run, step in now.items()) >= trials
        )

    ground.until(seen, "trials are in the middle of their training", STUDY)


@pytest.mark.timeout(1800)  # its own waits end sooner; a machine that does other things
def test_a_study_outlasts_the_failure_of_each_of_its_parts(ground: Ground) -> None:
    """As many trials as were asked for, each once, with every epoch once, and nothing left open."""
    ground.start(STUDY)
    until_trained(ground)
    ground.workers()[0].kill()
    ground.until(lambda: ground.deaths(STUDY) == 1, "the death of an actor is recorded", STUDY)

    until_trained(ground)
    ground.kill_command()
    ground.start(STUDY)

    until_trained(ground)
    with ground.without_node(0):
        ground.until(lambda: ground.deaths(STUDY) == 2, "the loss of a node is recorded", STUDY)

    until_trained(ground)
    said = len(ground.log(STUDY).read_text())
    with ground.without_database():
        away = "is away"
        ground.until(
            lambda: away in ground.log(STUDY).read_text()[said:], "the outage is told", STUDY
        )

    until_trained(ground, 1)
    with ground.without_tracker():
        journal = ground.journal(STUDY)
        ground.until(
            lambda: journal.exists() and "val/accuracy" in journal.read_text(),
            "epochs are in the journal",
            STUDY,
        )

    assert ground.command is not None
    assert ground.command.wait(PATIENCE) == 0, ground.log(STUDY).read_text()
    found = ground.check(STUDY)
    assert found.pop("cut off") == 1 + WORKERS + 1
    assert +found == {"ended": TRIALS}
    assert not ground.journal(STUDY).exists()
