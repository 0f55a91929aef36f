"""A real hand-over of the trained digits network, for the tests and for what attacks it."""

from __future__ import annotations

import functools
import json
import os
import pickle
from pathlib import Path

import filelock
from export_cases import SHARED, trained

from edgebench.export import LabelledImages, Request, prove
from edgebench.export.handover import Bundle, golden_vectors, proof_bytes, statement
from edgebench.export.quantization import Calibration

RUN = {"name": "trial-0000-gap", "family": "gap", "dataset": "digits", "seed": 0}


@functools.cache
def bundle() -> Bundle:
    """Return a real hand-over of the trained digits network, made once a test run; read-only."""
    if SHARED not in os.environ:  # an attack, which runs in one process
        return _made()
    file = Path(os.environ[SHARED]) / "handover.pickle"
    with filelock.FileLock(f"{file}.lock"):
        if not file.exists():
            file.write_bytes(pickle.dumps(_made()))
    found = pickle.loads(file.read_bytes())  # noqa: S301 - written above
    assert isinstance(found, Bundle)
    return found


def _made() -> Bundle:
    made = trained()
    train = LabelledImages(made.train.numpy(), made.train_labels.numpy())
    test = LabelledImages(made.test.numpy(), made.test_labels.numpy())
    request = Request(settings={"minmax": Calibration()}, count=200)
    proven = prove(
        made.model, made.preprocessing, request, train=train, validation=train, evaluation=test
    )
    assert proven.ladder.failed is None
    assert proven.choice is not None
    proof = statement(proven, made.preprocessing, run=RUN, split="test")
    vectors = golden_vectors(made.model, proven, made.preprocessing, test)
    return Bundle(proven.float_model, proven.choice.model, vectors, proof)


def restate(folder: Path) -> None:
    """Make the proof agree with the files, as one who covers his tracks would."""
    proof = json.loads((folder / "proof.json").read_bytes())
    files = {name: (folder / name).read_bytes() for name in proof.pop("files")}
    (folder / "proof.json").write_bytes(proof_bytes(proof, files))
