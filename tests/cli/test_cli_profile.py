"""`profile`, `fit` and `targets` as a user calls them."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from onnx_graphs import QuantizedPad, Sketchpad

from edgebench.cli import cli
from edgebench.errors import EdgebenchError
from edgebench.footprint import CONVENTIONS, TARGETS, Target, load_target

NO_FAMILY = (
    "unknown model family 'vg'; did you mean 'vgg'?; nor is it a file, a hand-over, or a run "
    "(study:number)"
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
        "rom_upper_bytes", "ram_upper_bytes", "latency_ms", "latency_interval_ms",
        "latency_provenance", "provenance", "layers", "target",
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


# Latency ------------------------------------------------------------------------------------------


@pytest.fixture
def int8_model(tmp_path: Path) -> Path:
    """Write an int8 network that is large enough for an estimate."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 16, 3, (3, 3), pads=[1, 1, 1, 1])
    value = pad.conv8(value, 16, 16, (3, 3), pads=[1, 1, 1, 1])
    value = pad.quantized(pad.add("GlobalAveragePool", [value]))
    value = pad.dense8(pad.quantized(pad.add("Flatten", [value])), 10, 16)
    path = tmp_path / "int8.onnx"
    onnx.save(pad.model(value, shape=("N", 3, 32, 32)), path)
    return path


def test_the_latency_on_a_target(int8_model: Path, model: Path) -> None:
    """A line with its interval and what it rests on; or why there is none."""
    text = run("profile", str(int8_model), "--target", "stm32h747i-disco").stdout
    [line] = [one for one in text.splitlines() if one.startswith("latency")]
    assert re.fullmatch(
        r"latency     [\d.]+ ms, [\d.]+ ms to [\d.]+ ms: estimated \(Cube.AI 10.0 on a Cortex-M7 "
        r"at 480 MHz; \d+ networks measured, 9 of 10 within \d+ % when left out\)",
        line,
    )
    found = json.loads(
        run("profile", str(int8_model), "--target", "stm32h747i-disco", "--format", "json").stdout
    )
    low, high = found["latency_interval_ms"]
    assert low < found["latency_ms"] < high
    text = run("profile", str(model), "--target", "stm32h747i-disco").stdout
    assert "latency     no estimate: too few float networks were measured" in text
    assert "\nlatency" not in run("profile", str(int8_model)).stdout


def test_the_latency_on_every_board(int8_model: Path) -> None:
    """`fit` has a column: empty on cores that were never measured."""
    rows = json.loads(run("fit", str(int8_model), "--format", "json").stdout)
    by_name = {row["target"]: row["latency"] for row in rows}
    assert by_name["stm32h747i-disco"] < by_name["nucleo-f401re"]
    assert by_name["esp32-s3-devkitc-1"] is None


def test_energy_and_battery_at_a_stated_power(int8_model: Path, tmp_path: Path) -> None:
    """Arithmetic on the latency, with the board file's own figures; never with a default."""
    board = tmp_path / "mine.yaml"
    board.write_text(
        "{flash_bytes: 2097152, ram_bytes: 524288, core: Cortex-M7, clock_mhz: 400, "
        "power_mw: 400, sleep_mw: 0.5, battery_mwh: 3000}"
    )
    arguments = ("profile", str(int8_model), "--target", str(board))
    milliseconds = json.loads(run(*arguments, "--format", "json").stdout)["latency_ms"]
    text = run(*arguments, "--duty", "0.5").stdout
    assert f"energy      {400 * milliseconds:,.0f} uJ an inference at 400 mW" in text
    share = 0.5 * milliseconds / 1000
    days = 3000 / (400 * share + 0.5 * (1 - share)) / 24
    assert f"battery     {days:,.1f} days of 3000 mWh at 0.5 inferences a second" in text
    message = (
        "--duty needs the power that the board draws: state power_mw in a .yaml file for "
        "'stm32h747i-disco'; with battery_mwh and sleep_mw the life of a battery follows"
    )
    listed = ("--target", "stm32h747i-disco", "--duty", "1")
    assert mistakes("profile", str(int8_model), *listed) == (2, (message,))


def test_mistakes_of_a_board_file(int8_model: Path, tmp_path: Path) -> None:
    """Power, clock and core are read as what they are, all mistakes at once."""
    board = tmp_path / "mine.yaml"
    board.write_text("{flash_bytes: 1, ram_bytes: 1, core: [M7], clock_mhz: fast, power_mw: -1}")
    assert mistakes("profile", str(int8_model), "--target", str(board)) == (
        2,
        (
            f"{board}: core must be text, not ['M7']",
            f"{board}: clock_mhz must be a number above 0, not 'fast'",
            f"{board}: power_mw must be a number above 0, not -1",
        ),
    )


# Inputs and names ---------------------------------------------------------------------------------


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    """Write a network whose image is scaled by a second input, both with open sizes."""
    pad = Sketchpad()
    scaled = pad.add("Mul", ["input", "gain"])
    pad.add("GlobalAveragePool", [pad.conv(scaled, 4, 3, name="conv")], "pool")
    pad.dense(pad.add("Flatten", ["pool"]), 10, 4, name="logits")
    graph = pad.model("logits", shape=("N", 3, "H", "W"))
    graph.graph.input.append(onnx.helper.make_tensor_value_info("gain", 1, ["N", 3, 1, 1]))
    path = tmp_path / "two.onnx"
    onnx.save(graph, path)
    return path


def test_inputs_by_name(two_inputs: Path) -> None:
    """Stated or frozen, in any number; what is open is asked for by name."""
    gain = ("--input", "gain=1x3x1x1")
    one = run("profile", str(two_inputs), *gain, "--input", "input=1x3x9x7", "--format", "json")
    other = run("profile", str(two_inputs), *gain, "--input", "3x9x7", "--format", "json")
    assert json.loads(one.stdout)["macs"] == json.loads(other.stdout)["macs"] == 35 * 4 * 27 + 40
    frozen = run("profile", str(two_inputs), "--input", "gain=frozen", "--input", "3x9x7",
                 "--format", "json")  # fmt: skip
    found = json.loads(frozen.stdout)
    assert found["parameters"] == json.loads(one.stdout)["parameters"] + 3
    message = (
        "the input 'input' is [N, 3, H, W]: only the batch may be open; state H and W, as in "
        "--input input=1x3x224x224"
    )
    assert mistakes("profile", str(two_inputs), *gain) == (2, (message,))
    assert mistakes("profile", str(two_inputs), "--input", "3x9x7", "--input", "3x9x8") == (
        2,
        ("--input: '3x9x8' is the second size without an input's name",),
    )
    assert mistakes("profile", "gap", "--input", "image=3x9x7") == (
        2,
        ("a family has one input; state its size alone, as in 3x32x32",),
    )


def test_long_names_are_shortened_in_the_middle(tmp_path: Path) -> None:
    """In tables and the explanation; programs get them whole."""
    name = "model/backbone/stage_1/block_2/convolution/Conv2D/ReadVariableOp"
    pad = Sketchpad()
    pad.conv("input", 4, 3, name=name)
    path = tmp_path / "long.onnx"
    onnx.save(pad.model(name), path)
    text = run("profile", str(path), "--explain").stdout
    assert "model/backbone/stag…v2D/ReadVariableOp" not in text  # 40 characters, not fewer
    assert "model/backbone/stag…onv2D/ReadVariableOp" in text
    assert name not in text
    [row] = json.loads(run("profile", str(path), "--format", "json").stdout)["layers"]
    assert row["name"] == name


def test_a_file_needs_neither_pytorch_nor_mlflow(model: Path) -> None:
    """A light installation profiles files and checks them against the boards."""
    program = (
        "import sys\n"
        "for name in ('torch', 'mlflow', 'optuna'): sys.modules[name] = None\n"
        "from edgebench.cli import cli\n"
        f"cli.main(['profile', {str(model)!r}], standalone_mode=False)\n"
        f"cli.main(['fit', {str(model)!r}], standalone_mode=False)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "MACC        9.74 k (9,742)" in result.stdout


@pytest.mark.parametrize("name", TARGETS)
def test_a_board_as_yaml_is_the_board(name: str, tmp_path: Path) -> None:
    """What is printed is a file that ``--target`` takes, of the same figures."""
    file = tmp_path / "mine.yaml"
    file.write_text(run("targets", name, "--format", "yaml").stdout)
    assert load_target(file) == dataclasses.replace(TARGETS[name], name="mine")


def test_a_board_as_yaml_says_what_may_be_filled_in() -> None:
    """Every key stands in it with what it is for; one without a board is a mistake."""
    said = run("targets", "nucleo-f446re", "--format", "yaml").stdout
    assert "# Power while it computes, for the energy of an inference\n# power_mw: 0.0\n" in said
    assert all(f"{field.name}: " in said for field in dataclasses.fields(Target))
    code, [said] = mistakes("targets", "--format", "yaml")
    assert code == 2
    assert said.startswith("--format yaml is the file of one board; name it, as in 'targets ")


def test_the_list_of_targets() -> None:
    """Every board with its figures, and their sources for programs."""
    rows = json.loads(run("targets", "--format", "json").stdout)
    assert len(rows) == 16
    assert all(row["source"] for row in rows)
    assert "stm32f746g-disco" in run("targets").stdout
