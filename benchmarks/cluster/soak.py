"""Faults at random moments in studies on a Ray cluster, a PostgreSQL server and an MLflow server.

All parts are real and on this machine. Each study is one command, started again where the
coordinator itself was killed. Afterwards both stores are asked: is each trial there, once, with all
its epochs and its model, and is nothing left running?

Run: python benchmarks/cluster/soak.py [FAULTS] [SEED]
Last printed, by 30 7, its last lines:
    5 studies, 30 faults: {'node': 6, 'mlflow': 5, 'postgres': 11, 'actor': 1, 'coordinator': 7}
    lost 0, repeated 0, zombies 0, incomplete 0, models wrong 0, passwords 0
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
# ruff: noqa: E402 - the servers are the tests' own
import psycopg
from mlflow import MlflowClient
from servers import PASSWORD, Postgres, Tracker

FAULTS_A_STUDY = 6
TRIALS = 8
EPOCHS = 60
SWEEP: dict[str, Any] = {
    "dataset": "synthetic",
    "method": "random",
    "run_cap": TRIALS,
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"values": [4, 6, 8, 10, 12]},
        "model.blocks": 2,
        "model.hidden": {"values": [8, 16], "when": {"model.family": "vgg"}},
        "train.epochs": EPOCHS,
        "train.batch_size": 32,
    },
}


@dataclass
class Ground:
    """The parts that a study stands on, and how each can fail."""

    folder: Path
    chance: random.Random
    done: collections.Counter[str] = field(default_factory=collections.Counter)
    command: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start all of it."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self.database = Postgres(self.folder / "postgres")
        self.database.start()
        self.database.create("optuna", "mlflow")
        self.tracker = Tracker(self.database.address("mlflow"), self.folder)
        self.tracker.start()
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        return self

    def __exit__(self, *_: object) -> None:
        """End all of it."""
        self.cluster.shutdown()
        self.tracker.stop()
        self.database.stop()

    def start(self, study: str) -> None:
        """Start or continue the command."""
        file = self.folder / f"{study}.yaml"
        file.write_text(json.dumps({"name": study, **SWEEP}))
        words = ["sweep", str(file), "--pool", f"ray://{self.cluster.address}", "--workers", "2"]
        words += ["--device", "cpu", "--tracking-uri", self.tracker.uri, "--quiet"]
        log = (self.folder / f"{study}.log").open("ab")
        self.command = subprocess.Popen(
            [sys.executable, "-m", "edgebench.cli", *words],
            cwd=self.folder,
            env=os.environ | {"EDGEBENCH_STORAGE": self.database.address("optuna")},
            stdout=log,
            stderr=log,
        )

    # Faults ---------------------------------------------------------------------------------

    def actor(self) -> bool:
        """Kill a worker's process."""
        found = []
        for one in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error):
                if " ".join(one.info["cmdline"] or ()).startswith("ray::Host"):
                    found.append(one)
        if found:
            self.chance.choice(found).kill()
        return bool(found)

    def node(self) -> bool:
        """Remove a node without grace; another joins later."""
        gone = self.nodes.pop(self.chance.randrange(len(self.nodes)))
        self.cluster.remove_node(gone, allow_graceful=False)
        time.sleep(self.chance.uniform(0, 3))
        self.nodes.append(self.cluster.add_node(num_cpus=1))
        return True

    def coordinator(self) -> bool:
        """Kill the command; the same one goes on."""
        assert self.command is not None  # noqa: S101 - a study runs
        self.command.kill()
        self.command.wait()
        return True

    def postgres(self) -> bool:
        """Cut the database off and start it again: both stores are in it."""
        self.database.stop()
        time.sleep(self.chance.uniform(0, 4))
        self.database.start()
        return True

    def mlflow(self) -> bool:
        """Stop the tracking server and start it again."""
        self.tracker.stop()
        time.sleep(self.chance.uniform(0, 6))
        self.tracker.start()
        return True

    # A study --------------------------------------------------------------------------------

    def run(self, study: str, faults: int) -> None:
        """Run a study through so many faults."""
        left, begun = faults, time.monotonic()
        self.start(study)
        due = time.monotonic() + self.chance.uniform(6, 12)
        while True:
            assert self.command is not None  # noqa: S101 - it was started
            code = self.command.poll()
            if code == 0:
                break
            if code is not None:  # killed, or it said that a part is away
                self.start(study)
            if left and time.monotonic() > due:
                name = self.chance.choice(["actor", "node", "coordinator", "postgres", "mlflow"])
                if getattr(self, name)():
                    self.done[name] += 1
                    left -= 1
                due = time.monotonic() + self.chance.uniform(2, 9)
            if time.monotonic() - begun > 400:
                raise SystemExit(f"{study} does not end; see its log in {self.folder}")
            time.sleep(0.1)

    def check(self, study: str) -> collections.Counter[str]:
        """Ask both stores what became of the study."""
        found: collections.Counter[str] = collections.Counter()
        query = (
            "SELECT t.state, count(*) FROM trials t JOIN studies s USING (study_id) "
            "WHERE s.study_name = %s GROUP BY t.state"
        )
        plain = self.database.address("optuna").replace("+psycopg", "")
        with psycopg.connect(plain) as connection:
            states = dict(connection.execute(query, [study]).fetchall())
        client = MlflowClient(self.tracker.uri)
        experiment = client.get_experiment_by_name(study)
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        trials = [run for run in runs if run.data.tags["kind"] == "trial"]
        ended = [r for r in trials if r.data.tags.get("edgebench.state") in ("finished", "failed")]
        keys = [run.data.tags["edgebench.key"] for run in ended]
        models = client.search_logged_models([experiment.experiment_id], max_results=1000)
        owners = collections.Counter(model.source_run_id for model in models)
        found["ended"] = len(ended)
        found["failed"] = sum(r.data.tags["edgebench.state"] == "failed" for r in ended)
        found["interrupted"] = len(trials) - len(ended)
        found["lost"] = TRIALS - len(set(keys))
        found["repeated"] = len(keys) - len(set(keys))
        found["zombies"] = states.get("RUNNING", 0) + sum(r.info.status == "RUNNING" for r in runs)
        for run in ended:
            if run.data.tags["edgebench.state"] == "finished":
                history = client.get_metric_history(run.info.run_id, "val/accuracy")
                steps = {point.step for point in history}
                found["incomplete"] += steps != set(range(1, EPOCHS + 1))
                found["models wrong"] += owners[run.info.run_id] != 1
        found["Optuna disagrees"] = abs(states.get("COMPLETE", 0) + found["failed"] - len(ended))
        for log in self.folder.glob("*.log"):
            text = log.read_text()
            found["tracebacks"] += text.count("Traceback")
            found["passwords"] += text.count(PASSWORD)
        return found


def main() -> None:
    """Run studies until there were as many faults as asked for."""
    faults = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Ground(Path(folder), random.Random(seed)) as ground,  # noqa: S311 - no secret
    ):
        Path(folder).chmod(0o755)
        number, total = 0, collections.Counter[str]()
        while ground.done.total() < faults:
            study, begun = f"soak-{number}", time.monotonic()
            ground.run(study, min(FAULTS_A_STUDY, faults - ground.done.total()))
            found = ground.check(study)
            total += found
            number += 1
            print(f"{study}: {time.monotonic() - begun:.0f} s, {dict(found)}", flush=True)
            if found["tracebacks"]:
                print((Path(folder) / f"{study}.log").read_text()[-3000:])
        print(f"{number} studies, {ground.done.total()} faults: {dict(ground.done)}")
        wanted = ("lost", "repeated", "zombies", "incomplete", "models wrong", "passwords")
        print(", ".join(f"{name} {total[name]}" for name in wanted))


if __name__ == "__main__":
    main()
