"""What trials that are trained in part can go on from: one file each, beside the study's store.

A file is written after each epoch, whole or not at all, so that a kill costs the epoch under way
and no more. It belongs to one candidate of one study: a file of another one, or one that a power
cut left in part, is none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after the epochs of ``curve``, which took ``seconds``."""

    curve: list[Mapping[str, float]]
    seconds: float
    state: bytes


class Checkpoints:
    """The checkpoints of the study that has ``identity``, in ``folder``, by trial number."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity

    def save(self, number: int, key: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint of the candidate that has ``key``, in place of the one before."""
        head = {
            "study": self._identity,
            "key": key,
            "curve": [dict(epoch) for epoch in checkpoint.curve],
            "seconds": checkpoint.seconds,
            "digest": hashlib.sha256(checkpoint.state).hexdigest(),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(number)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(json.dumps(head).encode() + b"\n" + checkpoint.state)
        fresh.replace(file)

    def load(self, number: int, key: str) -> Checkpoint | None:
        """Return the checkpoint of a trial, or None where there is none of this candidate."""
        try:
            line, _, state = self._file(number).read_bytes().partition(b"\n")
            head = json.loads(line)
        except (FileNotFoundError, ValueError):
            return None
        asked = (self._identity, key, hashlib.sha256(state).hexdigest())
        if (head["study"], head["key"], head["digest"]) != asked:
            return None
        return Checkpoint(head["curve"], head["seconds"], state)

    def drop(self, number: int) -> None:
        """Forget a trial that ended; the folder goes with the last one."""
        if self._folder.is_dir():
            self._file(number).unlink(missing_ok=True)
            if not any(self._folder.iterdir()):
                self._folder.rmdir()

    def only(self, numbers: Collection[int]) -> None:
        """Forget all trials but these."""
        if not numbers:
            self.clear()
        kept = {self._file(number) for number in numbers}
        for file in list(self._folder.iterdir()) if numbers else ():
            if file not in kept:
                file.unlink()

    def clear(self) -> None:
        """Forget all trials."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.pt"
