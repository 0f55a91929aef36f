"""`edgebench export`, `verify` and `bench` on the record of a real small sweep."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from command import edgebench

from edgebench.cli import cli
from edgebench.cli.bench import command as bench
from edgebench.cli.export import command as export
from edgebench.cli.verify import command as verify
from edgebench.errors import CheckFailed, EdgebenchError

# MLflow's own use of SQLAlchemy, on import.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

SWEEP = """
name: small
dataset: synthetic
method: grid
budget: {parameters: 100000}
metrics:
  - {name: val/accuracy_best, goal: maximize}
  - {name: footprint/rom_bytes, goal: minimize}
parameters:
  model.family: gap
  model.width: {values: [4, 128]}
  model.blocks: 2
  train.epochs: 2
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a sweep of two trials, of which the budget refuses one, and return its folder."""
    folder = tmp_path_factory.mktemp("record")
    (folder / "sweep.yaml").write_text(SWEEP)
    done = edgebench("sweep", "sweep.yaml", "--quiet", "--device", "cpu", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(autouse=True)
def _inside(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store)


def run_export(*arguments: str) -> None:
    """Run the command as the command line does, with errors raised."""
    export.main(list(arguments), standalone_mode=False)


@pytest.fixture(scope="module")
def trial(store: Path) -> str:
    """Return the run id of the finished trial."""
    from edgebench.tracking import read_study

    record = read_study("small", tracking_uri=f"sqlite:///{store}/mlruns/mlflow.db")
    return next(row.run_id for row in record.rows if row.state == "finished")


def test_a_folder_is_handed_over_recorded_and_verified(
    tmp_path: Path, trial: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ladder is printed, stands on the run, and `verify` repeats it from the folder."""
    run_export("small:best", "-o", f"{tmp_path}/out/")
    printed = capsys.readouterr()
    assert "PyTorch float32" in printed.out
    assert "ONNX int8" in printed.out
    assert f"wrote {tmp_path}/out" in printed.err
    assert "int8: the whole graph\n" in printed.err
    verify.main([f"{tmp_path}/out"], standalone_mode=False)
    assert "holds what was proven" in capsys.readouterr().err

    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlruns/mlflow.db")
    proof = json.loads((tmp_path / "out" / "proof.json").read_bytes())
    logged = client.get_run(trial).data.metrics
    for rung, suffix in zip(proof["ladder"]["rungs"], ("", "_int8"), strict=True):
        assert logged[f"parity/max_abs_diff{suffix}"] == rung["max_abs_diff"]
        assert logged[f"parity/accuracy{suffix}"] == rung["candidate_accuracy"]
    artifact = json.loads(Path(client.download_artifacts(trial, "proof.json")).read_bytes())
    assert artifact["ladder"] == proof["ladder"]
    assert proof["run"]["run_id"] == trial
    assert proof["split"] == "validation"
    assert proof["ladder"]["rungs"][0]["images"] == 64


def test_the_record_tells_a_hand_over_from_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each export is kept by its digests; a folder that agrees with itself is none of them."""
    run_export("small:best", "-o", f"{tmp_path}/out/")
    run_export("small:best", "-o", f"{tmp_path}/other/", "--softmax")
    for name in ("out", "other"):
        verify.main([f"{tmp_path}/{name}", "--against", "small:best"], standalone_mode=False)
        assert "holds what was proven, recorded with 'small:best'" in capsys.readouterr().err
    proof = tmp_path / "out" / "proof.json"
    proof.write_text(proof.read_text() + "\n")
    verify.main([f"{tmp_path}/out"], standalone_mode=False)
    with pytest.raises(CheckFailed, match=r"recorded: proof\.json differs from the record"):
        verify.main([f"{tmp_path}/out", "--against", "small:best"], standalone_mode=False)


def test_the_file_is_the_model_that_was_trained(tmp_path: Path, trial: str) -> None:
    """Against the checkpoint, rebuilt by hand, on the data set's test images, at batch 1 and 7."""
    from mlflow import MlflowClient

    from edgebench import data
    from edgebench.models import MODELS

    run_export(trial, "-o", f"{tmp_path}/model.onnx", "--split", "test")
    path = MlflowClient("sqlite:///mlruns/mlflow.db").download_artifacts(trial, "checkpoint.pt")
    model = MODELS["gap"]((3, 16, 16), 4, width=4, blocks=2).eval()
    model.load_state_dict(torch.load(path, weights_only=True))
    images = data.load("synthetic")
    mean, std = (np.reshape(value, (1, 3, 1, 1)) for value in (images.mean, images.std))
    inputs = ((images._test.images.numpy() / 255 - mean) / std).astype(np.float32)
    running = ort.InferenceSession(tmp_path / "model.onnx")
    for batch in (1, 7):
        found = running.run(None, {"input": inputs[:batch]})[0]
        expected = model(torch.from_numpy(inputs[:batch])).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
    proof = json.loads((tmp_path / "model.proof.json").read_bytes())
    content = (tmp_path / "model.onnx").read_bytes()
    assert proof["files"]["model.onnx"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert [rung["name"] for rung in proof["ladder"]["rungs"]] == ["onnx"]
    assert proof["ladder"]["rungs"][0]["images"] == 160


def test_options_reach_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Int8, opset, softmax, calibration and JSON, in one run."""
    run_export(
        "small:0", "-o", f"{tmp_path}/small.onnx", "--int8", "--opset", "20", "--softmax",
        "--calibration-count", "40", "--calibration-method", "percentile", "--format", "json",
    )  # fmt: skip
    printed = json.loads(capsys.readouterr().out)
    assert printed["int8"]["candidate"] == "percentile"
    assert printed["int8"]["calibration_images"] == 40
    model = onnx.load(tmp_path / "small.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert [value.name for value in model.graph.output] == ["probabilities"]
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    held = json.loads((tmp_path / "small.proof.json").read_bytes())
    assert held["ladder"] == printed["ladder"]


def test_auto_tries_every_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has each candidate's validation accuracy; one name tries one."""
    run_export("small:0", "-o", f"{tmp_path}/a.onnx", "--int8", "--format", "json")
    tried = json.loads(capsys.readouterr().out)["int8"]["validation_accuracy"]
    assert {"minmax", "entropy", "percentile-99.99"} <= set(tried)
    run_export(
        "small:0", "-o", f"{tmp_path}/b.onnx", "--int8", "--int8-candidates", "entropy",
        "--format", "json",
    )  # fmt: skip
    assert list(json.loads(capsys.readouterr().out)["int8"]["validation_accuracy"]) == ["entropy"]


@pytest.mark.parametrize("output", ["out/", "out.onnx"])
def test_a_failed_rung_is_exit_1_and_leaves_nothing(
    tmp_path: Path, output: str, trial: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is still printed and recorded, and the message names rung and operator."""
    with pytest.raises(CheckFailed) as caught:
        run_export("small:0", "-o", f"{tmp_path}/{output}", "--max-abs-diff", "0")
    assert caught.value.exit_code == 1
    assert caught.value.mistakes[0].startswith(
        "the rung from PyTorch float32 to ONNX float32 failed: max_abs_diff "
    )
    assert "it grows most at '" in caught.value.mistakes[1]
    assert caught.value.mistakes[2] == "nothing was written"
    assert "NO" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    from mlflow import MlflowClient

    path = MlflowClient("sqlite:///mlruns/mlflow.db").download_artifacts(trial, "proof.json")
    assert json.loads(Path(path).read_bytes())["ladder"]["passed"] is False


def test_the_store_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command works from another folder, by the address of the store."""
    uri = f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"
    monkeypatch.chdir(tmp_path)
    run_export("small:0", "-o", "model.onnx", "--tracking-uri", uri)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.proof.json"]


def refused(store: Path) -> int:
    """Return the number of the trial that the budget refused."""
    from edgebench.tracking import read_study

    record = read_study("small", tracking_uri=f"sqlite:///{store}/mlruns/mlflow.db")
    return next(row.trial for row in record.rows if row.state == "refused")


def test_a_refused_run_has_nothing_to_export(store: Path, tmp_path: Path) -> None:
    """The message says the state and the reason."""
    number = refused(store)
    with pytest.raises(EdgebenchError, match=f"'small:{number}' is refused .*: only a finished"):
        run_export(f"small:{number}", "-o", f"{tmp_path}/m.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal:best", "-o", "m.onnx"], "unknown study 'smal'; did you mean 'small'?"),
        (["small:bset", "-o", "m.onnx"], "unknown trial of 'small' 'bset'; did you mean 'best'?"),
        (["0123abcd", "-o", "m.onnx"], "unknown run '0123abcd'"),
        (["small:0", "-o", "no/m.onnx"], "there is no folder 'no' to write 'm.onnx' in"),
        (["small:0", "-o", "mlruns/"], "'mlruns' exists and is not empty; choose another folder"),
        (["small:0", "-o", "sweep.yaml"], "'sweep.yaml' exists and is no folder"),
        (
            ["small:0", "-o", "m.onnx", "--opset", "12"],
            "opset 12 is not one of 18 to 22; the nearest is 18",
        ),
        (
            ["small:0", "-o", "m.onnx", "--int8-candidates", "etropy"],
            "unknown int8 candidate 'etropy'; did you mean 'entropy'?",
        ),
        (
            ["small:0", "-o", "m.onnx", "--calibration-count", "0"],
            "the calibration needs at least 1 image, but got count 0; the nearest valid value is 1",
        ),
        (
            ["small:0", "-o", "m.onnx", "--dataset", "digits"],
            "'digits' is not the data set that 'trial-0000-gap",
        ),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(arguments: list[str], message: str) -> None:
    """Exit 2, one message, and the folder is as it was."""
    before = sorted(path.name for path in Path.cwd().iterdir())
    with pytest.raises(EdgebenchError) as caught:
        run_export(*arguments)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert sorted(path.name for path in Path.cwd().iterdir()) == before


def test_a_run_without_a_checkpoint_is_named(store: Path, tmp_path: Path, trial: str) -> None:
    """The record is there, the weights are not."""
    [checkpoint] = (store / "mlruns" / "artifacts").rglob("checkpoint.pt")
    hidden = checkpoint.rename(tmp_path / "hidden.pt")
    try:
        with pytest.raises(EdgebenchError, match=f"run '{trial}' has no 'checkpoint.pt'"):
            run_export(trial, "-o", f"{tmp_path}/m.onnx")
    finally:
        hidden.rename(checkpoint)


def test_verify_fails_with_exit_1_on_a_touched_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file; JSON holds the same."""
    run_export("small:0", "-o", f"{tmp_path}/out", "--calibration-method", "minmax")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    model.doc_string = "touched"
    onnx.save(model, tmp_path / "out" / "model.onnx")
    capsys.readouterr()
    with pytest.raises(CheckFailed) as caught:
        verify.main([f"{tmp_path}/out", "--format", "json"], standalone_mode=False)
    expected = "model.onnx is not the file that was proven: its SHA-256 differs"
    assert caught.value.mistakes == (expected,)
    assert json.loads(capsys.readouterr().out)["problems"] == [expected]


def test_bench_says_whose_latency_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are finite and positive, and the label is on both streams."""
    run_export("small:0", "-o", f"{tmp_path}/m.onnx")
    capsys.readouterr()
    bench.main([f"{tmp_path}/m.onnx", "--runs", "5", "--format", "json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["host_latency_median_ms"] <= found["host_latency_p95_ms"] < math.inf
    bench.main([f"{tmp_path}/m.onnx", "--runs", "5"], standalone_mode=False)
    printed = capsys.readouterr()
    assert "host_latency_median_ms" in printed.out
    assert printed.err == "host latency: this computer's CPU, not a device\n"


def asked(*arguments: str) -> Any:
    """Return the JSON that a command prints."""
    found = CliRunner().invoke(cli, [*arguments, "--format", "json"], standalone_mode=False)
    if found.exception:
        raise found.exception
    return json.loads(found.stdout)


def test_one_grammar_names_a_model_on_every_command(tmp_path: Path) -> None:
    """A file, a hand-over's folder, a run, a family: the same sizes wherever they are named."""
    run_export("small:0", "-o", f"{tmp_path}/handover")
    names = [f"{tmp_path}/handover/model.onnx", f"{tmp_path}/handover", "small:0", "small:best"]
    measured = [asked("profile", name) for name in names]
    assert len({found["rom_bytes"] for found in measured}) == 1
    assert len({json.dumps(asked("fit", name)) for name in names}) == 1
    for name in (*names, "gap"):
        assert asked("bench", name, "--runs", "2")["host_latency_median_ms"] > 0
    assert asked("profile", f"{tmp_path}/handover", "--dtype", "int8")["dtype"] == "int8"
    family = ["gap", "--set", "width=4", "--set", "model.blocks=2", "--input", "3x16x16"]
    assert asked("profile", *family, "--dtype", "int8")["dtype"] == "int8"


def test_a_model_in_another_data_type_is_named() -> None:
    """With the way to have one."""
    for command in ("profile", "bench"):
        with pytest.raises(EdgebenchError) as caught:
            asked(command, "small:0", "--dtype", "int8")
        assert str(caught.value) == (
            "'small:0' has no int8 model in the store; 'edgebench export small:0 -o DIR' makes one"
        )


def test_the_logged_model_is_served_and_registered(store: Path) -> None:
    """MLflow loads it and answers requests with its logits; the best of a study gets a name."""
    import mlflow
    from mlflow.pyfunc import scoring_server

    done = edgebench("export", "small:best", "--register", "board-model", folder=store)
    assert (done.returncode, done.stderr) == (0, "registered models:/board-model/1\n")
    again = edgebench("export", "small:0", "--register", "board-model", folder=store)
    assert again.stderr == "registered models:/board-model/1\n"  # the same model, the same version

    loaded = mlflow.pyfunc.load_model("models:/board-model/1")
    pixels = np.random.default_rng(0).normal(0, 1, (2, 3, 16, 16)).astype(np.float32)
    run_export("small:0", "-o", "plain.onnx", "--force")
    expected = ort.InferenceSession("plain.onnx").run(None, {"input": pixels})[0]
    np.testing.assert_allclose(loaded.predict(pixels)["logits"], expected, rtol=1e-4, atol=1e-5)
    request = json.dumps({"inputs": {"input": pixels.tolist()}})
    schema = loaded.metadata.get_input_schema()
    answer = scoring_server.invocations(request, "application/json", loaded, schema)
    assert answer.status == 200, answer.response
    served = np.array(json.loads(answer.response)["predictions"]["logits"])
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)

    refused = edgebench("export", "small:0", "--register", "a/b", folder=store)
    assert (refused.returncode, refused.stderr) == (
        2, "error: --register: 'a/b' is no name; write letters, digits, '-', '_' and '.'\n",
    )  # fmt: skip
    nothing = edgebench("export", "small:0", folder=store)
    assert (nothing.returncode, nothing.stderr) == (
        2, "error: write -o FILE.onnx or -o DIR, or --register NAME, or both\n",
    )  # fmt: skip


def test_bench_refuses_what_is_no_model(tmp_path: Path) -> None:
    """A missing file names its neighbour; another kind of file is called that."""
    (tmp_path / "model.onnx").write_text("hello")
    with pytest.raises(
        EdgebenchError, match=r"^no such file: .*modl.onnx; did you mean '.*/model.onnx'\?$"
    ):
        bench.main([f"{tmp_path}/modl.onnx"], standalone_mode=False)
    with pytest.raises(EdgebenchError, match=r"is no ONNX file, or a truncated one$"):
        bench.main([f"{tmp_path}/model.onnx"], standalone_mode=False)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(EdgebenchError, match=r"is no ONNX model: it holds no operator$"):
        bench.main([f"{tmp_path}/model.onnx"], standalone_mode=False)
