"""A study goes on with the images that it was begun with, or says what changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command import Finished, edgebench
from PIL import Image

from edgebench.tracking import read_study

SWEEP = """
name: pets
method: grid
metrics: [{name: val/accuracy_best, goal: maximize}]
parameters:
  model.family: gap
  model.width: {values: [4, 5]}
  model.blocks: 1
  train.epochs: 1
"""


def paint(path: Path, value: int) -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value, 2 * value, 255 - value)).save(path)


def sweep(folder: Path, *more: str) -> Finished:
    """Run the sweep, or go on with it."""
    where = f"folder:{folder}/images"  # a warm worker stands in another folder
    return edgebench(
        "sweep", "sweep.yaml", "--quiet", "--device", "cpu", "--dataset", where, *more,
        folder=folder,
    )  # fmt: skip


def test_a_changed_data_set_is_not_mixed_into_a_study(tmp_path: Path) -> None:
    """Other pixels, more images, a class more: exit 2, the same words for each, nothing trained."""
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    for value, name in enumerate(("cat", "dog")):
        for number in range(10):
            paint(tmp_path / "images" / name / f"{number}.png", 10 * number + value)
    (tmp_path / "images" / "dog" / "notes.txt").write_text("")
    first = sweep(tmp_path, "--trials", "1")
    assert first.returncode == 0, first.stderr
    assert "Files of the data set: 1 skipped, no images: 1 .txt." in first.stdout
    shutil.copytree(tmp_path / "images", tmp_path / "kept")
    intro = "error: the data of 'pets' ('folder:images') have changed since its first trial: "
    end = (
        ". Trials on both cannot be compared: restore the images, or give the sweep another name "
        "with --set name=pets-2\n"
    )
    paint(tmp_path / "images" / "dog" / "3.png", 200)
    assert sweep(tmp_path).stderr.endswith(f"{intro}other pixels in 'dog'{end}")
    paint(tmp_path / "images" / "dog" / "10.png", 200)
    assert sweep(tmp_path).stderr.endswith(
        f"{intro}class 'dog' has 8 training and 3 test images instead of 8 training and 2 test{end}"
    )
    for number in range(5):
        paint(tmp_path / "images" / "fox" / f"{number}.png", 99)
    changed = sweep(tmp_path)
    assert changed.stderr.endswith(f"{intro}new class 'fox'{end}")
    assert changed.returncode == 2
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert len(read_study("pets", tracking_uri=store).rows) == 1
    shutil.rmtree(tmp_path / "images")
    shutil.copytree(tmp_path / "kept", tmp_path / "images")
    assert sweep(tmp_path).returncode == 0
    assert len(read_study("pets", tracking_uri=store).rows) == 2


def test_broken_images_are_named_before_a_store_is_made(tmp_path: Path) -> None:
    """And left out where that is asked for, which the report says."""
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    for value, name in enumerate(("cat", "dog")):
        for number in range(10):
            paint(tmp_path / "images" / name / f"{number}.png", 10 * number + value)
    for name in ("1.png", "2.png"):
        (tmp_path / "images" / "cat" / name).write_bytes(b"broken")
    refused = sweep(tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.count("cannot be read as an image") == 2
    assert not (tmp_path / "mlruns").exists()
    done = sweep(tmp_path, "--trials", "1", "--set", "data.skip_broken=true")
    assert done.returncode == 0, done.stderr
    assert "left out, 'cat/1.png' cannot be read as an image" in done.stdout.replace("\n  ", " ")


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_images_that_change_while_a_study_runs(tmp_path: Path) -> None:
    """A worker that reads them anew compares them with what the coordinator heard of."""
    import torch

    from edgebench import trial
    from edgebench.errors import EdgebenchError
    from edgebench.search.tasks import Prepare, RunTrial, Worker
    from edgebench.space import TrialConfig

    for number in range(20):
        paint(tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    config = TrialConfig({"model.family": "gap"}, f"folder:{tmp_path}/images")
    worker = Worker(torch.device("cpu"), tmp_path / "data", lambda *_: pytest.fail("no epoch"))
    facts = Prepare(config).run(worker)
    paint(tmp_path / "images" / "cat" / "0.png", 77)
    trial._LOADED.clear()  # as in another process
    gate = trial.gate(config, None, facts.input_shape, 2)
    with pytest.raises(EdgebenchError, match="were changed while the study runs"):
        RunTrial(config, gate, digest=facts.dataset_digest).run(worker)
