"""Stores: their addresses, how they come into being, and what a kill leaves of that."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from edgebench.tracking import absolute, create_store, runs, sqlite_path, store
from edgebench.tracking.store import artifact_root, is_local


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlruns/mlflow.db", Path("mlruns/mlflow.db")),
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite+pysqlite:///a b.db", Path("a b.db")),
        ("postgresql://host/name", None),
        ("http://localhost:5000", None),
        ("mlruns", None),
    ],
)
def test_the_file_of_an_address(uri: str, path: Path | None) -> None:
    """Only SQLite has one."""
    assert sqlite_path(uri) == path


def test_artifacts_stand_beside_a_file_and_where_a_server_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an address that holds whatever folder a command runs from."""
    monkeypatch.chdir(tmp_path)
    assert artifact_root("sqlite:///mlruns/mlflow.db") == f"file://{tmp_path}/mlruns/artifacts"
    assert artifact_root("http://localhost:5000") is None


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("sqlite:///mlruns/mlflow.db", "sqlite:///{}/mlruns/mlflow.db"),
        ("sqlite+pysqlite:///e", "sqlite+pysqlite:///{}/e"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("http://localhost:5000", "http://localhost:5000"),
    ],
)
def test_an_address_that_holds_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, same: str
) -> None:
    """A relative file is found from where the command started."""
    monkeypatch.chdir(tmp_path)
    assert absolute(uri) == same.format(tmp_path)


def test_the_same_address_from_two_folders_is_two_records(
    empty_stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook changes its folder: what MLflow keeps open by address must not follow it."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copytree(empty_stores, tmp_path / name / "mlruns")
        monkeypatch.chdir(tmp_path / name)
        client = runs.reader(None)
        client.create_experiment(name)
        assert [one.name for one in client.search_experiments()] == [name, "Default"]


def fill(uri: str) -> None:
    """Make one table."""
    path = sqlite_path(uri)
    assert path is not None
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE made (number INTEGER)")


def journal(path: Path) -> str:
    """Return SQLite's way to keep a transaction whole."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_a_store_is_made_with_its_folder_once(tmp_path: Path) -> None:
    """One that is there is left as it is."""
    path = tmp_path / "new" / "store.db"
    create_store(f"sqlite:///{path}", fill)
    before = path.read_bytes()
    create_store(f"sqlite:///{path}", lambda _uri: pytest.fail("it was there"))
    assert path.read_bytes() == before


def test_a_store_of_another_kind_is_left_to_its_server() -> None:
    """There is no file to make."""
    create_store("http://host/name", lambda _uri: pytest.fail("no file"))


def test_a_kill_while_a_store_is_made_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """Neither half a file nor its journal, which SQLite would roll back into the next one."""
    path = tmp_path / "store.db"

    def killed(uri: str) -> None:
        fill(uri)
        half = sqlite_path(uri)
        assert half is not None
        half.with_name(f"{half.name}-journal").write_bytes(b"half a transaction")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_store(f"sqlite:///{path}", killed)
    assert not path.exists()
    create_store(f"sqlite:///{path}", fill)
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix != ".lock") == ["store.db"]


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
//server/share /mnt/a\\040share cifs rw 0 0
tmpfs /home/fast tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "local"),
    [
        ("/data", True),
        ("/home/me/mlruns", False),
        ("/home/fast/mlruns", True),
        ("/mnt/a share/mlruns", False),
        ("/mnt/other", True),
    ],
)
def test_the_innermost_mount_tells_whether_a_folder_is_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, *, local: bool
) -> None:
    """As Linux lists them, with a space written in octal."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(store, "MOUNTS", mounts)
    assert is_local(Path(folder)) is local


@pytest.mark.parametrize(("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete")])
def test_a_log_is_kept_on_a_disk_of_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, mode: str
) -> None:
    """A network's file system gives no memory that processes share."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"somewhere / {kind} rw 0 0\n")
    monkeypatch.setattr(store, "MOUNTS", mounts)
    path = tmp_path / "store.db"
    create_store(f"sqlite:///{path}", fill)
    assert journal(path) == mode


def test_where_no_mounts_are_listed_sqlites_default_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another system than Linux."""
    monkeypatch.setattr(store, "MOUNTS", tmp_path / "none")
    assert not is_local(tmp_path)
