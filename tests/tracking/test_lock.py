"""The study's lock and its pair of stores: who may run a study, from wherever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores
from mlflow_study import begin, write_study
from report_studies import synthetic
from test_log import RECORD, TRAINED, numbered, opened, runs_of

from edgebench import space
from edgebench.errors import EdgebenchError
from edgebench.search import Settings, search
from edgebench.space import Sweep
from edgebench.tracking import locked, read_study
from edgebench.tracking.lock import locked_if_free

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def address(folder: Path, name: str = "optuna.db") -> str:
    """Return the address of a SQLite file."""
    return f"sqlite:///{folder}/{name}"


def test_the_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    """User, host and process; another study of the same store is free."""
    with locked("try", address(tmp_path)):
        with pytest.raises(EdgebenchError) as caught, locked("try", address(tmp_path)):
            pass
        with locked("other", address(tmp_path)):
            pass
    message = str(caught.value)
    assert message.startswith("the study 'try' is being run by another process (")
    assert f"process {os.getpid()}, since 2" in message
    with locked("try", address(tmp_path)):  # free again
        pass


def test_another_temporary_folder_or_another_way_to_the_file_is_the_same_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to the record."""
    (tmp_path / "store").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "store")
    with locked("try", address(tmp_path / "store")):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        with (
            pytest.raises(EdgebenchError, match="by another process"),
            locked("try", address(tmp_path / "alias")),
        ):
            pass


def test_either_store_is_enough_to_meet_the_lock(tmp_path: Path) -> None:
    """Two commands that name one store in common exclude each other."""
    for name in ("one", "two", "shared"):
        (tmp_path / name).mkdir()
    shared = address(tmp_path / "shared", "mlflow.db")
    with locked("try", address(tmp_path / "one"), shared):
        with (
            pytest.raises(EdgebenchError, match="by another process"),
            locked("try", address(tmp_path / "two"), shared),
        ):
            pass
        with locked_if_free("try", shared) as free:
            assert not free
    with locked_if_free("try", shared) as free:
        assert free


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_planted_link_is_refused_and_what_it_leads_to_stays(tmp_path: Path, kind: str) -> None:
    """Nothing is written through it."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    planted = tmp_path / ".try.lock"
    if kind == "symbolic":
        planted.symlink_to(victim)
    else:
        planted.hardlink_to(victim)
    with (
        pytest.raises(EdgebenchError, match=r"no ordinary file; remove it"),
        locked("try", address(tmp_path)),
    ):
        pass
    assert victim.read_text() == "precious"


def test_every_user_may_run_a_study_whose_folder_they_share(tmp_path: Path) -> None:
    """The file that one user left does not lock the others out."""
    with locked("try", address(tmp_path)):
        pass
    assert (tmp_path / ".try.lock").stat().st_mode & 0o777 == 0o666


def test_a_kill_frees_it(tmp_path: Path) -> None:
    """However the process ends; its name is not taken for a holder's."""
    script = (
        "import os; from edgebench.tracking import locked\n"
        f"with locked('try', {address(tmp_path)!r}): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert "process" in (tmp_path / ".try.lock").read_text()
    with locked("try", address(tmp_path)):
        pass


# One study, one pair of stores ----------------------------------------------------------------


def small(**changed: object) -> Sweep:
    """Return a sweep of one small trial."""
    return space.build(
        {
            "name": "try",
            "dataset": "synthetic",
            "method": "grid",
            "run_cap": 1,
            "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
            "parameters": {
                "model.family": "gap",
                "model.width": {"values": [4, 6]},
                "model.blocks": 2,
                "train.epochs": 1,
                "train.batch_size": 64,
            },
            **changed,
        }
    )


def test_another_store_of_either_kind_is_refused_before_anything_is_made(stores: Stores) -> None:
    """Two rows "trial 0" of one study could not be told apart; the message names the right one."""

    def go(storage: str, tracking_uri: str, cap: int = 1) -> None:
        folder = stores.folder.parent / "data"
        where = Settings(storage=storage, tracking_uri=tracking_uri, data_dir=folder, pool="warm")
        search(small(run_cap=cap), where, lambda _event: None)

    go(stores.storage, stores.tracking_uri)
    other = stores.folder.parent / "other"
    with pytest.raises(EdgebenchError) as caught:
        go(address(other), stores.tracking_uri)
    assert str(caught.value) == (
        f"the study 'try' in {stores.tracking_uri} was recorded together with --storage "
        f"{stores.storage}, not with {address(other)}: name that one, or give this sweep another "
        "name with --set name=try-2"
    )
    with pytest.raises(EdgebenchError) as caught:
        go(stores.storage, address(other, "mlflow.db"))
    assert f"recorded together with --tracking-uri {stores.tracking_uri}, not" in str(caught.value)
    assert not list(other.glob("*.db"))
    go(stores.storage, stores.tracking_uri, cap=2)
    assert len(read_study("try", tracking_uri=stores.tracking_uri).rows) == 2


# What a cut leaves ------------------------------------------------------------------------------


def test_any_command_that_reads_closes_what_was_left_open(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweep's run and the trial's; with a line that says so."""
    log = opened(stores)
    begin(log, numbered(TRAINED)[0], RECORD)
    log.flush()
    assert read_study("study", tracking_uri=stores.tracking_uri).rows == ()
    left = (*runs_of(log, "interrupted"), *runs_of(log, "sweep"))
    assert [run.info.status for run in left] == ["KILLED"] * 2
    assert "was cut off: 2 runs that stood as running are closed" in caplog.text


def test_a_study_that_is_being_run_is_read_and_left_alone(stores: Stores) -> None:
    """The lock says so."""
    log = opened(stores)
    begin(log, numbered(TRAINED)[0], RECORD)
    log.flush()
    with locked("study", stores.storage):
        [row] = read_study("study", tracking_uri=stores.tracking_uri).rows
    assert row.state == "running"
    assert [run.info.status for run in runs_of(log)] == ["RUNNING"]


def test_reading_a_finished_study_changes_nothing(tmp_path: Path) -> None:
    """No lock is taken, no file made."""
    write_study(tmp_path, synthetic(4))
    before = sorted(path.name for path in tmp_path.iterdir())
    read_study(synthetic(4).study, tracking_uri=address(tmp_path, "mlflow.db"))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
