"""The processors that firmware is compiled for, as the compilers and the emulator name them."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.registry import Registry


@dataclass(frozen=True)
class Cpu:
    """A processor.

    Attributes:
        name: As the command line takes it.
        zig: The arguments of Zig's clang.
        gcc: Those of ``arm-none-eabi-gcc``.
        emulated: The name of the emulator's model, or "" where it runs here.
    """

    name: str
    zig: tuple[str, ...]
    gcc: tuple[str, ...]
    emulated: str = ""


CPUS: Registry[Cpu] = Registry("cpu")
CPUS.add(
    "cortex-m0+",
    Cpu("cortex-m0+", ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
        ("-mthumb", "-mcpu=cortex-m0plus"), "UC_CPU_ARM_CORTEX_M0"),
)  # fmt: skip
CPUS.add(
    "cortex-m4",
    Cpu(
        "cortex-m4",
        # Without the last two, clang multiplies and adds by two instructions on this one.
        ("-target", "thumb-freestanding-eabihf",
         "-mcpu=cortex_m4+vfp4d16sp-slowfpvfmx-slowfpvmlx"),
        ("-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        "UC_CPU_ARM_CORTEX_M4",
    ),
)  # fmt: skip
CPUS.add(
    "cortex-m7",
    Cpu("cortex-m7", ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp"),
        ("-mthumb", "-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        "UC_CPU_ARM_CORTEX_M7"),
)  # fmt: skip
CPUS.add(
    "cortex-m33",
    Cpu(
        "cortex-m33",  # with its DSP extension, which clang does not take for granted
        ("-target", "thumb-freestanding-eabihf",
         "-mcpu=cortex_m33+dsp+fp_armv8d16sp-slowfpvfmx-slowfpvmlx"),
        ("-mthumb", "-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        "UC_CPU_ARM_CORTEX_M33",
    ),
)  # fmt: skip
CPUS.add("host", Cpu("host", (), ()))
