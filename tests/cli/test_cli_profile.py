"""`profile`, `fit` and `targets` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from onnx_graphs import Sketchpad

from edgebench.cli import cli
from edgebench.errors import EdgebenchError
from edgebench.footprint import CONVENTIONS

NO_FAMILY = (
    "unknown model family 'vg'; did you mean 'vgg'?; nor is it a file, or a run (study:number)"
)


def run(*arguments: str) -> Result:
    """Run a command that must end without an exception."""
    result = CliRunner().invoke(cli, list(arguments), standalone_mode=False)
    if result.exception:
        raise result.exception
    return result


def mistakes(*arguments: str) -> tuple[int, tuple[str, ...]]:
    """Return the exit code and the messages of a command that must be refused."""
    with pytest.raises(EdgebenchError) as caught:
        run(*arguments)
    return caught.value.exit_code, caught.value.mistakes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a small convolutional network."""
    pad = Sketchpad()
    value = pad.add("Relu", [pad.conv("input", 4, 3, name="conv", pads=[1, 1, 1, 1])])
    pad.dense(pad.add("Flatten", [value]), 10, 256, name="logits")
    path = tmp_path / "small.onnx"
    onnx.save(pad.model("logits"), path)
    return path


@pytest.mark.parametrize(
    ("family", "macs", "macc", "parameters", "weights"),
    [
        ("vgg", 43_722_752, 43_954_784, 4_576_394, 18_305_576),
        ("gap", 39_520_768, 39_754_848, 373_386, 1_493_544),
    ],
)
def test_the_reference_networks(
    family: str, macs: int, macc: int, parameters: int, weights: int
) -> None:
    """One JSON object on stdout, the fields in their order, Table 1's figures."""
    found = json.loads(run("profile", family, "--softmax", "--format", "json").stdout)
    assert list(found) == [
        "model", "dtype", "convention", "macs", "macc", "parameters", "weights_bytes",
        "code_bytes", "rom_bytes", "activations_bytes", "runtime_ram_bytes", "ram_bytes",
        "rom_upper_bytes", "ram_upper_bytes", "latency_ms", "provenance", "layers", "target",
    ]  # fmt: skip
    assert (found["macs"], found["macc"]) == (macs, macc)
    assert (found["parameters"], found["weights_bytes"]) == (parameters, weights)
    assert (found["model"], found["target"]) == (family, None)
    without = json.loads(run("profile", family, "--format", "json").stdout)
    assert without["macc"] == macc - 150


def test_options_of_a_family() -> None:
    """Both spellings of a name, the input and the classes."""
    one = run("profile", "gap", "--set", "width=8", "--set", "model.blocks=2", "--format", "json",
              "--input", "1x16x16", "--classes", "4")  # fmt: skip
    assert json.loads(one.stdout)["parameters"] == 8 * 9 + 8 + 16 * 72 + 16 + 16 * 4 + 4


def test_a_file_in_every_format(model: Path) -> None:
    """Rows for people and for programs; messages never mix into csv and json."""
    table = run("profile", str(model)).stdout
    assert "MACC        9.74 k (9,742)" in table
    csv = run("profile", str(model), "--format", "csv").stdout
    assert csv.splitlines()[1] == "conv,Conv,1x3x8x8,1x4x8x8,112,6912,6916,108,1468"
    assert len(csv.splitlines()) == 4
    markdown = run("profile", str(model), "--format", "markdown").stdout
    assert markdown.startswith("| name")
    assert len(json.loads(run("profile", str(model), "--format", "json").stdout)["layers"]) == 3


def test_binary_units(model: Path) -> None:
    """KiB where they are asked for."""
    assert "KiB" in run("profile", str(model), "--units", "binary").stdout
    assert "kB" in run("profile", str(model)).stdout


def test_all_conventions_side_by_side(model: Path) -> None:
    """A row each, the default first, and what each counts; in JSON a list of the same objects."""
    text = run("profile", str(model), "--convention", "all").stdout
    for name in CONVENTIONS:
        assert f"\n{name}: " in text
    objects = json.loads(
        run("profile", str(model), "--convention", "all", "--format", "json").stdout
    )
    names = [one["convention"] for one in objects]
    assert names[0] == "st"
    assert sorted(names) == sorted(CONVENTIONS)


def test_the_explanation(model: Path) -> None:
    """The peak, what lives there, the timeline, and what costs most."""
    text = run("profile", str(model), "--explain").stdout
    assert "is fullest at conv (Conv):" in text
    assert "<- peak" in text
    assert "most MACC: conv 6.92 k, logits 2.57 k, relu1 256" in text


def test_the_picture(model: Path, tmp_path: Path) -> None:
    """A PNG of the memory plan."""
    path = tmp_path / "plan.png"
    result = run("profile", str(model), "-o", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"wrote {path}" in result.stderr


def test_a_target_that_fits_and_one_that_does_not(model: Path, tmp_path: Path) -> None:
    """Exit 0 and 1, the margins in the JSON, the reason in the text."""
    result = run("profile", str(model), "--target", "nucleo-f401re", "--format", "json")
    target = json.loads(result.stdout)["target"]
    assert result.return_value == 0
    assert (target["name"], target["fits"]) == ("nucleo-f401re", True)
    assert target["smallest_fitting"] == "nucleo-f401re"
    assert target["ram_margin_bytes"] == 98_304 - 8_192 - json.loads(result.stdout)["ram_bytes"]
    board = tmp_path / "tiny.yaml"
    board.write_text("{flash_bytes: 4096, ram_bytes: 4096, reserve_flash_bytes: 0}")
    result = run("profile", str(model), "--target", str(board))
    assert result.return_value == 1
    assert "is over 4,096 B of tiny by" in result.stdout
    assert "smallest    nucleo-f401re" in result.stdout


def test_operators_without_a_rule(tmp_path: Path) -> None:
    """Exit 1 and their names; --allow-unknown gives a lower bound that says so."""
    pad = Sketchpad()
    conv = pad.conv("input", 4, 3, name="conv")
    pad.data("sizes", [1, 4, 12, 12])
    pad.add("Resize", [conv, "", "", "sizes"], "big", mode="cubic")
    path = tmp_path / "big.onnx"
    onnx.save(pad.model("big"), path)
    assert mistakes("profile", str(path)) == (
        1,
        (
            "no rule counts the operator Resize (big)",
            "the figures would be a lower bound; accept that with --allow-unknown",
        ),
    )
    found = json.loads(run("profile", str(path), "--allow-unknown", "--format", "json").stdout)
    assert "lower bound: no rule for Resize (big)" in found["provenance"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ("vg",),
            (NO_FAMILY,),
        ),
        (("missing.onnx",), ("no such file: missing.onnx",)),
        (
            ("gap", "--set", "widht=3", "--set", "blocks=99"),
            (
                "unknown option of gap 'widht'; did you mean 'width'?",
                "blocks: 99 should be less than or equal to 8; the nearest valid value is 8",
            ),
        ),
        (
            ("gap", "--input", "32x"),
            ("--input: '32x' is no shape; write sizes such as 3x32x32, or NAME=1x3x32x32",),
        ),
        (
            ("gap", "--input", "32x32"),
            ("the input of a family is CxHxW, not 2 sizes; for example 3x32x32",),
        ),
        (
            ("gap", "--convention", "tfml"),
            ("unknown convention 'tfml'; did you mean 'tflm'?",),
        ),
        (
            ("gap", "--target", "nucleo-f401"),
            ("unknown target 'nucleo-f401'; did you mean 'nucleo-f401re'?; or give a .yaml file",),
        ),
    ],
)
def test_mistakes(arguments: tuple[str, ...], messages: tuple[str, ...]) -> None:
    """Exit 2, each mistake with its rule and the nearest valid choice."""
    assert mistakes("profile", *arguments) == (2, messages)


def test_options_of_a_family_on_a_file(model: Path) -> None:
    """An exported model is as it is."""
    assert mistakes("profile", str(model), "--set", "width=3") == (
        2,
        ("--set, --classes and --softmax are for families; an exported model is as it is",),
    )


def test_fit_against_all_boards(model: Path) -> None:
    """Sixteen rows, the smallest board first; exit 0 as nothing was asked for."""
    result = run("fit", str(model), "--format", "json")
    rows = json.loads(result.stdout)
    assert len(rows) == 16
    assert rows[0]["target"] == "nucleo-f401re"
    assert [row["target"] for row in rows if not row["fits"]] == ["stm32n6570-dk"]
    assert result.return_value == 0


def test_fit_against_named_boards() -> None:
    """Exit 1 where one that was asked for is too small: a budget check."""
    result = run("fit", "vgg", "--target", "nucleo-f401re", "--target", "esp32-s3-devkitc-1")
    assert result.return_value == 1
    assert "flash" in result.stdout


def test_the_list_of_targets() -> None:
    """Every board with its figures, and their sources for programs."""
    rows = json.loads(run("targets", "--format", "json").stdout)
    assert len(rows) == 16
    assert all(row["source"] for row in rows)
    assert "stm32f746g-disco" in run("targets").stdout
