"""A run handed over by the library: written and recorded, or refused with nothing left behind."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from command import edgebench

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.export import Calibration, Limits, onnx_logits, verify
from edgebench.tracking import (
    ParityFailed,
    dataset_of,
    experiment_id_of,
    export_run,
    fetch_run,
    model_of,
    openings,
    preprocessing_of,
    read_study,
    reader,
)

compiled = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None or importlib.util.find_spec("unicorn") is None,
    reason="needs the packages ziglang and unicorn (the extra 'firmware')",
)

SWEEP = """
name: handed
dataset: synthetic
method: grid
metrics:
  - {name: val/accuracy_best, goal: maximize}
parameters:
  model.family: gap
  model.width: 4
  model.blocks: 2
  train.epochs: 2
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run a sweep of one trial and return the address of its record."""
    folder = tmp_path_factory.mktemp("record")
    (folder / "sweep.yaml").write_text(SWEEP)
    done = edgebench("sweep", "sweep.yaml", "--quiet", "--device", "cpu", folder=folder)
    assert done.returncode == 0, done.stderr
    return f"sqlite:///{folder}/mlruns/mlflow.db"


def recorded(store: str) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the metrics of the run and the proof among its artifacts."""
    client = reader(store)
    [row] = read_study("handed", tracking_uri=store).rows
    file = Path(client.download_artifacts(row.run_id, "proof.json"))
    return client.get_run(row.run_id).data.metrics, json.loads(file.read_bytes())


def test_a_file_is_written_with_its_proof_and_recorded(store: str, tmp_path: Path) -> None:
    """What is returned, what is beside the model and what stands on the run are one proof."""
    exported = export_run("handed:best", tmp_path / "model.onnx", tracking_uri=store)
    assert exported.written == (tmp_path / "model.onnx", tmp_path / "model.proof.json")
    assert [rung.name for rung in exported.ladder.rungs] == ["onnx"]
    assert exported.proof["int8"] is None
    beside = json.loads((tmp_path / "model.proof.json").read_bytes())
    metrics, artifact = recorded(store)
    assert (
        beside["ladder"] == artifact["ladder"] == json.loads(json.dumps(exported.proof["ladder"]))
    )
    assert metrics["parity/max_abs_diff"] == exported.ladder.rungs[0].max_abs_diff
    assert beside["run"]["run_id"] == exported.run_id


def test_options_reach_the_file(store: str, tmp_path: Path) -> None:
    """Int8 by one's own calibration, another opset, probabilities."""
    exported = export_run(
        "handed:0",
        str(tmp_path / "small.onnx"),
        int8=True,
        opset=20,
        softmax=True,
        calibration=Calibration("percentile", 99.9),
        calibration_count=30,
        tracking_uri=store,
    )
    assert exported.proof["int8"]["candidate"] == "percentile"
    assert exported.proof["int8"]["calibration_images"] == 30
    model = onnx.load(tmp_path / "small.onnx")
    assert model.opset_import[0].version == 20
    assert model.graph.output[0].name == "probabilities"
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}


def test_a_folder_is_the_whole_hand_over(store: str, tmp_path: Path) -> None:
    """Both models whatever ``int8`` says; it verifies; a second one needs force."""
    exported = export_run("handed:0", tmp_path / "out", calibration="minmax", tracking_uri=store)
    assert exported.written == (tmp_path / "out",)
    assert [rung.name for rung in exported.ladder.rungs] == ["onnx", "int8"]
    assert list(exported.proof["int8"]["validation_accuracy"]) == ["minmax"]
    assert verify(tmp_path / "out").passed
    with pytest.raises(EdgebenchError, match=r"is not empty; choose another folder"):
        export_run("handed:0", tmp_path / "out", tracking_uri=store)
    export_run("handed:0", tmp_path / "out", calibration="minmax", force=True, tracking_uri=store)


@compiled
def test_the_firmware_of_a_hand_over(store: str, tmp_path: Path) -> None:
    """Its C is proven with the rest, its golden vectors hold here, its figures are on the run."""
    folder = tmp_path / "out"
    words = ("export", "handed:0", "-o", str(folder), "--int8", "--firmware")
    done = edgebench(
        *words, "--int8-candidates", "minmax", "--tracking-uri", store, folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = verify(folder)
    assert found.passed
    assert not any("not vouched for" in note for note in found.notes)
    measured = json.loads((folder / "firmware" / "firmware.json").read_bytes())
    assert measured["dtype"] == "int8"
    assert measured["images"] > 16
    assert measured["ram_bytes"] == measured["predicted_ram_bytes"]
    assert "-DPLAIN_LOOPS" in (folder / "firmware" / "README.md").read_text()
    words = ("cc", "-std=c99", "-Werror", "-o", str(tmp_path / "check"), "main.c", "model.c")
    subprocess.run(words, cwd=folder / "firmware", check=True)
    assert subprocess.run([tmp_path / "check"], check=False).returncode == 0
    metrics, _ = recorded(store)
    for key in ("rom_bytes", "ram_bytes", "instructions", "instructions_per_mac"):
        assert metrics[f"firmware/{key}_int8"] == measured[key]
    (folder / "firmware" / "model.c").write_text("int x;")
    assert verify(folder).problems == (
        "firmware/model.c is not the file that was proven: its SHA-256 differs",
    )


@compiled
def test_the_firmware_of_a_run_is_recorded_and_reported(store: str, tmp_path: Path) -> None:
    """With what each figure is from; a study's table has a column for it."""
    where = ("--tracking-uri", store)
    words = ("firmware", "handed:best", "--images", "2", "--cpu", "cortex-m7", "--format", "json")
    done = edgebench(*words, *where, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    client = reader(store)
    [row] = read_study("handed", tracking_uri=store).rows
    tags = client.get_run(row.run_id).data.tags
    assert row.metrics["firmware/rom_bytes"] == measured["rom_bytes"]
    assert tags["firmware/rom_bytes.provenance"] == "compiled"
    assert tags["firmware/instructions.provenance"] == "measured"
    assert tags["firmware.build"].startswith("streaming plan, cortex-m7, ")
    file = Path(client.download_artifacts(row.run_id, "firmware/float32.json"))
    assert json.loads(file.read_bytes()) == measured
    table = edgebench("report", "handed", "--format", "csv", *where, folder=tmp_path).stdout
    assert "firmware ROM" in table.splitlines()[0] or "firmware/rom_bytes" in table
    # On this machine alone there is neither a section of an ELF file nor a count.
    before = dict(row.metrics)
    done = edgebench(
        "firmware", "handed:best", "--images", "2", "--cpu", "host", *where, folder=tmp_path
    )
    assert "recorded" not in done.stderr
    [row] = read_study("handed", tracking_uri=store).rows
    assert row.metrics == before


def test_firmware_needs_a_folder(store: str, tmp_path: Path) -> None:
    """One message, before anything is loaded."""
    with pytest.raises(EdgebenchError, match=r"--firmware is a part of a hand-over, and '.*m.onnx"):
        export_run("handed:0", tmp_path / "m.onnx", firmware=True, tracking_uri=store)


def test_a_failed_rung_is_raised_with_its_figures_and_recorded(store: str, tmp_path: Path) -> None:
    """Exit 1, nothing on the disk, the ladder in the exception and on the run."""
    limits = Limits(max_abs_diff=0.0)
    with pytest.raises(ParityFailed) as caught:
        export_run("handed:0", tmp_path / "m.onnx", limits=limits, tracking_uri=store)
    failure = caught.value
    assert isinstance(failure, CheckFailed)
    assert failure.exit_code == 1
    assert failure.mistakes[0].startswith("the rung from PyTorch float32 to ONNX float32 failed: ")
    assert failure.mistakes[-1] == "nothing was written"
    assert failure.exported.written == ()
    assert failure.exported.ladder.failed is failure.exported.ladder.rungs[0]
    assert list(tmp_path.iterdir()) == []
    assert recorded(store)[1]["ladder"]["passed"] is False


def test_opening_the_test_split_is_recorded_with_the_study(store: str, tmp_path: Path) -> None:
    """Who opened it and for which run; the validation split opens nothing."""
    client, experiment = reader(store), experiment_id_of("handed", store)
    before = openings(client, experiment)
    export_run("handed:0", tmp_path / "a.onnx", tracking_uri=store)
    assert openings(client, experiment) == before
    exported = export_run("handed:0", tmp_path / "b.onnx", split="test", tracking_uri=store)
    *former, last = openings(client, experiment)
    assert former == before
    assert (last["by"], last["run_id"]) == ("export", exported.run_id)
    assert exported.proof["split"] == "test"
    assert exported.ladder.rungs[0].images == 160  # of the made data set's test split


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("m.onnx", {"opset": 12}, "opset 12 is not one of 18 to 22; the nearest is 18"),
        ("m.onnx", {"calibration": "minmx"}, "unknown int8 candidate 'minmx'; did you mean 'minm"),
        ("m.onnx", {"calibration_count": 0}, "needs at least 1 image, but got count 0"),
        ("m.onnx", {"split": "train"}, "the split must be validation or test, but got 'train'"),
        ("no/m.onnx", {}, "to write 'm.onnx' in"),
        ("m.onnx", {"dataset": "digits"}, "'digits' is not the data set that 'trial-0000-gap"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    store: str, tmp_path: Path, path: str, options: dict[str, Any], message: str
) -> None:
    """Exit 2, before anything is computed."""
    with pytest.raises(EdgebenchError) as caught:
        export_run("handed:0", tmp_path / path, tracking_uri=store, **options)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_saved_run_is_the_network_that_was_recorded(store: str) -> None:
    """Rebuilt from its checkpoint, it gives the logits of the exported model in the record."""
    saved = fetch_run("handed:0", tracking_uri=store)
    model, images = model_of(saved), dataset_of(saved).validation.images
    assert not model.training
    inputs = preprocessing_of(saved).apply(images.numpy())
    with torch.no_grad():
        logits = model(torch.from_numpy(inputs)).numpy()
    assert logits == pytest.approx(onnx_logits(onnx.load(saved.onnx), inputs), abs=1e-4)
