"""Every family as firmware: compiled for a Cortex-M and this machine, compared with ONNX Runtime.

    python benchmarks/firmware.py              the table of families, float32 and int8, both plans
    python benchmarks/firmware.py --goals      the two reference networks, on Cortex-M4 and M7
    python benchmarks/firmware.py --networks   MobileNetV2 0.35 at 96x96 and ResNet-8, int8
    python benchmarks/firmware.py gap vgg      some families

Each row is one program: the largest difference from ONNX Runtime over the images on this machine
(in steps of its output for int8) and in the emulator, RAM as predicted, as the ELF has it and as
the convention ``bound`` has it, ROM, instructions a multiply-accumulate. Families have the smallest
sizes that `tests` build; weights are random, and so are the statistics and shifts of norms. With
``--sanitize`` the program of this machine is also compiled by ``cc`` with the address and
undefined-behaviour sanitizers and run. docs/firmware.md has what it printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import family_instances

from edgebench.errors import EdgebenchError
from edgebench.export import quantize, to_onnx
from edgebench.firmware import (
    build,
    measure_program,
    of_model,
    output_step,
    run_on_host,
    write_program,
)
from edgebench.footprint import measure
from edgebench.models import MODELS, mobilenet_v2
from edgebench.registry import bind

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-Werror")
HEAD = (
    "| model | dtype | plan | cpu | bound | predicted RAM | RAM | predicted ROM | ROM | .text "
    "| .rodata | weights | stack | instructions | a MAC | difference | sanitizers |"
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with its input, in which types, and for which processors."""

    name: str
    model: nn.Module
    shape: tuple[int, int, int]
    dtypes: tuple[str, ...] = ("float32", "int8")
    cpus: tuple[str, ...] = ("cortex-m4",)


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=[])
    parser.add_argument("--goals", action="store_true")
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--plans", nargs="*", default=["layerwise", "streaming"])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "int8"])
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()
    print(HEAD)
    print("|" + "---|" * HEAD.count(" |"))
    torch.set_num_threads(1)
    if arguments.goals:
        found = goals(arguments.families or ["gap", "vgg"])
    elif arguments.networks:
        found = networks()
    else:
        found = families(arguments.families or list(MODELS))
    for case in found:
        rows(case, arguments)


def families(names: list[str]) -> Iterator[Case]:
    """Yield families at their smallest sizes."""
    for name in names:
        torch.manual_seed(0)
        yield Case(name, *family_instances.build(name, {}))


def goals(names: list[str]) -> Iterator[Case]:
    """Yield the reference networks."""
    for name in names:
        torch.manual_seed(0)
        model = MODELS[name]((3, 32, 32), 10, **bind(MODELS[name]))
        yield Case(name, model, (3, 32, 32), cpus=("cortex-m4", "cortex-m7"))


def networks() -> Iterator[Case]:
    """Yield MobileNetV2 0.35 with the strides of its paper, and MLPerf Tiny's ResNet-8."""
    torch.manual_seed(0)
    stages = tuple(
        (expands, filters, blocks, 2 if filters == 24 else stride)
        for expands, filters, blocks, stride in mobilenet_v2.STAGES
    )
    options = bind(MODELS["mobilenet_v2"], {"width_multiplier": 0.35})
    with mock.patch.object(mobilenet_v2, "STAGES", stages):
        small = MODELS["mobilenet_v2"]((3, 96, 96), 10, **options)
    first = next(one for one in small.modules() if isinstance(one, nn.Conv2d))
    first.stride = (2, 2)
    yield Case("MobileNetV2 0.35 96x96", small, (3, 96, 96), ("int8",))
    torch.manual_seed(0)
    residual = MODELS["resnet"]((3, 32, 32), 10, **bind(MODELS["resnet"], {"depth": 8}))
    yield Case("ResNet-8", residual, (3, 32, 32), ("int8",))


def as_trained(model: nn.Module) -> nn.Module:
    """Give norms what training gives them: zeros alike would be one array to a compiler."""
    for one in model.modules():
        for name in ("weight", "bias", "running_mean", "running_var"):
            held = getattr(one, name, None)
            if "Norm" in type(one).__name__ and isinstance(held, torch.Tensor):
                drawn = 0.1 * torch.randn_like(held)
                held.data = drawn + (1 if name in ("weight", "running_var") else 0)
    return model.eval()


def rows(case: Case, arguments: argparse.Namespace) -> None:
    """Print the rows of a case, for each of its types and the plans asked for."""
    drawn = np.random.default_rng(0).normal(0, 1, (arguments.images, *case.shape))
    images = drawn.astype(np.float32)
    graph = to_onnx(as_trained(case.model), case.shape)
    for dtype in (one for one in case.dtypes if one in arguments.dtypes):
        found = of_model(quantize(graph, images) if dtype == "int8" else graph, images, case.name)
        bound = measure(found.profile, "bound").ram_bytes
        for plan in arguments.plans:
            try:
                program = write_program(found.profile, found.constants, plan=plan)
                clean = sanitized(program, images[:4]) if arguments.sanitize else "-"
                for cpu in case.cpus:
                    row(program, found, (cpu, bound, clean))
            except EdgebenchError as error:
                print(f"| {case.name} | {dtype} | {plan} | {error} |", flush=True)


def row(program, named, context) -> None:
    """Print one row; ``context`` is the processor, the bound and what the sanitizers said."""
    cpu, bound, clean = context
    found = measure_program(
        program, named.images, named.expected, spread=named.spread, cpu=cpu, model=named.name
    )
    step = output_step(program)
    apart = f"{found.max_abs_diff / step:.2f} steps" if step else f"{found.max_abs_diff:.1e}"
    if found.max_abs_diff > found.bound:
        apart += " (over)"
    elif step and named.spread > step / 2:
        apart += f" (ONNX Runtime from itself {named.spread / step:.0f})"
    print(
        f"| {named.name} | {found.dtype} | {found.plan} | {cpu} | {bound:,} "
        f"| {found.predicted_ram_bytes:,} "
        f"| {found.ram_bytes:,} | {found.predicted_rom_bytes:,} | {found.rom_bytes:,} "
        f"| {found.text_bytes:,} | {found.rodata_bytes:,} | {named.profile.weights_bytes:,} "
        f"| {found.stack_bytes:,} | {found.instructions:,} "
        f"| {found.instructions_per_mac:.2f} | {apart} | {clean} |",
        flush=True,
    )


def sanitized(program, images) -> str:
    """Return ``clean`` where the sanitizers say nothing."""
    with tempfile.TemporaryDirectory() as folder:
        built = build(program, Path(folder), "host", extra=SANITIZERS, wanted="gcc")
        run_on_host(program, built, images)
    return "clean"


if __name__ == "__main__":
    main()
