"""Studies that are cut off: by signals, by the death of a worker, by a second command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
import warm_pool  # noqa: F401 - registers the pool
from command import edgebench
from conftest import Stores
from small_study import CONTENT, build, go, statuses
from stopwatch import PATIENCE

from edgebench.errors import EdgebenchError


def words(stores: Stores, *, epochs: int, trials: int = 3) -> list[str]:
    """Return the command that runs the small sweep, each trial long enough to be cut off."""
    file = stores.folder.parent / "try.yaml"
    file.write_text(json.dumps(CONTENT | {"run_cap": trials}))  # JSON is YAML
    said = ["sweep", str(file), "--set", f"train.epochs={epochs}", "--set", "model.hidden=8"]
    said += ["--set", "method=grid", "--set", "model.family=vgg"]
    said += ["--data-dir", str(stores.folder.parent / "data")]
    return [*said, "--storage", stores.storage, "--tracking-uri", stores.tracking_uri]


def start(stores: Stores, *, epochs: int, trials: int = 3) -> subprocess.Popen[str]:
    """Start the command in a process of its own, which can be killed."""
    said = words(stores, epochs=epochs, trials=trials)
    return subprocess.Popen(
        [sys.executable, "-m", "edgebench.cli", *said],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_trial(stores: Stores, trial: int) -> None:
    """Wait until ``trial`` (counted from 1) has been given to a worker, and a moment more."""
    query = "select count(*) from tags where key = 'kind' and value = 'trial'"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with sqlite3.connect(stores.folder / "mlflow.db", timeout=30) as connection:
            [(count,)] = connection.execute(query)
        connection.close()
        if count >= trial:
            time.sleep(0.2)
            return
        time.sleep(0.05)
    raise AssertionError("no trial began")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_same_command_continues_what_a_signal_cut_off(stores: Stores, name: str) -> None:
    """Nothing finished is lost or repeated, nothing stays running, the count is honoured."""
    number = signal.Signals[name]
    process = start(stores, epochs=15)
    wait_for_trial(stores, 2)  # the second trial is under way
    os.kill(process.pid, number)
    _, complaint = process.communicate(timeout=PATIENCE)
    finished_before = statuses(stores)[0]["COMPLETE"]
    assert finished_before == 1
    if number == signal.SIGKILL:
        assert statuses(stores)[0]["RUNNING"] == 1
    else:
        assert process.returncode == 128 + number
        assert "the same command goes on" in complaint
        assert "Traceback" not in complaint
        assert statuses(stores)[0]["RUNNING"] == statuses(stores)[1]["RUNNING"] == 0
    continued = edgebench(*words(stores, epochs=15), folder=stores.folder.parent)
    assert continued.returncode == 0, continued.stderr
    trials, runs = statuses(stores)
    assert trials == {"COMPLETE": 3, "FAIL": 1}
    assert runs == {"FINISHED": 4, "KILLED": 1}  # three trials and the sweep itself
    assert "Trials of try" in continued.stdout


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the worker processes of a sweep."""
    found = []
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # gone, or not yet waited for
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def test_a_trial_whose_worker_is_killed_is_tried_again(stores: Stores) -> None:
    """What the out-of-memory killer does costs the study no candidate; the run says it happened.

    It is another run than that of the first attempt, so that no epoch stands twice in one.
    """
    process = start(stores, epochs=15, trials=2)
    wait_for_trial(stores, 1)
    [worker] = workers_of(process)
    worker.kill()
    table, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complaint
    assert "Traceback" not in complaint
    assert statuses(stores)[1] == {"FINISHED": 3, "KILLED": 1}
    with sqlite3.connect(stores.folder / "mlflow.db") as connection:
        query = "select value from tags where key = 'edgebench.worker_deaths'"
        deaths = [value for (value,) in connection.execute(query)]
    connection.close()
    assert deaths == ["the worker process ended with signal 9 (out of memory?)"]
    assert "2 finished" in table


def test_a_trial_that_kills_its_workers_is_a_failed_row(stores: Stores) -> None:
    """Tried twice, then given up with its reason; the sweep goes on with a new worker."""
    process = start(stores, epochs=15, trials=2)
    wait_for_trial(stores, 1)
    for _ in range(2):
        before = {worker.pid for worker in workers_of(process)}
        for worker in workers_of(process):
            worker.kill()
        deadline = time.monotonic() + PATIENCE
        while not {worker.pid for worker in workers_of(process)} - before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    table, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complaint
    assert "failed: the worker process ended with signal 9 (out of memory?), 2 times" in table
    assert statuses(stores)[1] == {"FINISHED": 2, "FAILED": 1, "KILLED": 1}


def test_a_study_is_run_by_one_process_at_a_time(stores: Stores) -> None:
    """The second one is told, and changes nothing."""
    process = start(stores, epochs=200)
    wait_for_trial(stores, 1)
    with pytest.raises(EdgebenchError, match=r"^the study 'try' is being run by another process"):
        go(build(), stores)
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert statuses(stores)[0]["RUNNING"] == 0
