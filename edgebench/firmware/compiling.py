"""Compiles the C of a model: for a Cortex-M as a bare ELF, for this machine as a program.

The compiler for Cortex-M is ``arm-none-eabi-gcc`` where it is found, else the clang of the package
``ziglang``; the one for this machine is ``cc``, else the same package.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgebench.errors import EdgebenchError
from edgebench.firmware.cpus import CPUS, Cpu
from edgebench.firmware.elf import Elf
from edgebench.firmware.writing import Program

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion")
"""What the C of a model compiles under without a warning."""

GCC = ("-fno-tree-loop-distribute-patterns",)
"""Without it, GCC calls the C library's memset and memcpy for loops."""

OPTIONS = (
    "-O2", "-fomit-frame-pointer", "-ffp-contract=fast", "-ffunction-sections", "-fdata-sections",
    "-ffreestanding", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables",
)  # fmt: skip
"""How the C is compiled for a Cortex-M."""

FLASH, RAM = 0x08000000, 0x20000000
"""Where the memories of the linked program begin, as on an STM32."""

FLASH_BYTES, RAM_BYTES = 64 << 20, 16 << 20
"""The memories that are assumed where no board was named."""

NO_EMULATOR = "no emulator: install the extra by pip install 'edgebench[firmware]'"
BOARD = Path(__file__).parent / "board"
SECONDS = 1_800
"""How long a compiler may take: tens of megabytes of constants take minutes on a busy machine."""


@dataclass(frozen=True)
class Compiler:
    """A compiler: its name with its version, and its command."""

    name: str
    command: tuple[str, ...]


def compiler(cpu: Cpu, wanted: str = "auto") -> Compiler:
    """Return the compiler for ``cpu``: ``auto``, ``gcc`` or ``zig``.

    Raises:
        EdgebenchError: There is none.
    """
    program = "cc" if cpu.name == "host" else "arm-none-eabi-gcc"
    if wanted in ("auto", "gcc") and shutil.which(program):
        command = [program] if cpu.name == "host" else [program, *cpu.gcc]
        return Compiler(_version([program]), tuple(command))
    if wanted in ("auto", "zig") and importlib.util.find_spec("ziglang") is not None:
        zig = [sys.executable, "-m", "ziglang"]
        from importlib.metadata import version

        return Compiler(f"ziglang {version('ziglang')} (clang)", (*zig, "cc", *cpu.zig))
    raise EdgebenchError(
        f"no compiler for {cpu.name}: install the extra by pip install 'edgebench[firmware]', or "
        f"put {program} into the PATH"
    )


def require_tools(cpu: str) -> None:
    """Raise EdgebenchError where what compiles or emulates for ``cpu`` is not installed."""
    for one in ("host", cpu):
        compiler(CPUS[one])
    if CPUS[cpu].emulated and importlib.util.find_spec("unicorn") is None:
        raise EdgebenchError(NO_EMULATOR)


def _version(command: list[str]) -> str:
    found = subprocess.run(  # noqa: S603 - the compiler that was found
        [*command, "--version"], capture_output=True, text=True, check=False
    )
    return found.stdout.splitlines()[0] if found.stdout else command[0]


@dataclass(frozen=True)
class Built:
    """A compiled model: the file, its compiler, and the folder that holds it."""

    path: Path
    compiler: Compiler
    cpu: Cpu

    def elf(self) -> Elf:
        """Return the content of a bare ELF."""
        return Elf(self.path.read_bytes())


def build(
    program: Program,
    folder: Path,
    cpu: str,
    *,
    flash_bytes: int = FLASH_BYTES,
    ram_bytes: int = RAM_BYTES,
    extra: tuple[str, ...] = (),
    wanted: str = "auto",
) -> Built:
    """Compile and link ``program`` in ``folder``, which exists; return the file.

    Args:
        program: The C of a model.
        folder: Where sources and the result are written.
        cpu: The processor.
        flash_bytes: Of the board; a program that is larger does not link.
        ram_bytes: The same.
        extra: More arguments of the compiler.
        wanted: Which compiler; see `compiler`.

    Raises:
        EdgebenchError: No such cpu, no compiler, or it refuses the program; its first words.
    """
    chosen = CPUS[cpu]
    found = compiler(chosen, wanted)
    (folder / f"{program.name}.c").write_text(program.source, encoding="utf-8")
    (folder / f"{program.name}.h").write_text(program.header, encoding="utf-8")
    if chosen.name == "host":
        sources = [_filled("host.c", program, folder)]
        target = folder / f"{program.name}.exe"
        options = ["-O2"]
    else:
        sources = [_filled("startup.c", program, folder)]
        script = _script(folder, flash_bytes, ram_bytes)
        target = folder / f"{program.name}.elf"
        options = [*OPTIONS, f"-Wl,-T,{script}", "-Wl,--gc-sections"]
        options += (
            ["-fno-sanitize=all"] if "ziglang" in found.name else [*GCC, "-nostdlib", "-lgcc"]
        )
    files = [str(folder / f"{program.name}.c"), *map(str, sources)]
    command = [*found.command, *WARNINGS, *options, *extra, "-o", str(target), *files]
    if "-lgcc" in command:  # after what needs it
        command.remove("-lgcc")
        command.append("-lgcc")
    run_compiler(command, folder)
    return Built(target, found, chosen)


def run_compiler(command: list[str], folder: Path) -> str:
    """Run a compiler in ``folder`` and return what it said.

    Raises:
        EdgebenchError: It failed, or took more than ``SECONDS``.
    """
    environment = dict(os.environ)
    cache = Path(tempfile.gettempdir()) / f"edgebench-zig-{os.getuid()}"
    environment.setdefault("ZIG_GLOBAL_CACHE_DIR", str(cache))
    environment.setdefault("ZIG_LOCAL_CACHE_DIR", environment["ZIG_GLOBAL_CACHE_DIR"])
    try:
        found = subprocess.run(  # noqa: S603 - the compiler that was found
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise EdgebenchError(f"the compiler took more than {SECONDS} s") from error
    if found.returncode:
        signs = ("error", "overflow", "undefined reference")
        words = [line for line in found.stderr.splitlines() if any(s in line for s in signs)]
        first = (words or found.stderr.splitlines() or ["it said nothing"])[0]
        raise EdgebenchError(f"the compiler refused the program: {first.strip()}")
    return found.stderr


def _filled(name: str, program: Program, folder: Path) -> Path:
    """Write a file of ``board`` with the name of the model in it, and return its path."""
    text = (BOARD / name).read_text(encoding="utf-8")
    text = text.replace("MODEL", program.name.upper()).replace("model", program.name)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _script(folder: Path, flash_bytes: int, ram_bytes: int) -> Path:
    """Write the linker script of a board's memories and return its path."""
    text = (BOARD / "memories.ld").read_text(encoding="utf-8")
    text = text.replace("FLASH_BYTES", str(flash_bytes)).replace("RAM_BYTES", str(ram_bytes))
    path = folder / "memories.ld"
    path.write_text(text, encoding="utf-8")
    return path
