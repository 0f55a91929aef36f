"""The library as a notebook meets it: `import edgebench`, and the names of its face."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import warm_pool  # noqa: F401 - registers the pool
from conftest import Stores

import edgebench

ROOT = Path(__file__).resolve().parent.parent
FACE = {
    "CONVENTIONS",
    "EdgebenchError",
    "export",
    "load_sweep",
    "profile",
    "read_study",
    "run_sweep",
}
SWEEP = """
name: library
dataset: synthetic
method: grid
metrics:
  - {name: val/accuracy_best, goal: maximize}
  - {name: footprint/rom_bytes, goal: minimize}
budget: {target: stm32f746g-disco}
parameters:
  model.family: {values: [gap, vgg]}
  model.width: 4
  model.blocks: 2
  train.epochs: 1
"""


def python(*words: str, folder: Path = ROOT, given: str | None = None) -> Any:
    """Return the JSON that a program prints in ``folder``."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, input=given, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fresh(code: str) -> Any:
    """Return the JSON that ``code`` prints in a process of its own."""
    return python("-c", code)


def command(*words: str) -> tuple[int, Any]:
    """Return the exit code of the command line, in this process, and the JSON that it prints."""
    from edgebench.cli import cli

    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = cli.main(list(words), standalone_mode=False)
    return status or 0, json.loads(out.getvalue())


# The import -------------------------------------------------------------------------------------


def test_the_face_is_these_names() -> None:
    """What is added to them is added on purpose; what is taken away breaks a notebook."""
    assert set(edgebench.__all__) == FACE
    assert set(dir(edgebench)) == FACE | {"__version__"}


def test_importing_costs_nothing() -> None:
    """No package but edgebench's own two files, and under 20 ms of processor time, best of five."""
    code = (
        "import sys, time, json; before = set(sys.modules); start = time.process_time();"
        "import edgebench; took = time.process_time() - start;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(json.dumps([1e3 * took, sorted(new & {'torch', 'mlflow', 'optuna', 'numpy', 'onnx',"
        " 'pydantic', 'click', 'pathlib', 'typing', 'edgebench'})]))"
    )
    times, imported = zip(*(fresh(code) for _ in range(5)), strict=True)
    assert imported == (["edgebench"],) * 5
    assert min(times) < 20


def test_every_name_is_there_when_it_is_asked_for() -> None:
    """In a fresh process, in whatever order: nothing has to be imported first."""
    code = (
        "import edgebench, json; print(json.dumps({name: callable(getattr(edgebench, name))"
        " for name in sorted(edgebench.__all__)}))"
    )
    assert fresh(code) == dict.fromkeys(sorted(FACE), True) | {"CONVENTIONS": False}


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="module 'edgebench' has no attribute 'profil'"):
        edgebench.profil  # noqa: B018 - looking it up is what is tested


def test_the_version_is_that_of_the_installed_package() -> None:
    """As pip knows it."""
    from importlib.metadata import version

    assert edgebench.__version__ == version("edgebench")


@pytest.mark.parametrize("name", sorted(FACE - {"CONVENTIONS", "EdgebenchError"}))
def test_every_function_is_documented_with_an_example(name: str) -> None:
    """So that ``help(edgebench.profile)`` is enough."""
    function = getattr(edgebench, name)
    text = inspect.getdoc(function.__call__ if name == "export" else function) or ""
    assert ">>> " in text
    assert "Args:" in text
    assert "Raises:" in text


def test_the_examples_print_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need no study; the others stand in the tests below."""
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(edgebench)
    assert found.attempted >= 7
    assert found.failed == 0


# Profile ----------------------------------------------------------------------------------------


def test_a_profile_has_the_attributes_of_the_json() -> None:
    """Every key of ``profile --format json`` is an attribute, and the command prints the same."""
    found = edgebench.profile("gap", "st", "stm32f746g-disco", options={"width": 32})
    status, printed = command(
        "profile", "gap", "--set", "width=32", "--target", "stm32f746g-disco", "--format", "json"
    )
    assert status == 0
    rows, board = printed.pop("layers"), printed.pop("target")
    for name, value in printed.items():
        assert json.loads(json.dumps(getattr(found, name))) == value, name
    assert [layer.as_dict() for layer in found.layers] == rows
    assert found.target is not None
    for name in ("name", "fits", "reason", "rom_margin_bytes", "ram_margin_bytes"):
        assert getattr(found.target, name) == board[name], name


def test_the_reference_is_reproduced() -> None:
    """The vendor's figures of the report's two networks (design, section 2), with softmax."""
    vgg, gap = (edgebench.profile(name, softmax=True) for name in ("vgg", "gap"))
    assert (vgg.macc, vgg.parameters, vgg.weights_bytes) == (43_954_784, 4_576_394, 18_305_576)
    assert (gap.macc, gap.parameters, gap.weights_bytes) == (39_754_848, 373_386, 1_493_544)


@pytest.mark.parametrize("convention", edgebench.CONVENTIONS)
def test_every_convention_profiles(convention: str) -> None:
    """``CONVENTIONS`` are the names that ``convention`` takes."""
    found = edgebench.profile("gap", convention, input="3x16x16", options={"width": 4})
    assert found.convention == convention
    assert found.macc > 0


def test_a_file_a_model_and_a_module_are_profiled_alike(tmp_path: Path) -> None:
    """Whatever names a network, its figures are the same."""
    import onnx
    import torch
    from torch import nn

    from edgebench.export import to_onnx

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    model = to_onnx(network.eval(), (3, 8, 8))
    onnx.save(model, tmp_path / "m.onnx")
    found = [
        edgebench.profile(tmp_path / "m.onnx"),
        edgebench.profile(str(tmp_path / "m.onnx")),
        edgebench.profile(model),
        edgebench.profile(network, input=(3, 8, 8)),
    ]
    assert found[0].parameters == 3 * 4 * 9 + 4 + 4 * 36 * 5 + 5
    assert found[0].macs == 36 * 4 * 27 + 4 * 36 * 5
    for one in found[1:]:
        assert (one.rom_bytes, one.ram_bytes, one.macc) == (
            found[0].rom_bytes, found[0].ram_bytes, found[0].macc,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "gapp"}, "unknown model family 'gapp'; did you mean 'gap'"),
        ({"model": "gap", "convention": "stt"}, "unknown convention 'stt'; did you mean 'st'"),
        ({"model": "gap", "target": "stm32f746"}, "unknown target 'stm32f746'; did you mean"),
        ({"model": "gap", "options": {"widht": 4}}, "unknown option of gap 'widht'; did you mean"),
        ({"model": "none.onnx"}, "no such file: none.onnx"),
    ],
)
def test_a_mistake_is_an_edgebench_error(given: dict[str, Any], message: str) -> None:
    """With the message that the command line prints."""
    with pytest.raises(edgebench.EdgebenchError) as caught:
        edgebench.profile(**given)
    assert message in str(caught.value)


def test_a_module_needs_its_input() -> None:
    """Nothing says what it takes."""
    from torch import nn

    with pytest.raises(edgebench.EdgebenchError, match=r"^a PyTorch module needs input"):
        edgebench.profile(nn.Linear(2, 2))


# Sweeps and studies -----------------------------------------------------------------------------


def test_a_sweep_is_loaded_with_overrides(tmp_path: Path) -> None:
    """The file stays as it is; all its mistakes come at once."""
    (tmp_path / "s.yaml").write_text(SWEEP)
    sweep = edgebench.load_sweep(str(tmp_path / "s.yaml"), {"run_cap": 1, "model.width": 6})
    assert (sweep.name, sweep.run_cap) == ("library", 1)
    assert sweep.first().params["model.width"] == 6
    with pytest.raises(edgebench.EdgebenchError) as caught:
        edgebench.load_sweep(tmp_path / "s.yaml", {"run_cap": 0, "model.width": 0})
    assert len(caught.value.mistakes) == 2


def test_a_study_from_the_sweep_to_the_hand_over(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run, shown, read back, as a data frame, exported; and the command line says the same."""
    monkeypatch.chdir(tmp_path)  # the stores are where they are by default
    (tmp_path / "s.yaml").write_text(SWEEP)
    events: list[Any] = []
    record = edgebench.run_sweep(edgebench.load_sweep("s.yaml"), pool="warm", observe=events.append)
    assert [row.state for row in record.rows] == ["finished", "finished"]
    assert [event.kind for event in events] == ["started", "epoch", "ended"] * 2
    assert stores.folder.is_dir()

    read = edgebench.read_study("library")
    assert read == record
    assert edgebench.read_study("library", details=True).rows[0].curves["val/accuracy"]
    status, printed = command("report", "library", "--format", "json")
    assert status == 0
    frame = read.to_pandas()
    assert list(frame["run_id"]) == [row["run_id"] for row in printed["rows"]]
    for name in ("val/accuracy_best", "footprint/rom_bytes"):
        assert list(frame[name]) == [row["metrics"][name] for row in printed["rows"]]
    assert list(frame["on_front"]) == [row["on_front"] for row in printed["rows"]]

    again = edgebench.run_sweep(edgebench.load_sweep("s.yaml"), pool="warm")
    assert again.rows == record.rows

    best = record.front()[0]
    exported = edgebench.export(f"library:{best.trial}", tmp_path / "best.onnx")
    assert (tmp_path / "best.onnx") in exported.written
    shipped = edgebench.profile(tmp_path / "best.onnx")
    assert shipped.rom_bytes == best.metrics["footprint/rom_bytes"]
    assert edgebench.profile(f"library:{best.trial}").rom_bytes == shipped.rom_bytes


def test_a_study_that_is_not_there_is_named(stores: Stores) -> None:
    """With the store's address given, as a notebook in another folder does."""
    with pytest.raises(edgebench.EdgebenchError, match="unknown study 'libary'"):
        edgebench.read_study("libary", tracking_uri=stores.tracking_uri)


RUN = """
import json, edgebench
record = edgebench.run_sweep(edgebench.load_sweep("s.yaml", {"run_cap": 1}))
print(json.dumps([[row.state, row.reason, row.params["model.family"]] for row in record.rows]))
"""
SCRIPT = """
from torch import nn
from edgebench.models import MODELS

@MODELS.register
def plain(input_shape, classes):
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 2, 1), nn.Flatten(), nn.Linear(2 * height * width, classes)
    )

if __name__ == "__main__":
"""


def test_a_script_needs_no_guard(stores: Stores, tmp_path: Path) -> None:
    """Nor to be a file: workers do not import the program."""
    (tmp_path / "s.yaml").write_text(SWEEP)
    assert python("-", folder=tmp_path, given=RUN) == [["finished", None, "gap"]]
    assert stores.folder.is_dir()


def test_a_script_may_register_members(stores: Stores, tmp_path: Path) -> None:
    """Then workers import it, as they do of any program that starts processes."""
    parameters = "  model.family: plain\n  train.epochs: 1\n"
    (tmp_path / "s.yaml").write_text(SWEEP.partition("  model.family")[0] + parameters)
    (tmp_path / "s.py").write_text(SCRIPT + textwrap.indent(RUN, "    "))
    assert python("s.py", folder=tmp_path) == [["finished", None, "plain"]]
    assert stores.folder.is_dir()
