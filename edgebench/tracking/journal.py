"""The journal: what MLflow's server could not take, kept on this disk until it can.

One file a study, of JSON lines that a person can read: an entry for each write that is owed, in
order, and a mark for each that was delivered since. Each line is on the disk before the study goes
on, so a kill loses none; a line that a kill cut short was never acknowledged, and is dropped.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

BYTES, METRIC, PARAM, TAG, INPUT = "base64", "metric", "param", "tag", "dataset input"
DATASET = ("name", "digest", "source_type", "source", "schema", "profile")


@dataclass(frozen=True)
class Entry:
    """A write that is owed: what is called, on which run, with which arguments.

    ``run`` may be a name of the journal's own, where the run has yet to be made.
    """

    call: str
    run: str
    arguments: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The writes of one study that MLflow does not have yet, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, str] = {}
        """The journal's own names of runs, and what MLflow calls them."""
        self._owed: dict[int, int] = {}  # the entry's number and where its line begins
        self._next = 0
        if path.exists():
            self._load()

    def __len__(self) -> int:
        """Count the writes that are owed."""
        return len(self._owed)

    def append(self, entry: Entry) -> None:
        """Keep a write."""
        content = {"entry": self._next, "call": entry.call, "run": entry.run}
        place = self._write({**content, "arguments": entry.arguments})
        self._owed[self._next] = place
        self._next += 1

    def owed(self) -> Iterator[tuple[int, Entry]]:
        """Yield the writes that are owed, in order, each read from the disk when it is due."""
        for number, place in list(self._owed.items()):
            with self.path.open("rb") as file:
                file.seek(place)
                content = json.loads(file.readline(), object_hook=_decoded)
            yield number, Entry(content["call"], content["run"], content["arguments"])

    def mark(self, number: int, entry: Entry, run_id: str) -> None:
        """Note that a write was delivered, to which run of MLflow; the last one ends the file."""
        if entry.run != run_id:
            self.runs[entry.run] = run_id
        del self._owed[number]
        if self._owed:
            self._write({"delivered": number, "run": entry.run, "as": run_id})
        else:
            self.path.unlink()

    def _write(self, content: dict[str, Any]) -> int:
        """Append a line, on the disk when this returns; return where it begins."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(content, default=_encoded) + "\n"
        with self.path.open("ab") as file:
            place = file.seek(0, os.SEEK_END)
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        return place

    def _load(self) -> None:
        """Read which entries are still owed; drop a last line that was cut short."""
        place = 0
        with self.path.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(place)
                    break
                content = json.loads(line)
                if "entry" in content:
                    self._next = content["entry"] + 1
                    self._owed[content["entry"]] = place
                else:
                    self._owed.pop(content["delivered"], None)
                    self.runs[content["run"]] = content["as"]
                place += len(line)
        if not self._owed:
            self.path.unlink()


def _encoded(value: Any) -> Any:
    """Return what JSON has no word for as an object of one key, which says what it is."""
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode()}
    if isinstance(value, Metric):
        return {METRIC: [value.key, value.value, value.timestamp, value.step]}
    if isinstance(value, Param):
        return {PARAM: [value.key, value.value]}
    if isinstance(value, RunTag):
        return {TAG: [value.key, value.value]}
    if isinstance(value, DatasetInput):
        tags = {tag.key: tag.value for tag in value.tags}
        return {INPUT: [{name: getattr(value.dataset, name) for name in DATASET}, tags]}
    raise TypeError(f"the journal cannot hold a {type(value).__name__}")


def _decoded(content: dict[str, Any]) -> Any:
    if len(content) != 1:
        return content
    [(kind, value)] = content.items()
    made = {METRIC: Metric, PARAM: Param, TAG: RunTag}
    if kind in made and isinstance(value, list):
        return made[kind](*value)
    if kind == INPUT and isinstance(value, list):
        dataset, tags = value
        return DatasetInput(Dataset(**dataset), [InputTag(*one) for one in tags.items()])
    if kind == BYTES and isinstance(value, str):
        return base64.b64decode(value)
    return content
