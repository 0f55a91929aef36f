"""The int8 engineer's path: own photos, a board's int8 budget, a cut, one verdict all the way.

Three hundred images in three uneven classes, as a folder of photos is: grey ones, some with
transparency, bitmaps, turned by a camera, and a few that are broken.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import Finished, edgebench
from PIL import Image, ImageDraw
from stopwatch import PATIENCE

from edgebench import data
from edgebench.footprint import TARGETS

CLASSES = {"bolt": 180, "nut": 90, "washer": 30}
"""How many files each class has; the broken ones are among them."""
BROKEN = ("bolt/007.png", "nut/011.jpg", "washer/003.bmp")
BOARD = "nucleo-f446re"
SWEEP = """
name: parts
dataset: folder:{photos}@3x16x16
method: grid
run_cap: 4
metrics:
  - {{name: val/balanced_accuracy_int8, goal: maximize}}
  - {{name: footprint/rom_bytes_int8, goal: minimize}}
budget: {{target: {board}, dtype: int8}}
parameters:
  data.skip_broken: true
  data.validation_share: 0.3
  model.family: {{values: [gap, vgg]}}
  model.width: {{values: [4, 8]}}
  model.blocks: 2
  model.hidden: {{value: 4000, when: {{model.family: vgg}}}}
  train.sampling: balanced
  train.epochs: 8
"""
TURNED = 6
"""EXIF's word for a picture that is to be turned right by a quarter."""


def photo(kind: str, number: int, path: Path) -> None:
    """Draw one part: a bar that stands, a hexagon, or a ring; the file in one of six forms."""
    chance = random.Random(f"{kind}{number}")  # noqa: S311 - drawn alike each time
    side = chance.randint(20, 40)
    grey = chance.randint(0, 60)
    image = Image.new("RGB", (side, side), (grey, grey, grey))
    draw, colour = ImageDraw.Draw(image), (200, 180 + chance.randint(0, 60), 190)
    low, high = side // 6 + chance.randint(0, 2), side - side // 6
    if kind == "bolt":
        draw.rectangle((side // 2 - side // 10, low, side // 2 + side // 10, high), fill=colour)
    elif kind == "nut":
        draw.regular_polygon((side // 2, side // 2, side // 3), 6, fill=colour)
    else:
        draw.ellipse((low, low, high, high), outline=colour, width=max(2, side // 12))
    form = number % 6
    if form == 1:
        image.convert("L").save(path.with_suffix(".jpg"))
    elif form == 2:
        image.convert("RGBA").save(path.with_suffix(".png"))
    elif form == 3:
        image.save(path.with_suffix(".bmp"))
    elif form == 5:  # stored lying, to be shown standing
        exif = Image.Exif()
        exif[0x0112] = TURNED
        image.rotate(90).save(path.with_suffix(".jpg"), exif=exif)
    else:
        image.save(path.with_suffix(".png" if form else ".webp"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make the folder; the named files hold no image, and one is a note among them."""
    folder = tmp_path / "photos"
    for kind, count in CLASSES.items():
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            photo(kind, number, folder / kind / f"{number:03}")
    for name in BROKEN:
        for other in folder.glob(f"{Path(name).with_suffix('')}.*"):
            other.unlink()
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n and then the disk was full")
    (folder / "nut" / "notes.txt").write_text("taken on the bench")
    return folder


def interrupted(folder: Path) -> str:
    """Begin the sweep in a process of its own, press Ctrl-C in its second trial; what it said."""
    words = [sys.executable, "-m", "edgebench.cli", "sweep", "parts.yaml", "--device", "cpu"]
    process = subprocess.Popen(
        words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "[1/" in line:  # the first trial has ended
            os.kill(process.pid, signal.SIGINT)
            break
    _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT
    return "".join(said) + rest


@pytest.mark.usefixtures("stores")  # stores of its own would take the sweep seconds
def test_one_verdict_from_the_sweep_to_the_hand_over(photos: Path, tmp_path: Path) -> None:
    """Sweep, Ctrl-C, the same command, report, page, export, verify, fit, profile: all agree."""

    def run(*words: str) -> Finished:
        done = edgebench(*words, folder=tmp_path)
        assert "Traceback" not in done.stderr
        assert done.returncode == 0, done.stderr
        return done

    (tmp_path / "parts.yaml").write_text(SWEEP.format(photos=photos, board=BOARD))
    said = interrupted(tmp_path)
    assert "Traceback" not in said
    for name in BROKEN:
        assert f"folder:photos: left out, '{name}' cannot be read as an image" in said
    assert "1 skipped, no images: 1 .txt" in said
    assert "balanced accuracy int8" in said  # what is sought is what the progress shows

    goes_on = run("sweep", "parts.yaml", "--device", "cpu")
    assert "2 finished, 2 refused" in goes_on.stdout
    assert "test balanced accuracy int8" in goes_on.stdout  # what was sought, on the test split

    study = json.loads(run("report", "parts", "--format", "json").stdout)
    best = max(
        (row for row in study["rows"] if row["on_front"]),
        key=lambda row: row["metrics"]["val/balanced_accuracy_int8"],
    )
    figures = best["metrics"]
    assert all("int8" in row["reason"] for row in study["rows"] if row["state"] == "refused")
    assert sum(row["state"] == "finished" for row in study["rows"]) == 2
    trained = [row["metrics"] for row in study["rows"] if row["state"] == "finished"]
    assert all(f"val/recall_int8/{kind}" in found for kind in CLASSES for found in trained)

    run("report", "parts", "-o", "page.html")
    page = json.loads(
        (tmp_path / "page.html").read_text().partition('id="data">')[2].partition("</script>")[0]
    )
    [shown] = [row for row in page["rows"] if row["trial"] == best["trial"]]
    assert (page["dtype"], page["target"], shown["verdict"]) == ("int8", BOARD, "yes")
    assert shown["metrics"] == figures

    run("export", "parts:best", "-o", "handover/")
    run("verify", "handover/")
    assert (
        json.loads((tmp_path / "handover" / "proof.json").read_text())["run"]["run_id"]
        == (best["run_id"])
    )
    board = TARGETS[BOARD]
    for model in ("parts:best", "handover/", "handover/model.int8.onnx", best["run_id"]):
        [fit] = json.loads(run("fit", model, "--target", BOARD, "--format", "json").stdout)
        assert (fit["fits"], fit["verdict"]) == (True, "fits")
        assert (
            fit["flash left"] == board.free_flash_bytes - figures["footprint/rom_upper_bytes_int8"]
        )
        assert fit["RAM left"] == board.free_ram_bytes - figures["footprint/ram_upper_bytes_int8"]
        words = ("--target", BOARD, "--format", "json")
        profiled = json.loads(run("profile", model, *words).stdout)
        assert profiled["dtype"] == "int8"
        for figure in ("macc", "rom_bytes", "ram_bytes"):
            assert profiled[figure] == figures[f"footprint/{figure}_int8"]
        for figure in ("rom_upper_bytes", "ram_upper_bytes"):
            assert profiled[figure] == figures[f"footprint/{figure}_int8"]
    other = json.loads(run("profile", "handover/", "--dtype", "float32", "--format", "json").stdout)
    assert other["rom_bytes"] == figures["footprint/rom_bytes"]


def test_pictures_stand_as_they_were_taken(photos: Path, tmp_path: Path) -> None:
    """A bar that a camera stored lying stands in the data set, as those that were stored standing.

    A standing bar's rows are alike and its columns are not.
    """
    found = data.load(
        f"folder:{photos}@1x16x16",
        data_dir=tmp_path,
        options=data.DataOptions(skip_broken=True),
    )
    train = found.train_centre
    bars = train.images[train.labels == found.classes.index("bolt")].float()
    across = bars.mean(2).std(-1)  # of the columns' means
    along = bars.mean(3).std(-1)
    assert len(bars) > 100
    assert (across > along).all()
