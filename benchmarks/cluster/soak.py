"""Faults at random moments in studies on a Ray cluster, a PostgreSQL server and an MLflow server.

All parts are real and on this machine. Each study is one command, started again where the
coordinator itself was killed. Afterwards both stores are asked: is each trial there, once, with all
its epochs and its model, and is nothing left running?

Run: python benchmarks/cluster/soak.py [FAULTS] [SEED]
Last printed, by 30 7, its last lines:
    5 studies, 30 faults: {'node': 9, 'mlflow': 4, 'postgres': 8, 'actor': 3, 'coordinator': 6}
    lost 0, repeated 0, zombies 0, epochs twice 0, incomplete 0, models wrong 0, stores disagree 0,
        passwords 0
"""

from __future__ import annotations

import collections
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from ground import Counts, Ground, open_ground  # noqa: E402 - the ground is the tests' own

FAULTS_A_STUDY = 6
TRIALS, EPOCHS = 8, 60
METHODS = ("random", "edgebench")
"""In turn: a trial that is cut off begins anew in the one, and goes on in the other."""
MOST_SECONDS = 400.0
"""Of a study: it hangs otherwise."""


@dataclass
class Faults:
    """What may fail at any moment, and how often each did."""

    ground: Ground
    chance: random.Random
    done: Counts = field(default_factory=Counts)

    def strike(self) -> bool:
        """Cause a fault; tell whether there was something to strike."""
        name = self.chance.choice(["actor", "node", "coordinator", "postgres", "mlflow"])
        struck = bool(getattr(self, name)())
        self.done[name] += struck
        return struck

    def actor(self) -> bool:
        """Kill a worker's process."""
        found = self.ground.workers()
        if found:
            self.chance.choice(found).kill()
        return bool(found)

    def node(self) -> bool:
        """Remove a node without grace; another joins later."""
        with self.ground.without_node(self.chance.randrange(len(self.ground.nodes))):
            time.sleep(self.chance.uniform(0, 3))
        return True

    def coordinator(self) -> bool:
        """Kill the command; the same one goes on."""
        self.ground.kill_command()
        return True

    def postgres(self) -> bool:
        """Cut the database off and start it again."""
        with self.ground.without_database():
            time.sleep(self.chance.uniform(0, 4))
        return True

    def mlflow(self) -> bool:
        """Stop the tracking server and start it again."""
        with self.ground.without_tracker():
            time.sleep(self.chance.uniform(0, 6))
        return True

    def run(self, study: str, method: str, faults: int) -> None:
        """Run a study through so many faults."""
        left, begun = faults, time.monotonic()
        self.ground.start(study, method)
        due = time.monotonic() + self.chance.uniform(6, 12)
        while True:
            assert self.ground.command is not None  # noqa: S101 - it was started
            code = self.ground.command.poll()
            if code == 0:
                break
            if code is not None:  # killed, or it said that a part is away
                self.ground.start(study, method)
            if left and time.monotonic() > due:
                left -= self.strike()
                due = time.monotonic() + self.chance.uniform(2, 9)
            if time.monotonic() - begun > MOST_SECONDS:
                raise SystemExit(f"{study} does not end: {self.ground.log(study).read_text()}")
            time.sleep(0.1)


def main() -> None:
    """Run studies until there were as many faults as asked for."""
    faults = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ground(Path(folder), trials=TRIALS, epochs=EPOCHS) as ground,
    ):
        cause = Faults(ground, random.Random(seed))  # noqa: S311 - no secret
        number, total = 0, collections.Counter[str]()
        while cause.done.total() < faults:
            study, begun = f"soak-{number}", time.monotonic()
            method = METHODS[number % len(METHODS)]
            cause.run(study, method, min(FAULTS_A_STUDY, faults - cause.done.total()))
            found = ground.check(study)
            total += found
            number += 1
            seconds = time.monotonic() - begun
            print(f"{study}, {method}: {seconds:.0f} s, {dict(found)}", flush=True)
            if found["tracebacks"]:
                print(ground.log(study).read_text()[-3000:])
        print(f"{number} studies, {cause.done.total()} faults: {dict(cause.done)}")
        wanted = ("lost", "repeated", "zombies", "epochs twice", "incomplete", "models wrong",
                  "stores disagree", "passwords")  # fmt: skip
        print(", ".join(f"{name} {total[name]}" for name in wanted))


if __name__ == "__main__":
    main()
