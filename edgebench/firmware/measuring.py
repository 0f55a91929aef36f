"""Compiles a model, runs it on this machine and in the emulator, and compares with ONNX Runtime."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.firmware.compiling import FLASH_BYTES, RAM_BYTES, Built, build
from edgebench.firmware.emulation import Emulated, emulate
from edgebench.firmware.values import Array, quantized, scale_of
from edgebench.firmware.writing import Program
from edgebench.footprint import firmware_rom
from edgebench.profiling import Tensor

EMULATED = 2
"""Images that are run in the emulator; all are run on this machine."""


KEYS = (
    "model", "dtype", "plan", "cpu", "compiler", "emulator", "rom_bytes", "ram_bytes",
    "text_bytes", "rodata_bytes", "data_bytes", "bss_bytes", "stack_bytes", "predicted_rom_bytes",
    "predicted_ram_bytes", "instructions", "instructions_per_mac", "images", "max_abs_diff",
    "agreement", "layers",
)  # fmt: skip
"""The keys of ``firmware --format json``, in order."""


@dataclass(frozen=True)
class Measurement:
    """What was compiled and measured of a model; the keys of ``firmware --format json``.

    ``bound`` is what ``max_abs_diff`` may be; ``ram_bytes`` is static memory, input and output in
    it, the stack apart. What is read from the ELF or counted by the emulator is None on this
    machine.
    """

    model: str
    dtype: str
    plan: str
    cpu: str
    compiler: str
    predicted_rom_bytes: int
    predicted_ram_bytes: int
    images: int
    max_abs_diff: float
    agreement: float
    layers: tuple[Mapping[str, Any], ...]
    bound: float
    emulator: str | None = None
    rom_bytes: int | None = None
    ram_bytes: int | None = None
    text_bytes: int | None = None
    rodata_bytes: int | None = None
    data_bytes: int | None = None
    bss_bytes: int | None = None
    stack_bytes: int | None = None
    instructions: int | None = None
    instructions_per_mac: float | None = None

    def require_equal(self) -> None:
        """Raise CheckFailed where an output is further from ONNX Runtime's than ``bound``."""
        if not self.max_abs_diff <= self.bound:
            raise CheckFailed(
                f"an output of the firmware of '{self.model}' is {self.max_abs_diff:.3g} from "
                f"ONNX Runtime's; at most {self.bound:.3g} is rounding"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the object of ``--format json``."""
        found = asdict(self) | {"layers": [dict(one) for one in self.layers]}
        return {name: found[name] for name in KEYS}


def measure_program(
    program: Program,
    images: Array,
    expected: Array,
    *,
    cpu: str = "cortex-m4",
    spread: float = 0.0,
    model: str | None = None,
    flash_bytes: int = FLASH_BYTES,
    ram_bytes: int = RAM_BYTES,
    emulated: int = EMULATED,
) -> Measurement:
    """Compile ``program``, run it, and compare it with what ONNX Runtime computed.

    Args:
        program: The C of a model.
        images: Inputs as the ONNX model takes them, float32 ``[N, ...]``.
        expected: The outputs of ONNX Runtime, real numbers ``[N, ...]``.
        spread: How far ONNX Runtime is from itself, which is allowed on top of a step.
        cpu: Where it is to run; ``host`` emulates nothing.
        model: What the model is called.
        flash_bytes: Of the board; the linker refuses what does not fit.
        ram_bytes: The same.
        emulated: How many of the images are emulated; the host runs all.

    Raises:
        EdgebenchError: No compiler or emulator, or the program does not link.
    """
    with tempfile.TemporaryDirectory(prefix="edgebench-firmware-") as name:
        folder = Path(name)
        (folder / "host").mkdir()
        host = build(program, folder / "host", "host")
        ours = [run_on_host(program, host, images)]
        reference = expected.reshape(len(images), -1)
        bound = _bound(program, reference) + spread
        references = [reference]
        if cpu == "host":
            return replace(_of_host(program, host, ours[0], reference, model), bound=bound)
        built = build(program, folder, cpu, flash_bytes=flash_bytes, ram_bytes=ram_bytes)
        count = min(emulated, len(images))
        held = [as_input(program, one) for one in images[:count]]
        run = emulate(built, program.name, program.functions, held, _output(program))
        ours.append(as_real(program, run.outputs))
        references.append(reference[:count])
        return replace(_measured(program, built, run, (ours, references), model), bound=bound)


def run_on_host(program: Program, built: Built, images: Array) -> Array:
    """Return the real-valued outputs ``[N, elements]`` of the program of this machine.

    Raises:
        CheckFailed: The program crashed, or a sanitizer complained.
    """
    held = b"".join(as_input(program, one).tobytes() for one in images)
    found = subprocess.run([str(built.path)], input=held, capture_output=True, check=False)  # noqa: S603
    if found.returncode or found.stderr:
        words = found.stderr.decode(errors="replace").splitlines() or [str(found.returncode)]
        raise CheckFailed(f"the firmware of '{program.name}' failed on this machine: {words[0]}")
    sample = _output(program)
    outputs = np.frombuffer(found.stdout, sample.dtype).reshape(len(images), -1)
    return as_real(program, outputs)


def _ends(program: Program) -> tuple[Tensor, Tensor]:
    profile = program.plan.network.profile
    return profile.tensors[profile.inputs[0]], profile.tensors[profile.outputs[0]]


def as_input(program: Program, image: Array) -> Array:
    """Return one image as the firmware takes it: its layout, and its integers if it has them."""
    source, _ = _ends(program)
    layout = program.plan.network.layouts[source.name]
    laid = np.ascontiguousarray(image.reshape(layout.shape).transpose(layout.order))
    if not source.quantized:
        return laid.astype(np.float32)
    return quantized(laid, scale_of(source, program.constants), source.dtype)


def as_real(program: Program, outputs: Array) -> Array:
    """Return outputs as real numbers."""
    _, target = _ends(program)
    if not target.quantized:
        return outputs
    scale, zero = scale_of(target, program.constants).one
    return ((outputs.astype(np.float64) - zero) * scale).astype(np.float32)


def output_step(program: Program) -> float:
    """Return the scale of the output, the least by which integers can differ; 0 for floats."""
    _, target = _ends(program)
    return scale_of(target, program.constants).one[0] if target.quantized else 0.0


def _bound(program: Program, reference: Array) -> float:
    """Return what an output may differ by: a step of integers, or rounding of single precision."""
    step = output_step(program)
    return 1.01 * step if step else 1e-4 * max(1.0, float(np.abs(reference).max()))


def _output(program: Program) -> Array:
    _, target = _ends(program)
    return np.zeros(target.elements, target.dtype)


def _compared(ours: list[Array], references: list[Array]) -> tuple[float, float]:
    """Return the largest difference, and the share of images with the same class."""
    apart = [
        np.abs(mine.astype(np.float64) - other).max()
        for mine, other in zip(ours, references, strict=True)
    ]
    same = np.concatenate(
        [mine.argmax(1) == other.argmax(1) for mine, other in zip(ours, references, strict=True)]
    )
    return float(max(apart)), float(same.mean())


def _of_host(
    program: Program, host: Built, ours: Array, reference: Array, model: str | None
) -> Measurement:
    diff, agreement = _compared([ours], [reference])
    return Measurement(
        **_names(program, host, model),
        images=len(ours), max_abs_diff=diff, agreement=agreement, layers=_layers(program, None),
        bound=0.0,
    )  # fmt: skip


def _measured(
    program: Program,
    built: Built,
    run: Emulated,
    outputs: tuple[list[Array], list[Array]],
    model: str | None,
) -> Measurement:
    elf = built.elf()
    text, rodata = elf.size(".text"), elf.size(".rodata")
    data, bss = elf.size(".data"), elf.size(".bss")
    if not program.plan.network.profile.macs:
        raise EdgebenchError("the model multiplies nothing")
    diff, agreement = _compared(*outputs)
    return Measurement(
        **_names(program, built, model),
        emulator=run.emulator,
        rom_bytes=text + rodata + data + elf.size(".ARM"),
        ram_bytes=data + bss,
        text_bytes=text, rodata_bytes=rodata, data_bytes=data, bss_bytes=bss,
        stack_bytes=run.stack_bytes,
        instructions=run.instructions,
        instructions_per_mac=run.instructions / program.plan.network.profile.macs,
        images=len(outputs[0][0]), max_abs_diff=diff, agreement=agreement,
        layers=_layers(program, run), bound=0.0,
    )  # fmt: skip


def _names(program: Program, built: Built, model: str | None) -> dict[str, Any]:
    profile = program.plan.network.profile
    return {
        "model": model or profile.name, "dtype": profile.dtype, "plan": program.plan.style,
        "cpu": built.cpu.name, "compiler": built.compiler.name,
        "predicted_rom_bytes": firmware_rom(program.plan),
        "predicted_ram_bytes": program.plan.arena.peak,
    }  # fmt: skip


def _layers(program: Program, run: Emulated | None) -> tuple[Mapping[str, Any], ...]:
    stages = program.plan.network.stages
    counts = run.by_stage if run is not None else (None,) * len(stages)
    return tuple(
        {
            "name": stage.main.name,
            "op": "+".join(one.op for one in stage.operators),
            "instructions": count,
        }
        for stage, count in zip(stages, counts, strict=True)
    )
