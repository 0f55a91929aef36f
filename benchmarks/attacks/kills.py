"""Kills at random moments in studies on this machine: of the command, of its group, of a worker.

Each study is one command, started again whenever it was killed, until it ends by itself. Afterwards
both stores are asked, by SQL: is each trial there, once, with all its epochs and its model, is
nothing left running, in the stores or among the processes?

Run: python benchmarks/attacks/kills.py [KILLS] [SEED]
Last printed, by 40 2, beside other work, its last lines:
    8 studies, 40 kills: {'command': 4, 'group': 4, 'worker': 12, 'terminate': 12, 'interrupt': 8}
    trials 48, failed 0, cut off 8, lost 0, repeated 0, zombies 0, stores disagree 0, incomplete
        0, models wrong 0, orphan models 0, processes left 0, tracebacks 0
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
KILLS_A_STUDY = 5
TRIALS = 6
EPOCHS = 30
MOST_SECONDS = 600.0
"""Of a study: it hangs otherwise."""
SWEEP: dict[str, Any] = {
    "dataset": "synthetic",
    "method": "random",
    "run_cap": TRIALS,
    "early_stop": "none",
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"values": [4, 6, 8, 10]},
        "model.blocks": 2,
        "model.hidden": {"values": [8, 16], "when": {"model.family": "vgg"}},
        "train.epochs": EPOCHS,
        "train.batch_size": 64,
    },
}
CUT = {-9, -15, -2, 128 + 15, 128 + 2}
"""The exit codes of a command that was cut off: by a signal at once, or having cleaned up."""
Counts = collections.Counter[str]


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the command, or go on with it, as the leader of a group of its own."""
    with log.open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "edgebench.cli", "sweep", "s.yaml", "--device", "cpu",
             "--workers", "2"],
            cwd=folder, stdout=said, stderr=said, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def workers(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the worker processes of a command."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(command.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def strike(command: subprocess.Popen[bytes], chance: random.Random) -> str | None:
    """Kill something; return what, or None where there was nothing to kill."""
    kind = chance.choice(["command", "group", "worker", "worker", "terminate", "interrupt"])
    if kind == "worker":
        found = workers(command)
        if not found:
            return None
        with contextlib.suppress(psutil.Error):
            chance.choice(found).kill()
    elif kind == "group":
        os.killpg(command.pid, signal.SIGKILL)
    else:
        numbers = {
            "command": signal.SIGKILL,
            "terminate": signal.SIGTERM,
            "interrupt": signal.SIGINT,
        }
        command.send_signal(numbers[kind])
    return kind


def study(folder: Path, kills: int, chance: random.Random) -> Counts:
    """Run one study through so many kills; return how many of each kind there were."""
    (folder / "s.yaml").write_text(json.dumps({"name": "s", **SWEEP}))  # JSON is YAML
    log, done, begun = folder / "log", Counts(), time.monotonic()
    command = start(folder, log)
    due = time.monotonic() + chance.uniform(1, 15)
    while True:
        code = command.poll()
        if code == 0:
            return done
        if code is not None:
            if code not in CUT:
                raise SystemExit(f"exit {code}\n{log.read_text()[-3000:]}")
            command = start(folder, log)
            due = max(due, time.monotonic() + chance.uniform(1, 15))
        elif done.total() < kills and time.monotonic() > due:
            kind = strike(command, chance)
            if kind:
                done[kind] += 1
                due = time.monotonic() + chance.uniform(1, 15)
        if time.monotonic() - begun > MOST_SECONDS:
            raise SystemExit(f"the study does not end\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def ask(file: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def check(folder: Path) -> Counts:
    """Ask both stores, and the system, what became of the study."""
    found = Counts()
    mlflow, optuna = folder / "mlruns" / "mlflow.db", folder / "mlruns" / "optuna.db"
    tags: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for run, key, value in ask(mlflow, "select run_uuid, key, value from tags"):
        tags[run][key] = value
    ended = {run: mine for run, mine in tags.items() if mine.get("kind") == "trial"}
    keys = Counts(mine["edgebench.key"] for mine in ended.values())
    found["trials"] = len(ended)
    found["failed"] = sum(mine["edgebench.state"] == "failed" for mine in ended.values())
    found["cut off"] = sum(mine.get("kind") == "interrupted" for mine in tags.values())
    found["lost"] = TRIALS - len(keys)
    found["repeated"] = keys.total() - len(keys)
    running = "select count(*) from {} where {} = 'RUNNING'"
    found["zombies"] = ask(mlflow, running.format("runs", "status"))[0][0]
    found["zombies"] += ask(optuna, running.format("trials", "state"))[0][0]
    [(complete,)] = ask(optuna, "select count(*) from trials where state = 'COMPLETE'")
    found["stores disagree"] = abs(complete + found["failed"] - len(ended))
    metric = "select run_uuid, step from metrics where key = 'val/accuracy'"
    epochs = Counts(run for run, _ in set(ask(mlflow, metric)))
    owners = Counts(
        run for (run,) in ask(mlflow, "select source_run_id from logged_models "
                                      "where lifecycle_stage = 'active'")
    )  # fmt: skip
    for run, mine in ended.items():
        if mine["edgebench.state"] == "finished":
            found["incomplete"] += epochs[run] != EPOCHS
            found["models wrong"] += owners[run] < 1
    found["orphan models"] = sum(owners[run] for run in owners if run not in ended)
    for process in psutil.process_iter(["cwd"]):
        with contextlib.suppress(psutil.Error):
            found["processes left"] += process.info["cwd"] == str(folder)
    found["tracebacks"] = (folder / "log").read_text().count("Traceback")
    return found


def main() -> None:
    """Run studies until there were as many kills as asked for."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    chance = random.Random(seed)  # noqa: S311 - no secret
    done, total, number = Counts(), Counts(), 0
    while done.total() < kills:
        with tempfile.TemporaryDirectory(prefix="kills-") as name:
            folder, begun = Path(name).resolve(), time.monotonic()
            done += study(folder, min(KILLS_A_STUDY, kills - done.total()), chance)
            time.sleep(2)  # what was orphaned by the last kill has this long to end itself
            found = check(folder)
            total.update(found)
            number += 1
            print(f"study {number}: {time.monotonic() - begun:.0f} s, {dict(found)}", flush=True)
            if found["tracebacks"]:
                print((folder / "log").read_text()[-4000:])
    print(f"{number} studies, {done.total()} kills: {dict(done)}")
    wanted = (
        "trials", "failed", "cut off", "lost", "repeated", "zombies", "stores disagree",
        "incomplete", "models wrong", "orphan models", "processes left", "tracebacks",
    )  # fmt: skip
    print(", ".join(f"{name} {total[name]}" for name in wanted))


if __name__ == "__main__":
    main()
