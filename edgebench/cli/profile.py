"""Measure what an ONNX or TFLite file, a run or an untrained family costs on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.cli._model import load, model_options
from edgebench.errors import EdgebenchError
from edgebench.units import UNITS, Bytes, Count, Milliseconds, shortened

if TYPE_CHECKING:
    from edgebench.footprint import Footprint, Target

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
@click.option(
    "--duty",
    type=click.FloatRange(min=0, min_open=True),
    metavar="RATE",
    help="Inferences a second: energy and battery life at the target file's power_mw.",
)
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
    duty: float | None,
    format_: str,
    units: str,
    explain: bool,
    output: Path | None,
    allow_unknown: bool,
    **which: Any,
) -> int:
    """Measure MODEL: an ONNX or TFLite file, a run (id, study:number, study:best) or a family.

    Exits 1 where an operator has no rule (see --allow-unknown), or MODEL may not fit the target.
    """
    from edgebench.footprint import CONVENTIONS, load_target, measure, require_known

    board = load_target(target) if target is not None else None
    if duty is not None:
        _check_power(board)
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
    if duty is not None and board is not None and format_ != "json":
        click.echo(_energy(first, board, duty), err=format_ == "csv")
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
    from edgebench.cli._listing import width
    from edgebench.report import render

    rows = [
        {
            "name": shortened(layer.name) if format_ == "table" else layer.name,
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
    return render(rows, format_, units=units, width=width())


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
    if footprint.latency is not None:
        lines.append(f"latency     {_latency(footprint)}")
    lines.append(f"smallest    {_smallest(footprint) or 'no listed board is sure to fit'}")
    return "\n".join(lines)


def _latency(footprint: Footprint) -> str:
    """Return the estimated time with its interval, or why there is none."""
    from edgebench.footprint import Latency, NoLatency

    found = footprint.latency
    if isinstance(found, NoLatency):
        return f"no estimate: {found.reason}"
    assert isinstance(found, Latency)  # noqa: S101 - the caller has one of both
    low, high = (Milliseconds(one).text("") for one in (found.low_ms, found.high_ms))
    return f"{Milliseconds(found.ms).text('')}, {low} to {high}: {found.provenance}"


def _check_power(board: Target | None) -> None:
    """Raise EdgebenchError where no power is stated for the energy that --duty asks for."""
    if board is None or not board.power_mw:
        where = "--target FILE.yaml" if board is None else f"a .yaml file for '{board.name}'"
        raise EdgebenchError(
            f"--duty needs the power that the board draws: state power_mw in {where}; with "
            "battery_mwh and sleep_mw the life of a battery follows"
        )


def _energy(footprint: Footprint, board: Target, rate: float) -> str:
    """Return the energy of an inference, and the life of the battery where one is stated."""
    from edgebench.footprint import Latency

    latency = footprint.latency
    if not isinstance(latency, Latency):
        return "energy      no estimate without a latency"
    energy = f"{latency.energy_uj(board.power_mw):,.0f} uJ an inference"
    lines = [f"energy      {energy} at {board.power_mw:g} mW"]
    if board.battery_mwh:
        days = latency.battery_days(
            power_mw=board.power_mw,
            sleep_mw=board.sleep_mw,
            inferences_a_second=rate,
            battery_mwh=board.battery_mwh,
        )
        lines.append(
            f"battery     {days:,.1f} days of {board.battery_mwh:g} mWh at {rate:g} inferences a "
            f"second, {board.sleep_mw:g} mW asleep"
        )
    return "\n".join(lines)


def _smallest(footprint: Footprint) -> str | None:
    """Return the name of the smallest listed board that fits, or None."""
    from edgebench.footprint import smallest_fitting

    board = smallest_fitting(footprint)
    return board.name if board else None


def _side_by_side(footprints: list[Footprint], format_: str, units: str) -> str:
    """Return one row a convention, with what it counts and which way it errs."""
    from edgebench.cli._listing import width
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
    text = render(rows, format_, units=units, width=width())
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
        lines.append(f"the arena of {whole} is fullest at {shortened(peak.name)} ({peak.op}):")
        lines += [
            f"  {one.size:>11,} B at {one.offset:>9,}  {shortened(one.name)}  "
            f"({shortened(one.born)} .. {shortened(one.dies)})"
            for one in living_at_peak(footprint)
        ]
        lines += ["", "RAM over the operators:", *timeline(footprint)]
    for figure, layers in costliest(footprint).items():
        unit: type[Count | Bytes] = Count if figure == "MACC" else Bytes
        costs = ", ".join(
            f"{shortened(layer.name)} {unit(cost).text(units)}" for layer, cost in layers
        )
        lines.append(f"most {figure}: {costs}")
    return "\n".join(lines)
