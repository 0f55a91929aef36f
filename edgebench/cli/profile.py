"""Measure what an ONNX file, a run or an untrained family costs on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.cli._model import load, model_options
from edgebench.units import UNITS, Bytes, Count

if TYPE_CHECKING:
    from edgebench.footprint import Footprint

FORMATS = ("table", "markdown", "csv", "json")


@click.command()
@click.argument("model")
@model_options
@click.option(
    "--convention",
    default="st",
    show_default=True,
    metavar="NAME",
    help="How to count, as in st, st-core3, tflm or bound; all shows every way side by side.",
)
@click.option("--target", metavar="BOARD", help="A listed board or a .yaml file; exit 1 if over.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table")
@click.option("--units", type=click.Choice(UNITS), default="decimal", show_default=True)
@click.option("--explain", is_flag=True, help="Show the peak, the timeline and what costs most.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="PNG", help="Draw the memory plan."
)
@click.option(
    "--allow-unknown",
    is_flag=True,
    help="Accept operators without a rule: the figures are then a lower bound.",
)
def command(
    *,
    model: str,
    convention: str,
    target: str | None,
    format_: str,
    units: str,
    explain: bool,
    output: Path | None,
    allow_unknown: bool,
    **which: Any,
) -> int:
    """Measure MODEL: an ONNX file, a run (id, study:number, study:best) or a family.

    Exits 1 where an operator has no rule (see --allow-unknown), or MODEL may not fit the target.
    """
    from edgebench.footprint import CONVENTIONS, load_target, measure, require_known

    board = load_target(target) if target is not None else None
    names = sorted(CONVENTIONS, key=lambda name: name != "st")
    names = names if convention == "all" else [convention]
    for name in names:
        CONVENTIONS[name]  # an unknown name is refused before anything is read
    found = load(model, **which)
    footprints = [measure(found, name, model=model, target=board) for name in names]
    first = footprints[0]
    if not allow_unknown:
        require_known(first)
    if format_ == "json":
        objects = [_object(one) for one in footprints]
        click.echo(json.dumps(objects if convention == "all" else objects[0], indent=2))
    elif convention == "all":
        click.echo(_side_by_side(footprints, format_, units), nl=False)
    else:
        click.echo(_rows(first, format_, units), nl=False)
        click.echo(_summary(model, first, units), err=format_ == "csv")
    if explain and format_ != "json":
        click.echo(_explained(first, units), err=format_ == "csv")
    if output is not None:
        from edgebench.footprint import draw

        draw(first, output)
        click.echo(f"wrote {output}", err=True)
    return 1 if first.target is not None and not first.target.fits else 0


def _object(footprint: Footprint) -> dict[str, Any]:
    """Return the object of ``--format json``."""
    found = footprint.as_dict()
    if footprint.target is not None:
        found["target"]["smallest_fitting"] = _smallest(footprint)
    return found


def _rows(footprint: Footprint, format_: str, units: str) -> str:
    """Return the kernels as rows."""
    from edgebench.report import render

    rows = [
        {
            "name": layer.name,
            "op": layer.op,
            "inputs": " ".join("x".join(map(str, shape)) for shape in layer.input_shapes),
            "output": "x".join(map(str, layer.output_shape)),
            "parameters": Count(layer.parameters),
            "MACs": Count(layer.macs),
            "MACC": Count(layer.macc),
            "scratch": Bytes(layer.scratch_bytes),
            "live": Bytes(layer.live_bytes),
        }
        for layer in footprint.layers
    ]
    return render(rows, format_, units=units)


def _summary(model: str, footprint: Footprint, units: str) -> str:
    """Return the totals, the exact bytes beside the rounded ones."""

    def size(value: int) -> str:
        return f"{Bytes(value).text(units)} ({value:,} B)"

    weights, code = size(footprint.weights_bytes), size(footprint.code_bytes)
    activations, runtime = size(footprint.activations_bytes), size(footprint.runtime_ram_bytes)
    lines = [
        "",
        f"{model}: {footprint.dtype}, {footprint.provenance}",
        f"MACs        {Count(footprint.macs).text(units)} ({footprint.macs:,})",
        f"MACC        {Count(footprint.macc).text(units)} ({footprint.macc:,})",
        f"parameters  {Count(footprint.parameters).text(units)} ({footprint.parameters:,})",
        f"ROM         {size(footprint.rom_bytes)}: weights {weights} + code {code}",
        f"RAM         {size(footprint.ram_bytes)}: activations {activations} + runtime {runtime}",
    ]
    rom, ram = footprint.rom_upper_bytes, footprint.ram_upper_bytes
    if rom is not None and ram is not None:
        lines.append(f"upper       ROM {size(rom)}, RAM {size(ram)}: these decide what fits")
    if footprint.target is not None:
        lines.append(f"target      {footprint.target.reason}")
    lines.append(f"smallest    {_smallest(footprint) or 'no listed board is sure to fit'}")
    return "\n".join(lines)


def _smallest(footprint: Footprint) -> str | None:
    """Return the name of the smallest listed board that fits, or None."""
    from edgebench.footprint import smallest_fitting

    board = smallest_fitting(footprint)
    return board.name if board else None


def _side_by_side(footprints: list[Footprint], format_: str, units: str) -> str:
    """Return one row a convention, with what it counts and which way it errs."""
    from edgebench.footprint import CONVENTIONS
    from edgebench.report import render

    rows = []
    for footprint in footprints:
        rule = CONVENTIONS[footprint.convention]
        row: dict[str, object] = {
            "convention": rule.name,
            "ROM": Bytes(footprint.rom_bytes),
            "activations": Bytes(footprint.activations_bytes),
            "RAM": Bytes(footprint.ram_bytes),
            "MACC": Count(footprint.macc),
        }
        if footprint.target is not None:
            row["verdict"] = footprint.target.verdict.value
        if format_ in ("csv", "markdown"):
            row |= {"counts": rule.counts, "errs": rule.errs}
        rows.append(row)
    text = render(rows, format_, units=units)
    if format_ == "table":
        notes = [CONVENTIONS[one.convention] for one in footprints]
        text += "".join(f"\n{n.name}: {n.title}\n  {n.counts}\n  {n.errs}\n" for n in notes)
    return text


def _explained(footprint: Footprint, units: str) -> str:
    """Return the peak, what lives there, the timeline, and what costs most."""
    from edgebench.footprint import costliest, living_at_peak, peak_layer, timeline

    lines = [""]
    peak = peak_layer(footprint)
    if peak is not None:
        whole = Bytes(footprint.activations_bytes).text(units)
        lines.append(f"the arena of {whole} is fullest at {peak.name} ({peak.op}):")
        lines += [
            f"  {one.size:>11,} B at {one.offset:>9,}  {one.name}  ({one.born} .. {one.dies})"
            for one in living_at_peak(footprint)
        ]
        lines += ["", "RAM over the operators:", *timeline(footprint)]
    for figure, layers in costliest(footprint).items():
        unit: type[Count | Bytes] = Count if figure == "MACC" else Bytes
        costs = ", ".join(f"{layer.name} {unit(cost).text(units)}" for layer, cost in layers)
        lines.append(f"most {figure}: {costs}")
    return "\n".join(lines)
