"""Every family as firmware: compiled for a Cortex-M and this machine, compared with ONNX Runtime.

    python benchmarks/firmware.py            the table of families, float32 and int8, both plans
    python benchmarks/firmware.py --goals    the two reference networks, on Cortex-M4 and M7
    python benchmarks/firmware.py gap vgg    some families

Each row is one program: the largest difference from ONNX Runtime over the images on this machine
(in steps of its output for int8) and in the emulator, RAM as predicted and as the ELF has it, ROM,
instructions a multiply-accumulate. Families have the smallest sizes that `tests` build, weights are
random. With ``--sanitize`` the program of this machine is also compiled by ``cc`` with the address
and undefined-behaviour sanitizers and run. docs/firmware.md has what it printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import family_instances

from edgebench.errors import EdgebenchError
from edgebench.export import quantize, session, to_onnx
from edgebench.firmware import build, measure_program, output_step, run_on_host, write_program
from edgebench.models import MODELS
from edgebench.profiling import constant_data
from edgebench.registry import bind

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-Werror")
HEAD = (
    "| model | dtype | plan | cpu | predicted RAM | RAM | predicted ROM | ROM | .text | .rodata "
    "| weights | stack | instructions | a MAC | difference | sanitizers |"
)


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=[])
    parser.add_argument("--goals", action="store_true")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--plans", nargs="*", default=["layerwise", "streaming"])
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()
    print(HEAD)
    print("|" + "---|" * HEAD.count(" |"))
    torch.set_num_threads(1)
    names = arguments.families or (["gap", "vgg"] if arguments.goals else list(MODELS))
    cpus = ("cortex-m4", "cortex-m7") if arguments.goals else ("cortex-m4",)
    for name in names:
        torch.manual_seed(0)
        if arguments.goals:
            shape = (3, 32, 32)
            model = MODELS[name](shape, 10, **bind(MODELS[name]))
        else:
            model, shape = family_instances.build(name, {})
        images = np.random.default_rng(0).normal(0, 1, (arguments.images, *shape))
        exported = to_onnx(model.eval(), shape)
        for graph in (exported, quantize(exported, images.astype(np.float32))):
            rows(
                name,
                graph,
                images.astype(np.float32),
                (cpus, arguments.plans),
                sanitize=arguments.sanitize,
            )


def rows(name, graph, images, which, *, sanitize) -> None:
    """Print the rows of one graph, for each of the cpus and plans of ``which``."""
    cpus, plans = which
    profile, constants = constant_data(graph)
    running = session(graph, threads=1, as_written=profile.dtype == "int8")
    source = running.get_inputs()[0].name
    expected = np.concatenate([running.run(None, {source: one[None]})[0] for one in images])
    for plan in plans:
        try:
            program = write_program(profile, constants, plan=plan)
            for cpu in cpus:
                found = measure_program(program, images, expected, cpu=cpu, model=name)
                clean = sanitized(program, images[:4]) if sanitize else "-"
                step = output_step(program)
                apart = (
                    f"{found.max_abs_diff / step:.2f} steps"
                    if step
                    else f"{found.max_abs_diff:.1e}"
                )
                print(
                    f"| {name} | {found.dtype} | {plan} | {cpu} | {found.predicted_ram_bytes:,} "
                    f"| {found.ram_bytes:,} | {found.predicted_rom_bytes:,} | {found.rom_bytes:,} "
                    f"| {found.text_bytes:,} | {found.rodata_bytes:,} | {profile.weights_bytes:,} "
                    f"| {found.stack_bytes:,} | {found.instructions:,} "
                    f"| {found.instructions_per_mac:.2f} | {apart} | {clean} |",
                    flush=True,
                )
        except EdgebenchError as error:
            print(f"| {name} | {profile.dtype} | {plan} | {error} |", flush=True)


def sanitized(program, images) -> str:
    """Return ``clean`` where the sanitizers say nothing."""
    with tempfile.TemporaryDirectory() as folder:
        built = build(program, Path(folder), "host", extra=SANITIZERS, wanted="gcc")
        run_on_host(program, built, images)
    return "clean"


if __name__ == "__main__":
    main()
