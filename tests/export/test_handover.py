"""The hand-over: whole or not at all, verified anywhere, and never wrong in silence."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from export_cases import trained
from handover_case import RUN, bundle, restate

from edgebench.errors import EdgebenchError
from edgebench.export import LabelledImages, Preprocessing, Request, prove, to_onnx
from edgebench.export.handover import (
    statement,
    verify,
    write,
)
from edgebench.export.handover.bundle import NAMES
from edgebench.export.parity import Limits
from edgebench.export.quantization import Calibration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the hand-over to a fresh folder."""
    write(tmp_path / "out", bundle())
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_folder_holds_what_it_promises(folder: Path) -> None:
    """Six files; the digests are those of the files; both models run; the card names the run."""
    assert sorted(contents(folder)) == sorted(NAMES)
    proof = json.loads((folder / "proof.json").read_bytes())
    for name, stated in proof["files"].items():
        content = (folder / name).read_bytes()
        assert stated == {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    assert proof["ladder"]["passed"] is True
    assert proof["preprocessing"]["classes"] == list("0123456789")
    assert proof["preprocessing"]["input_shape"] == [1, 16, 16]
    assert proof["int8"]["float_operators"] == []
    assert {"edgebench", "numpy", "onnx", "onnxruntime", "torch"} <= set(proof["versions"])
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# trial-0000-gap\n")
    assert "The whole graph is int8." in card
    assert "session.qdqisint8allowed" in card


def test_the_footprints_are_those_of_the_files(folder: Path) -> None:
    """Every convention, both data types; int8 weights are about a quarter of the float ones."""
    from edgebench.footprint import CONVENTIONS, measure
    from edgebench.profiling import profile

    stated = json.loads((folder / "proof.json").read_bytes())["footprint"]
    assert list(stated) == list(CONVENTIONS)
    for convention, both in stated.items():
        for dtype, name in (("float32", "model.onnx"), ("int8", "model.int8.onnx")):
            found = measure(profile(folder / name), convention)
            assert both[dtype]["macc"] == found.macc
            assert both[dtype]["rom_bytes"] == found.rom_bytes
    weights = {dtype: stated["st"][dtype]["weights_bytes"] for dtype in ("float32", "int8")}
    assert 0.25 <= weights["int8"] / weights["float32"] < 0.3


def test_the_vectors_are_the_models_answers(folder: Path) -> None:
    """Sixteen images, normalized by the formula; the recorded answers come again from the files."""
    inputs, outputs = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    assert inputs["pixels"].shape == (16, 1, 16, 16)
    made = trained()
    mean, std = np.float32(made.preprocessing.mean[0]), np.float32(made.preprocessing.std[0])
    expected = (inputs["pixels"].astype(np.float32) / np.float32(255) - mean) / std
    np.testing.assert_array_equal(inputs["inputs"], expected)
    options = ort.SessionOptions()  # as the card says
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    for name, key in (("model.onnx", "onnx"), ("model.int8.onnx", "int8")):
        running = ort.InferenceSession(folder / name, options)
        found = running.run(None, {"input": inputs["inputs"]})[0]
        np.testing.assert_allclose(found, outputs[key], atol=1e-5)
    np.testing.assert_allclose(outputs["torch"], outputs["onnx"], atol=1e-4)
    assert len(set(inputs["labels"].tolist())) > 5


def test_the_python_of_the_card_runs_as_it_stands(folder: Path) -> None:
    """What a reader copies gives the recorded answers."""
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    snippet = card.partition("```python\n")[2].partition("```")[0]
    script = (
        "import numpy as np; pixels = np.load('inputs.npz')['pixels']\n"
        + snippet
        + "assert abs(outputs - np.load('outputs.npz')['onnx']).max() < 1e-4\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)


def test_the_same_bundle_writes_the_same_bytes(tmp_path: Path) -> None:
    """Nothing depends on the time, the folder or the process."""
    for name in ("a", "b"):
        write(tmp_path / name, bundle())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert str(Path.home()).encode() not in b"".join(contents(tmp_path / "a").values())


def test_a_true_folder_verifies(folder: Path) -> None:
    """Both rungs on the sixteen vectors, and no problem."""
    found = verify(folder)
    assert found.passed
    assert found.problems == ()
    assert [rung.images for rung in found.ladder.rungs] == [16, 16]
    assert found.as_dict()["passed"] is True


def _touch_weight(folder: Path, name: str) -> None:
    model = onnx.load(folder / name)
    names = ("0.5/Conv.weight", "0.5/Conv.weight_quantized")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name in names)
    content = onnx.numpy_helper.to_array(weight).copy()
    content.flat[:40] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(content, weight.name))
    onnx.save(model, folder / name)


def _touch_mean(folder: Path, name: str) -> None:
    model = onnx.load(folder / name)
    held = Preprocessing.of(model)
    assert held is not None
    wrong = Preprocessing(tuple(value + 0.3 for value in held.mean), held.std, held.classes)
    onnx.helper.set_model_props(model, wrong.metadata())
    onnx.save(model, folder / name)


@pytest.mark.parametrize(
    ("name", "rung"), [("model.onnx", 0), ("model.int8.onnx", 1)], ids=["float32", "int8"]
)
@pytest.mark.parametrize("harm", [_touch_weight, _touch_mean])
@pytest.mark.parametrize("covered", [False, True])
def test_a_touched_model_fails_its_own_rung(
    folder: Path, name: str, rung: int, harm: Callable[[Path, str], None], covered: bool
) -> None:
    """Even where the digests were made to agree, the answers tell."""
    harm(folder, name)
    if covered:
        restate(folder)
    found = verify(folder)
    assert not found.passed
    assert [one.passed for one in found.ladder.rungs] == [rung != 0, rung != 1]
    digest = f"{name} is not the file that was proven: its SHA-256 differs"
    assert (digest in found.problems) is not covered
    normalizes = f"{name} normalizes pixels otherwise than its network was trained"
    assert (normalizes in found.problems) is (harm is _touch_mean)


def test_a_proof_of_a_failed_ladder_does_not_verify(folder: Path) -> None:
    """A folder that says itself that it failed is not proven."""
    proof = json.loads((folder / "proof.json").read_bytes())
    proof["ladder"]["passed"] = False
    (folder / "proof.json").write_text(json.dumps(proof))
    assert verify(folder).problems == ("proof.json itself says that the ladder failed",)


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


DAMAGES = {  # which file, what becomes of its content (None: it is gone), what is said
    "no proof": ("proof.json", None, "is no hand-over: it has no proof.json"),
    "no inputs": ("inputs.npz", None, "is incomplete: inputs.npz: No such file"),
    "no json": ("proof.json", lambda _: b"{", "proof.json cannot be read: Expecting"),
    "no object": (
        "proof.json",
        lambda _: b"[]",
        "proof.json cannot be read: the whole should be an object, not []",
    ),
    "another format": (
        "proof.json",
        lambda _: b'{"format": 9, "files": {}}',
        "proof.json has format 9; this edgebench reads 2",
    ),
    "no archive": ("outputs.npz", lambda _: b"no", "outputs.npz cannot be read: "),
    "truncated": ("model.onnx", _truncated, "model.onnx is no model that ONNX Runtime can run: "),
}


@pytest.mark.parametrize(("name", "change", "message"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_folder_is_named_as_such(
    folder: Path, name: str, change: Callable[[bytes], bytes] | None, message: str
) -> None:
    """One clear message, exit 2, for each way to be no hand-over."""
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(EdgebenchError) as caught:
        verify(folder)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_folder_names_the_nearest(folder: Path) -> None:
    """A typing mistake is answered with the folder beside it."""
    with pytest.raises(EdgebenchError) as caught:
        verify(folder.parent / "outt")
    assert str(caught.value) == (
        f"there is no folder '{folder.parent / 'outt'}'; did you mean '{folder}'?"
    )


def test_a_folder_that_holds_something_needs_force(folder: Path) -> None:
    """A hand-over is replaced by --force only, an empty folder is taken, foreign files are safe."""
    before = contents(folder)
    with pytest.raises(EdgebenchError) as caught:
        write(folder, bundle())
    assert str(caught.value) == (
        f"'{folder}' exists and is not empty; choose another folder, or replace it with --force"
    )
    (folder / "MODEL_CARD.md").write_text("old")
    write(folder, bundle(), force=True)
    assert contents(folder) == before
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(EdgebenchError, match=r"holds 'thesis.tex', which is no part"):
        write(folder, bundle(), force=True)
    assert (folder / "thesis.tex").read_text() == "years of work"
    empty = folder.parent / "empty"
    empty.mkdir()
    write(empty, bundle())
    assert verify(empty).passed
    assert sorted(path.name for path in folder.parent.iterdir()) == ["empty", "out"]


def test_a_file_in_the_way_and_a_missing_parent_are_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgebenchError, match="exists and is no folder; choose another with -o"):
        write(tmp_path / "file", bundle())
    with pytest.raises(EdgebenchError, match=r"^there is no folder '.*none' to write 'out' in$"):
        write(tmp_path / "none" / "out", bundle())


_WRITE = """
import pickle, resource, signal, sys
from pathlib import Path
from edgebench.export import write
bundle = pickle.load(open(sys.argv[1], "rb"))
signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[3]))
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))  # model.onnx does not fit
write(Path(sys.argv[2]), bundle, force=True)
"""


@pytest.mark.parametrize("former", [False, True], ids=["fresh", "over a former one"])
@pytest.mark.parametrize("fate", ["SIG_IGN", "SIG_DFL"], ids=["disk full", "killed"])
def test_a_full_disk_or_a_kill_leaves_the_folder_whole_or_absent(
    tmp_path: Path, fate: str, former: bool
) -> None:
    """The kernel refuses the bytes, or kills the writer, in the middle of a file."""
    import pickle

    with (tmp_path / "bundle.pickle").open("wb") as stream:
        pickle.dump(bundle(), stream)
    out = tmp_path / "out"
    if former:
        write(out, bundle())
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, tmp_path / "bundle.pickle", out, fate],
        capture_output=True,
        text=True,
        check=False,
    )
    if fate == "SIG_IGN":
        assert f"EdgebenchError: cannot write '{out}': File too large" in done.stderr
        assert not list(tmp_path.glob(".out.*"))
    else:
        assert done.returncode == -signal.SIGXFSZ
        assert len(list(tmp_path.glob(".out.building-*"))) == 1
    assert out.exists() is former
    if former:
        assert verify(out).passed
    write(out, bundle(), force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.pickle", "out"]


def test_another_process_that_still_writes_is_left_alone(tmp_path: Path) -> None:
    """Only the leftovers of dead processes are swept away."""
    living = tmp_path / f".out.building-{os.getppid()}"
    living.mkdir()
    write(tmp_path / "out", bundle())
    assert living.is_dir()
    assert verify(tmp_path / "out").passed


def test_the_test_images_have_no_part_in_calibration_or_choice() -> None:
    """Other judged images give the same files."""
    made = trained()
    train = LabelledImages(made.train.numpy(), made.train_labels.numpy())
    request = Request(settings={"minmax": Calibration()}, count=50)
    found = [
        prove(
            made.model, made.preprocessing, request, train=train, validation=train, evaluation=one
        )
        for one in (train, LabelledImages(made.test.numpy(), made.test_labels.numpy()))
    ]
    assert found[0].choice is not None
    assert found[1].choice is not None
    assert found[0].choice.model == found[1].choice.model
    assert found[0].calibration_images == 50


def test_a_request_without_int8_stops_at_float() -> None:
    """One rung, no candidate, and the file is the plain export."""
    made = trained()
    images = LabelledImages(made.test.numpy(), made.test_labels.numpy())
    found = prove(
        made.model, made.preprocessing, Request(int8=False, limits=Limits(1e-3)),
        train=images, validation=images, evaluation=images,
    )  # fmt: skip
    assert found.choice is None
    assert found.int8_report() is None
    assert [rung.name for rung in found.ladder.rungs] == ["onnx"]
    plain = to_onnx(made.model, (1, 16, 16), metadata=made.preprocessing.metadata())
    assert found.float_model == plain
    assert list(statement(found, made.preprocessing, run=RUN, split="test")["footprint"]["st"]) == [
        "float32"
    ]


def test_no_image_is_no_proof() -> None:
    """An empty split is refused."""
    made = trained()
    images = LabelledImages(made.test.numpy(), made.test_labels.numpy())
    none = LabelledImages(images.pixels[:0], images.labels[:0])
    with pytest.raises(EdgebenchError, match=r"^the ladder needs at least 1 image, but the split"):
        prove(
            made.model, made.preprocessing, Request(),
            train=images, validation=images, evaluation=none,
        )  # fmt: skip


def test_verify_and_bench_run_without_pytorch(folder: Path) -> None:
    """The commands work where torch, torchvision, mlflow, optuna and the like are not there."""
    heavy = "torch torchvision mlflow optuna sklearn matplotlib plotly onnxscript fvcore PIL"
    script = (
        "import sys\n"
        f"for name in {heavy.split()}: sys.modules[name] = None\n"
        "from edgebench.cli import main\n"
        "main()\n"
    )
    for arguments in (
        ["verify", str(folder), "--format", "json"],
        ["bench", str(folder / "model.int8.onnx"), "--runs", "3", "--format", "json"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
    assert answer["host_latency_median_ms"] <= answer["host_latency_p95_ms"]
    assert (answer["batch"], answer["threads"], answer["runs"]) == (1, 1, 3)
