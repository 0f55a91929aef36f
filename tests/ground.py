"""The ground that a study on several machines stands on, and how each part of it fails.

A PostgreSQL server that both stores are in, an MLflow server and a Ray cluster of two nodes: real
parts, all on this machine. Each study is one command, started again where it was itself killed.
Afterwards both stores are asked what became of it.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ray_nodes import open_cluster
from servers import PASSWORD, Postgres, Tracker, postgres
from stopwatch import PATIENCE

Counts = collections.Counter[str]
WORKERS = 2
PACED = Path(__file__).with_name("paced.py")
SWEEP: dict[str, Any] = {
    "dataset": "synthetic",
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"values": [4, 6, 8, 10, 12]},
        "model.blocks": 2,
        "model.hidden": {"values": [8, 16], "when": {"model.family": "vgg"}},
        "train.batch_size": 32,
    },
}
CURVES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
"""What is recorded of each epoch."""


@dataclass
class Ground:
    """The parts, and the studies that run on them: ``trials`` of ``epochs`` each.

    In a ``paced`` one an epoch takes at least a moment (`paced`), however fast the machine is.
    """

    folder: Path
    database: Postgres
    tracker: Tracker
    cluster: Any
    trials: int
    epochs: int
    paced: bool
    nodes: list[Any] = field(default_factory=list)
    command: subprocess.Popen[bytes] | None = None

    def start(self, study: str, method: str = "random") -> None:
        """Start the command of a study, or go on with it."""
        parameters = SWEEP["parameters"] | {"train.epochs": self.epochs}
        asked: dict[str, Any] = {"name": study, "method": method, "run_cap": self.trials}
        asked["early_stop"] = "paced" if self.paced else "none"
        program = [str(PACED)] if self.paced else ["-m", "edgebench.cli"]
        file = self.folder / f"{study}.yaml"
        file.write_text(json.dumps(SWEEP | asked | {"parameters": parameters}))  # JSON is YAML
        words = ["sweep", str(file), "--pool", f"ray://{self.cluster.address}"]
        words += ["--workers", str(WORKERS), "--device", "cpu"]
        words += ["--tracking-uri", self.tracker.uri, "--quiet"]
        with self.log(study).open("ab") as said:
            self.command = subprocess.Popen(
                [sys.executable, *program, *words],
                cwd=self.folder,
                env=os.environ | {"EDGEBENCH_STORAGE": self.database.address("optuna")},
                stdout=said,
                stderr=said,
            )

    def log(self, study: str) -> Path:
        """Return the file that has all that the commands of a study said."""
        return self.folder / f"{study}.log"

    def journal(self, study: str) -> Path:
        """Return the file that keeps what MLflow's server misses."""
        return self.folder / "mlruns" / f".{study}.journal"

    # How each part fails --------------------------------------------------------------------

    def workers(self) -> list[psutil.Process]:
        """Return the processes of the workers that are there, each a child of its node's raylet."""
        found = []
        for node in self.nodes:
            raylet = node.all_processes["raylet"][0].process
            with contextlib.suppress(psutil.Error):
                for one in psutil.Process(raylet.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        found += [one] if " ".join(one.cmdline()).startswith("ray::Host") else []
        return found

    def kill_command(self) -> None:
        """Kill the coordinator."""
        assert self.command is not None
        self.command.kill()
        self.command.wait()

    @contextlib.contextmanager
    def without_node(self, place: int) -> Iterator[None]:
        """Remove a node without grace; another one joins afterwards."""
        self.cluster.remove_node(self.nodes.pop(place), allow_graceful=False)
        yield
        self.nodes.append(self.cluster.add_node(num_cpus=1))

    @contextlib.contextmanager
    def without_database(self) -> Iterator[None]:
        """Cut PostgreSQL off, and start it again: both stores are in it."""
        self.database.stop()
        yield
        self.database.start()

    @contextlib.contextmanager
    def without_tracker(self) -> Iterator[None]:
        """Kill MLflow's server, and start it again."""
        self.tracker.stop()
        yield
        self.tracker.start()

    # What is seen from outside --------------------------------------------------------------

    def until(self, seen: Callable[[], bool], what: str, study: str) -> None:
        """Wait until something is seen while the command runs."""
        assert self.command is not None
        deadline = time.monotonic() + PATIENCE
        while not seen():
            said = f"until {what}\n{self.log(study).read_text()[-3000:]}"
            assert self.command.poll() is None, f"the command ended {said}"
            assert time.monotonic() < deadline, f"waited in vain {said}"
            time.sleep(0.3)

    def ask(self, database: str, query: str, study: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query to one of the two stores about a study."""
        import psycopg

        plain = self.database.address(database).replace("+psycopg", "")
        with psycopg.connect(plain) as connection:
            return connection.execute(query, [study]).fetchall()

    def runs(self, study: str) -> dict[str, dict[str, str]]:
        """Return the tags of each run of a study in MLflow, and its ``status``."""
        found: dict[str, dict[str, str]] = {}
        rows = self.ask(
            "mlflow",
            "SELECT run_uuid, status, key, value FROM tags JOIN runs USING (run_uuid) "
            "JOIN experiments e USING (experiment_id) WHERE e.name = %s",
            study,
        )
        for run, status, key, value in rows:
            found.setdefault(run, {"status": status})[key] = value
        return found

    def recorded(self, study: str) -> dict[str, collections.Counter[tuple[str, int]]]:
        """Return how often MLflow has each metric of each epoch, by the run."""
        found: dict[str, collections.Counter[tuple[str, int]]]
        found = collections.defaultdict(collections.Counter)
        rows = self.ask(
            "mlflow",
            "SELECT run_uuid, key, step FROM metrics JOIN runs USING (run_uuid) "
            "JOIN experiments e USING (experiment_id) WHERE e.name = %s AND step > 0",
            study,
        )
        for run, key, step in rows:
            found[run][key, step] += 1
        return found

    def in_the_middle(self, study: str) -> dict[str, int]:
        """Return how many epochs are recorded of each trial that is being trained."""
        runs, found = self.runs(study), dict[str, int]()
        for run, epochs in self.recorded(study).items():
            step = max(step for _, step in epochs)
            if (runs[run]["kind"], runs[run]["status"]) == ("trial", "RUNNING"):
                found |= {run: step} if step < self.epochs else {}
        return found

    def deaths(self, study: str) -> int:
        """Return of how many trials the record says that a worker died in them."""
        return sum("edgebench.worker_deaths" in tags for tags in self.runs(study).values())

    def check(self, study: str) -> Counts:
        """Ask both stores, and what the commands said, what became of a study."""
        states: Counts = collections.Counter(
            state
            for (state,) in self.ask(
                "optuna",
                "SELECT state::text FROM trials JOIN studies s USING (study_id) "
                "WHERE s.study_name = %s",
                study,
            )
        )
        runs = self.runs(study)
        trials = {run: tags for run, tags in runs.items() if tags["kind"] == "trial"}
        keys = Counts(tags["edgebench.key"] for tags in trials.values())
        found = Counts()
        found["ended"] = len(trials)
        found["failed"] = sum(tags["edgebench.state"] == "failed" for tags in trials.values())
        found["cut off"] = sum(tags["kind"] == "interrupted" for tags in runs.values())
        found["lost"] = self.trials - len(keys)
        found["repeated"] = keys.total() - len(keys)
        found["zombies"] = sum(tags["status"] == "RUNNING" for tags in runs.values())
        found["zombies"] += states["RUNNING"]
        found["stores disagree"] = abs(states["COMPLETE"] + found["failed"] - len(trials))
        epochs, owners = self.recorded(study), self._owners(study)
        each = {(name, step) for name in CURVES for step in range(1, self.epochs + 1)}
        for run, tags in trials.items():
            found["epochs twice"] += any(count > 1 for count in epochs[run].values())
            if tags["edgebench.state"] == "finished":
                found["incomplete"] += epochs[run].keys() != each
                found["models wrong"] += owners[run] != 1
        text = self.log(study).read_text()
        found["tracebacks"], found["passwords"] = text.count("Traceback"), text.count(PASSWORD)
        return found

    def _owners(self, study: str) -> Counts:
        """Return how many models each run has."""
        rows = self.ask(
            "mlflow",
            "SELECT source_run_id FROM logged_models m JOIN experiments e USING (experiment_id) "
            "WHERE e.name = %s AND m.lifecycle_stage = 'active'",
            study,
        )
        return Counts(run for (run,) in rows)


@contextlib.contextmanager
def open_ground(folder: Path, *, trials: int, epochs: int, paced: bool = False) -> Iterator[Ground]:
    """Start all parts, and end them; skips the test where one of them is missing."""
    with open_cluster() as (cluster, nodes), postgres() as database:
        database.create("optuna", "mlflow")
        tracker = Tracker(database.address("mlflow"), folder)
        tracker.start()
        ground = Ground(folder, database, tracker, cluster, trials, epochs, paced, nodes)
        try:
            yield ground
        finally:
            if ground.command is not None:
                ground.kill_command()
            tracker.stop()
