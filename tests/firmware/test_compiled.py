"""The C compiled for a Cortex-M: memory as planned, outputs as ONNX Runtime's, bad input."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx_graphs import Sketchpad
from programs import allowed, drawn, expected, images_for, quantized, written

from edgebench.cli.firmware import command
from edgebench.errors import EdgebenchError
from edgebench.firmware import KEYS, check_writable, deliver, measure_program, output_step
from edgebench.firmware.compiling import build, compiler
from edgebench.firmware.cpus import CPUS
from edgebench.firmware.elf import Elf
from edgebench.firmware.emulation import emulate
from edgebench.firmware.measuring import as_input, as_real, run_on_host
from edgebench.footprint import measure
from edgebench.profiling import profile

compiled = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None or importlib.util.find_spec("unicorn") is None,
    reason="needs the packages ziglang and unicorn (the extra 'firmware')",
)


def network(pad: Sketchpad) -> str:
    """Draw two convolutions with pools, the mean and a dense layer."""
    value = pad.add("Relu", [pad.conv("input", 8, 3, pads=[1, 1, 1, 1])])
    value = pad.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
    value = pad.add("Relu", [pad.conv(value, 12, 8, pads=[1, 1, 1, 1])])
    value = pad.add("GlobalAveragePool", [value])
    return pad.dense(pad.add("Flatten", [value]), 5, 12)


@compiled
@pytest.mark.parametrize("cpu", [name for name in CPUS if name != "host"])
def test_every_cpu(cpu: str) -> None:
    """int8 on each: the ELF's RAM is the plan's, the emulated outputs are ONNX Runtime's."""
    model = quantized(drawn(network))
    program, images = written(model), images_for(model, 4)
    found = measure_program(program, images, expected(model, images), cpu=cpu)
    assert found.max_abs_diff <= 1.01 * output_step(program)
    assert found.ram_bytes == found.bss_bytes == measure(profile(model), "edgebench").ram_bytes
    assert found.data_bytes == 0
    assert found.rodata_bytes is not None
    assert found.rodata_bytes > profile(model).weights_bytes
    assert found.stack_bytes
    footprint = measure(profile(model), "edgebench")
    assert footprint.rom_bytes == found.predicted_rom_bytes
    assert footprint.rom_upper_bytes is not None
    assert found.rom_bytes is not None
    assert found.rom_bytes <= footprint.rom_upper_bytes  # floats in software included
    if cpu == "cortex-m4" and "clang" in found.compiler:  # what the prediction is of
        assert abs(found.predicted_rom_bytes - found.rom_bytes) <= 0.02 * found.rom_bytes + 64
    # By stage and in all: what runs outside of the stages is the loop around them.
    inside = sum(layer["instructions"] for layer in found.layers)
    assert found.instructions is not None
    assert 0.95 * found.instructions < inside <= found.instructions


def corners(pad: Sketchpad) -> str:
    """Draw what the loops in assembly meet at their ends.

    More inputs and results than are multiplied at once, odd numbers of both and of pixels, groups,
    strides, dilation, channels by themselves, and a dense layer with inputs left over.
    """
    value = pad.add("Relu", [pad.conv("input", 66, 3, pads=[1, 1, 1, 1])])
    value = pad.conv(value, 66, 66, group=66, pads=[1, 1, 1, 1])
    value = pad.conv(value, 10, 66, group=2, strides=[1, 2], pads=[1, 1, 1, 1])
    value = pad.add("MaxPool", [value], kernel_shape=[2, 3], strides=[2, 3])
    value = pad.conv(value, 8, 10, kernel=2, pads=[2, 2, 0, 0], dilations=[2, 2])
    value = pad.conv(value, 8, 8, group=8, strides=[1, 2], pads=[0, 2, 2, 4], dilations=[1, 2])
    value = pad.conv(value, 7, 8, pads=[1, 1, 1, 1])
    return pad.dense(pad.add("Flatten", [value]), 5, 28)


@compiled
@pytest.mark.parametrize("extra", [(), ("-DPLAIN_LOOPS",)], ids=["assembly", "plain"])
def test_the_loops_in_assembly(tmp_path: Path, extra: tuple[str, ...]) -> None:
    """Bit for bit what the loops in C compute on this machine, ONNX Runtime's within a step."""
    model = quantized(drawn(corners, shape=("N", 3, 4, 13)))
    program, images = written(model), images_for(model, 4)
    for cpu in ("host", "cortex-m4"):
        (tmp_path / cpu).mkdir()
    here = run_on_host(program, build(program, tmp_path / "host", "host"), images)
    assert np.abs(here - expected(model, images)).max() <= allowed(program, model, images)
    built = build(program, tmp_path / "cortex-m4", "cortex-m4", extra=extra)
    held = [as_input(program, one) for one in images]
    run = emulate(built, program.name, program.functions, held, np.zeros(5, np.int8))
    np.testing.assert_array_equal(as_real(program, run.outputs), here)
    assert len(set(run.outputs.reshape(-1).tolist())) > 4  # it is no constant


@compiled
def test_floats_on_a_cortex_m4() -> None:
    """The FPU's rounding; layerwise needs what its plan says."""
    model = drawn(network)
    program, images = written(model, "layerwise"), images_for(model, 4)
    found = measure_program(program, images, expected(model, images), cpu="cortex-m4")
    assert found.max_abs_diff <= found.bound == 1e-4 * max(1, np.abs(expected(model, images)).max())
    assert found.ram_bytes == program.arena_bytes
    found.require_equal()


@compiled
def test_a_program_that_does_not_fit_does_not_link(tmp_path: Path) -> None:
    """The linker knows the memories of the board."""
    with pytest.raises(EdgebenchError, match="compiler refused the program"):
        build(written(drawn(network)), tmp_path, "cortex-m4", ram_bytes=512, wanted="zig")


def test_an_elf_file_is_read(tmp_path: Path) -> None:
    """What is none is refused."""
    with pytest.raises(ValueError, match="no ELF file"):
        Elf((tmp_path / "x").write_bytes(b"MZ") and b"MZ")


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message says what to install."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EdgebenchError, match=r"no compiler for cortex-m4: install the extra"):
        compiler(CPUS["cortex-m4"], "gcc")


def test_a_folder_to_build_in(tmp_path: Path) -> None:
    """Its check of golden vectors passes on this machine, and fails on other vectors."""
    model = quantized(drawn(network))
    program, images = written(model), images_for(model, 4)
    reference = expected(model, images)
    folder = tmp_path / "firmware"
    for outputs, status in ((reference, 0), (reference[::-1], 4)):
        deliver(folder, program, {"rom_bytes": 1}, images, outputs)
        assert {path.name for path in folder.iterdir()} == {
            "model.c", "model.h", "main.c", "CMakeLists.txt", "README.md", "firmware.json",
        }  # fmt: skip
        words = ["cc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-o", "check"]
        subprocess.run([*words, "main.c", "model.c"], cwd=folder, check=True)
        assert subprocess.run([folder / "check"], check=False).returncode == status
    assert list(tmp_path.iterdir()) == [folder]


def test_folders_that_are_refused(tmp_path: Path) -> None:
    """What holds something else, and where nothing can be written."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EdgebenchError, match="holds something else"):
        check_writable(tmp_path)
    with pytest.raises(EdgebenchError, match="there is no folder"):
        check_writable(tmp_path / "missing" / "firmware")
    if os.getuid():
        tmp_path.chmod(0o500)
        with pytest.raises(EdgebenchError, match="may not be written to"):
            check_writable(tmp_path / "firmware")


@compiled
def test_the_command(tmp_path: Path) -> None:
    """A file in, one JSON object with the stated keys out."""
    path = tmp_path / "model.onnx"
    path.write_bytes(drawn(network).SerializeToString())
    words = [str(path), "--format", "json", "--images", "3", "-o", str(tmp_path / "c")]
    result = CliRunner().invoke(command, words, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert tuple(found) == KEYS
    assert found["images"] == 3
    assert found["agreement"] == 1.0
    assert found["ram_bytes"] == found["predicted_ram_bytes"]
    assert found["instructions_per_mac"] == found["instructions"] / profile(path).macs
    assert json.loads((tmp_path / "c" / "firmware.json").read_text()) == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gap", "--cpu", "cortex-m5"], "unknown cpu 'cortex-m5'; did you mean"),
        (["gap", "--plan", "layers"], "unknown plan 'layers'; did you mean 'layerwise'"),
        (["gop"], "unknown model family 'gop'; did you mean 'gap'"),
        (["missing.onnx"], "no such file: missing.onnx"),
        (["gap", "-o", "missing/c"], "there is no folder 'missing' to write 'c' in"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    """One message each, before anything is compiled."""
    result = CliRunner().invoke(command, words)
    assert isinstance(result.exception, EdgebenchError)
    assert message in str(result.exception)
