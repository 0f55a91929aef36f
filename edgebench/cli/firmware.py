"""Generate C from a model, compile it for a processor, run it and measure it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgebench.cli._model import dtype_option, fetch_from, tracking_option
from edgebench.errors import CheckFailed
from edgebench.units import Bytes, Count, shortened

if TYPE_CHECKING:
    from edgebench.firmware import Measurement
    from edgebench.footprint import Target
    from edgebench.metrics import Dtype

FORMATS = ("table", "markdown", "csv", "json")
AUTO = "auto"


@click.command()
@click.argument("model")
@click.option(
    "--cpu",
    default="cortex-m4",
    show_default=True,
    help="cortex-m0+, cortex-m4, cortex-m7, cortex-m33 or host.",
)
@click.option(
    "--plan",
    default=AUTO,
    show_default=True,
    help="layerwise runs one layer after the other; streaming keeps rows of chained layers in "
    "rings, in less memory; auto is layerwise where that fits the --target, else streaming.",
)
@dtype_option
@click.option("--target", metavar="BOARD", help="Link for its memories; exit 1 if it is over.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the C, a check of golden vectors, a build file and a README.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of a family: width=32 or model.width=32.",
)
@click.option("--input", "inputs", metavar="CxHxW", help="Of a family; default 3x32x32.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="To compare with ONNX Runtime on.",
)
@tracking_option
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
def command(
    *,
    model: str,
    cpu: str,
    plan: str,
    dtype: Dtype | None,
    target: str | None,
    output: Path | None,
    settings: tuple[str, ...],
    inputs: str | None,
    images: int,
    tracking_uri: str | None,
    format_: str,
) -> None:
    """Compile MODEL: an ONNX file, a run (id, study:number, study:best), a hand-over, a family.

    The figures of a run are recorded on it as firmware/... and shown by 'report'.

    Exits 1 where an operator has no generator, the outputs are not ONNX Runtime's, or the program
    does not fit the board.
    """
    from edgebench.export import input_shapes
    from edgebench.firmware import (
        CPUS,
        check_writable,
        deliver,
        fitting_plan,
        measure_program,
        named,
        write_program,
    )
    from edgebench.footprint import STYLES, load_target
    from edgebench.yaml12 import assignments

    CPUS[cpu]  # an unknown name is refused before anything is read
    _check_plan(plan, (AUTO, *STYLES))
    board = load_target(target) if target is not None else None
    if output is not None:
        check_writable(output)
    image, _ = input_shapes((inputs,)) if inputs else (None, None)
    found = named(model, fetch_from(tracking_uri), dtype=dtype, options=assignments(settings),
                  image=image, images=images)  # fmt: skip
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if plan == AUTO:
        plan = fitting_plan(found.profile, None if board is None else board.free_ram_bytes)
    program = write_program(found.profile, found.constants, plan=plan)
    measured = measure_program(
        program, found.images, found.expected, spread=found.spread, cpu=cpu, model=model
    )
    _show(measured, format_)
    measured.require_equal()
    if found.run:
        _record(found.run, measured, tracking_uri)
    if board is not None:
        _check_fits(measured, board)
    if output is not None:
        figures = measured.as_dict()
        for path in deliver(output, program, figures, found.images, found.expected):
            click.echo(f"wrote {path}", err=True)


def _record(run: str, measured: Measurement, tracking_uri: str | None) -> None:
    from edgebench.tracking import record_firmware

    figures = record_firmware(run, measured, tracking_uri=tracking_uri)
    if figures:
        click.echo(f"recorded on {run}: {', '.join(figures)}", err=True)


def _check_fits(measured: Measurement, board: Target) -> None:
    """Raise CheckFailed where the program does not fit the board."""
    if measured.rom_bytes is None or measured.ram_bytes is None:
        return
    stacked = measured.ram_bytes + (measured.stack_bytes or 0)
    over = [
        f"{what} {used:,} B is over the {limit:,} B of {board.name}"
        for what, used, limit in (
            ("ROM", measured.rom_bytes, board.flash_bytes),
            ("RAM with the stack", stacked, board.ram_bytes),
        )
        if used > limit
    ]
    if over:
        raise CheckFailed(*over)


def _check_plan(plan: str, styles: tuple[str, ...]) -> None:
    from edgebench.errors import EdgebenchError, unknown

    if plan not in styles:
        raise EdgebenchError(unknown("plan", plan, styles))


def _show(measured: Measurement, format_: str) -> None:
    """Print the layers and the totals, or one object."""
    from edgebench.cli._listing import width
    from edgebench.report import render

    if format_ == "json":
        click.echo(json.dumps(measured.as_dict(), indent=2))
        return
    rows = [
        {
            "name": shortened(one["name"]) if format_ == "table" else one["name"],
            "op": one["op"],
            "instructions": "" if one["instructions"] is None else Count(one["instructions"]),
        }
        for one in measured.layers
    ]
    click.echo(render(rows, format_, width=width()), nl=False)
    click.echo("\n".join(["", *_summary(measured)]), err=format_ == "csv")


def _summary(measured: Measurement) -> list[str]:
    one = measured
    lines = [f"{one.model}: {one.dtype}, {one.plan} plan, {one.cpu}, compiled by {one.compiler}"]
    if one.rom_bytes is not None and one.ram_bytes is not None:
        lines.append(
            f"ROM   {Bytes(one.rom_bytes).text('decimal')} ({one.rom_bytes:,} B): .text "
            f"{one.text_bytes:,} + .rodata {one.rodata_bytes:,}; predicted "
            f"{one.predicted_rom_bytes:,} B"
        )
        lines.append(
            f"RAM   {Bytes(one.ram_bytes).text('decimal')} ({one.ram_bytes:,} B): .data "
            f"{one.data_bytes:,} + .bss {one.bss_bytes:,}; predicted "
            f"{one.predicted_ram_bytes:,} B; stack {one.stack_bytes:,} B more"
        )
        lines.append(
            f"instructions  {one.instructions:,}, {one.instructions_per_mac:.2f} a MAC "
            f"({one.emulator})"
        )
    lines.append(
        f"largest difference from ONNX Runtime {measured.max_abs_diff:.3g}, the same class on "
        f"{measured.agreement:.2%} of {measured.images} images"
    )
    return lines
