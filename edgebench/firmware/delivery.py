"""The folder that is put into a firmware project: the C, a check, a build file, how to use it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.errors import EdgebenchError
from edgebench.firmware.layer import number
from edgebench.firmware.measuring import as_input, output_step
from edgebench.firmware.values import Array, quantized, scale_of
from edgebench.firmware.writing import Program

VECTORS = 4
"""Golden vectors in ``main.c``: enough to show a wrong compiler flag, few enough for its flash."""

FIGURES = "firmware.json"


def check_writable(folder: Path) -> None:
    """Refuse a place that a folder cannot be written to.

    Raises:
        EdgebenchError: There is no folder to write it in, it may not be written, or ``folder``
            holds something that is no firmware.
    """
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise EdgebenchError(f"there is no folder '{folder.parent}' to write '{folder.name}' in")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FIGURES).is_file():
        raise EdgebenchError(f"'{folder}' exists and holds something else; choose another with -o")
    if folder.exists() and not folder.is_dir():
        raise EdgebenchError(f"'{folder}' exists and is no folder; choose another with -o")
    if not os.access(parent, os.W_OK):
        raise EdgebenchError(f"cannot write '{folder}': '{parent}' may not be written to")


def deliver(
    folder: Path, program: Program, figures: Mapping[str, Any], images: Array, expected: Array
) -> tuple[Path, ...]:
    """Write the folder whole or not at all; a former one of this kind is replaced.

    Args:
        folder: Where.
        program: The C.
        figures: What was measured of it, for ``firmware.json``.
        images: Golden inputs, of which the first few go into ``main.c``.
        expected: What ONNX Runtime makes of them.

    Raises:
        EdgebenchError: See `check_writable`; or the disk refuses the bytes.
    """
    check_writable(folder)
    contents = files(program, figures, images, expected)
    building = folder.absolute().parent / f".{folder.name}.building-{os.getpid()}"
    try:
        building.mkdir()
        for name, text in contents.items():
            (building / name).write_text(text, encoding="utf-8")
        if folder.is_dir():
            shutil.rmtree(folder)
        building.rename(folder)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise EdgebenchError(f"cannot write '{folder}': {error.strerror or error}") from error
    return tuple(folder / name for name in contents)


def files(
    program: Program, figures: Mapping[str, Any], images: Array, expected: Array
) -> dict[str, str]:
    """Return the texts of a folder by name; the arguments are those of `deliver`."""
    return {
        f"{program.name}.c": program.source,
        f"{program.name}.h": program.header,
        "main.c": check_program(program, images[:VECTORS], expected[:VECTORS]),
        "CMakeLists.txt": _CMAKE.replace("model", program.name),
        "README.md": _readme(program, figures),
        FIGURES: json.dumps(figures, indent=2) + "\n",
    }


def check_program(program: Program, images: Array, expected: Array) -> str:
    """Return a C program that runs golden vectors and ends with how many differ."""
    name, upper = program.name, program.name.upper()
    profile = program.plan.network.profile
    target = profile.tensors[profile.outputs[0]]
    held = [as_input(program, one).reshape(-1) for one in images]
    outputs = expected.reshape(len(images), -1)
    if target.quantized:
        outputs = quantized(outputs, scale_of(target, program.constants), target.dtype)
    bound = 1.0 if output_step(program) else 1e-4 * max(1.0, float(np.abs(outputs).max()))
    return f"""\
/* Runs golden vectors through the model and returns how many outputs are not as expected. */
#include "{name}.h"

static const {name}_input_t inputs[{len(held)}][{upper}_INPUT_ELEMENTS] = {{
{_rows(held)}}};

static const {name}_output_t outputs[{len(held)}][{upper}_OUTPUT_ELEMENTS] = {{
{_rows(list(outputs))}}};

int main(void)
{{
    int wrong = 0;
    for (int n = 0; n < {len(held)}; ++n) {{
        static {name}_output_t output[{upper}_OUTPUT_ELEMENTS];
        int apart = 0;
        {name}_run(inputs[n], output);
        for (int i = 0; i < {upper}_OUTPUT_ELEMENTS; ++i) {{
            const float d = (float)output[i] - (float)outputs[n][i];
            apart |= d > {number(bound)} || d < -{number(bound)};
        }}
        wrong += apart;
    }}
    return wrong;
}}
"""


def _rows(arrays: list[Array]) -> str:
    lines = []
    for one in arrays:
        texts = [number(v) if one.dtype.kind == "f" else str(v) for v in one.tolist()]
        lines.append(f"    {{{', '.join(texts)}}},\n")
    return "".join(lines)


_CMAKE = """\
cmake_minimum_required(VERSION 3.13)
project(model C)
set(CMAKE_C_STANDARD 99)
add_library(model STATIC model.c)
target_compile_options(model PRIVATE -O2 -fomit-frame-pointer -ffp-contract=fast)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")  # which else calls memset and memcpy for loops
  target_compile_options(model PRIVATE -fno-tree-loop-distribute-patterns)
endif()
target_compile_options(model PRIVATE -Wall -Wextra -Wconversion)
target_include_directories(model PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
add_executable(check main.c)
target_link_libraries(check model)
enable_testing()
add_test(NAME golden-vectors COMMAND check)
"""


_PLAIN = """
Loops over bytes are assembly where GCC or clang compiles for a processor with the DSP extension
(Cortex-M4, M7, M33); `-DPLAIN_LOOPS` leaves them in C, with the same results, where assembly is in
the way: of an assembler of another syntax, of a sanitizer, of static analysis."""


def _readme(program: Program, figures: Mapping[str, Any]) -> str:
    name, upper = program.name, program.name.upper()
    plain = _PLAIN if "PLAIN_LOOPS" in program.source else ""
    shown = "\n".join(f"| {key} | {value} |" for key, value in figures.items() if key != "layers")
    return f"""\
# {name}: a network as C99

Put `{name}.c` and `{name}.h` into your project; they need no library, no allocation and no header
but `<stdint.h>`. The figures below are of `-O2 -fomit-frame-pointer -ffp-contract=fast` and, on a
Cortex-M4, M7 or M33, of the FPU (`-mfpu=fpv4-sp-d16` or `fpv5-sp-d16`, `-mfloat-abi=hard`), which
your start-up code has to switch on.{plain} Call

```c
#include "{name}.h"

{name}_input_t *input = {upper}_INPUT;     /* fill it, in the order that {name}.h states */
{name}_run(input, {upper}_OUTPUT);
```

The model's memory is `{name}_arena`, {program.arena_bytes} bytes. To place it in a memory of your
choice, define `{upper}_ARENA_ELSEWHERE` and an array of that name, aligned to 4 bytes:

```c
unsigned char {name}_arena[{upper}_ARENA_BYTES] __attribute__((section(".dtcm"), aligned(4)));
```

`main.c` runs golden vectors and returns how many are wrong; on this machine:
`cmake -B build && cmake --build build && ctest --test-dir build`.

| measured | |
|---|---|
{shown}
"""
