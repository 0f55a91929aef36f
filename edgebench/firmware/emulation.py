"""Runs a bare ELF in an emulator: outputs, instructions by stage, and how deep the stack went.

The emulator is Unicorn, with the processor that the program was compiled for. Its counts are
instructions, not cycles: wait states of the flash and dual issue are not modelled.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.errors import EdgebenchError
from edgebench.firmware.compiling import (
    BOARD,
    FLASH,
    FLASH_BYTES,
    NO_EMULATOR,
    RAM,
    RAM_BYTES,
    Built,
    compiler,
    run_compiler,
)
from edgebench.firmware.cpus import CPUS
from edgebench.firmware.elf import Elf
from edgebench.firmware.values import Array

STACK_BYTES = 1 << 16
_PATTERN = 0xA5
_STOP = FLASH + FLASH_BYTES + 0x1000


@dataclass(frozen=True)
class Emulated:
    """What a run showed: outputs of each image, instructions of one image, stack bytes."""

    outputs: Array
    instructions: int
    by_stage: tuple[int, ...]
    stack_bytes: int
    emulator: str


class _State(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("code", ctypes.c_void_p),
        ("stages", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("current", ctypes.c_uint64),
    )


def emulate(
    built: Built, name: str, functions: Sequence[str], inputs: Sequence[Array], output: Array
) -> Emulated:
    """Run the model on each of ``inputs``, held as it takes them.

    Args:
        built: The ELF.
        name: Of the model, which its symbols begin with.
        functions: The function of each stage, for the counts.
        inputs: The bytes of each input are written to the arena.
        output: An array of the output's type and size.

    Raises:
        EdgebenchError: The emulator is not installed, or the program runs where nothing is.
    """
    try:
        import unicorn
    except ModuleNotFoundError as error:
        raise EdgebenchError(NO_EMULATOR) from error
    elf = built.elf()
    emulator = _machine(unicorn, elf, built)
    counter = _Counter(emulator, elf, functions)
    arena = elf.symbols[f"{name}_arena"]
    places = _places(built, name)
    outputs, stack, per_image = [], 0, []
    for one in inputs:
        emulator.mem_write(arena + places[0], np.ascontiguousarray(one).tobytes())
        counter.reset()
        stack = max(stack, _call(unicorn, emulator, elf, name, [arena + at for at in places]))
        raw = bytes(emulator.mem_read(arena + places[1], output.nbytes))
        outputs.append(np.frombuffer(raw, output.dtype).copy())
        per_image.append(counter.counts.copy())
    first = per_image[0]
    return Emulated(
        np.array(outputs),
        int(first.sum()),
        tuple(int(count) for count in first[1:]),
        stack,
        f"unicorn {version('unicorn')}",
    )


def _places(built: Built, name: str) -> list[int]:
    """Return the offsets of input and output in the arena, from the header beside the ELF."""
    text = built.path.with_suffix(".h").read_text(encoding="utf-8")
    found = []
    for which in ("INPUT", "OUTPUT"):
        line = next(
            one for one in text.splitlines() if one.startswith(f"#define {name.upper()}_{which} (")
        )
        found.append(int(line.rstrip(")").rsplit("+ ", 1)[1]))
    return found


def _machine(unicorn: Any, elf: Elf, built: Built) -> Any:
    """Return an emulator with the program loaded and the FPU on."""
    from unicorn import arm_const

    emulator = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    emulator.ctl_set_cpu_model(getattr(arm_const, built.cpu.emulated))
    emulator.mem_map(FLASH, FLASH_BYTES + (1 << 20))
    emulator.mem_map(RAM, RAM_BYTES)
    for address, _, content in elf.segments:
        emulator.mem_write(address, content)
    if built.cpu.name != "cortex-m0+":
        emulator.reg_write(arm_const.UC_ARM_REG_C1_C0_2, 0xF << 20)
        emulator.reg_write(arm_const.UC_ARM_REG_FPEXC, 0x40000000)
    return emulator


def _call(unicorn: Any, emulator: Any, elf: Elf, name: str, arguments: list[int]) -> int:
    """Call the model once and return the bytes of the stack that it used."""
    from unicorn import arm_const

    top = RAM + RAM_BYTES
    emulator.mem_write(top - STACK_BYTES, bytes([_PATTERN]) * STACK_BYTES)
    emulator.reg_write(arm_const.UC_ARM_REG_SP, top)
    emulator.reg_write(arm_const.UC_ARM_REG_R0, arguments[0])
    emulator.reg_write(arm_const.UC_ARM_REG_R1, arguments[1])
    emulator.reg_write(arm_const.UC_ARM_REG_LR, _STOP | 1)
    try:
        emulator.emu_start(elf.symbols[f"{name}_run"] | 1, _STOP)
    except unicorn.UcError as error:
        place = emulator.reg_read(arm_const.UC_ARM_REG_PC)
        raise EdgebenchError(f"the emulator stopped at {place:#x}: {error}") from error
    stack = np.frombuffer(bytes(emulator.mem_read(top - STACK_BYTES, STACK_BYTES)), np.uint8)
    used = np.flatnonzero(stack != _PATTERN)
    return STACK_BYTES - int(used[0]) if used.size else 0


class _Counter:
    """The hook that counts instructions, in C: in Python it would take a minute an image."""

    def __init__(self, emulator: Any, elf: Elf, functions: Sequence[str]) -> None:
        [text] = [one for one in elf.sections if one.name == ".text"]
        code = elf.content[text.offset : text.offset + text.size]
        self._code = np.frombuffer(code + bytes(len(code) % 2 + 4), np.uint16).copy()
        self._stages = np.zeros(len(self._code), np.uint16)
        for number, name in enumerate(functions):
            if name in elf.symbols:
                self._stages[(elf.symbols[name] - text.address) // 2] = number + 1
        self.counts = np.zeros(len(functions) + 1, np.uint64)
        self._state = _State(
            text.address, text.size, self._code.ctypes.data, self._stages.ctypes.data,
            self.counts.ctypes.data, 0,
        )  # fmt: skip
        self._library = _library()
        self._attach(emulator)

    def _attach(self, emulator: Any) -> None:
        import unicorn
        from unicorn.unicorn_py3.unicorn import uclib

        self._hook = ctypes.c_size_t()
        add = ctypes.CDLL(uclib._name).uc_hook_add  # noqa: SLF001 - its C function takes a C hook
        status = add(
            emulator._uch,  # noqa: SLF001 - the same
            ctypes.byref(self._hook),
            ctypes.c_int(unicorn.UC_HOOK_BLOCK),
            ctypes.cast(self._library.block, ctypes.c_void_p),
            ctypes.cast(ctypes.byref(self._state), ctypes.c_void_p),
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )
        if status:
            raise EdgebenchError(f"the emulator takes no counting hook: error {status}")

    def reset(self) -> None:
        """Count from zero."""
        self.counts[:] = 0
        self._state.current = 0


def _library() -> Any:
    """Compile the hook for this machine and load it."""
    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        target = Path(folder) / "counting.so"
        found = compiler(CPUS["host"])
        options = ["-O2", "-shared", "-fPIC", "-o", str(target), str(BOARD / "counting.c")]
        run_compiler([*found.command, *options], Path(folder))
        return ctypes.CDLL(str(target))
