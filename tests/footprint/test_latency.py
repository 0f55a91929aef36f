"""Latency: five counts, scales with their measured error, and no estimate where none is honest."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import latency_networks
import numpy as np
import onnx
import pytest
from onnx_graphs import QuantizedPad

from edgebench.footprint import (
    TARGETS,
    Latency,
    NoLatency,
    Target,
    estimate,
    measure,
    work_units,
)
from edgebench.footprint.latency import TOOLS, Counts, core_of, counts, scales
from edgebench.profiling import profile

ROOT = Path(__file__).resolve().parents[2]
ROUNDED = {"depthwise": 4.7, "dense": 0.8, "outputs": 11.0, "moved": 16.0}
"""The shape of the first fit, for which the units of five networks were published with it."""


@pytest.fixture(scope="module")
def fitting() -> ModuleType:
    """Import the benchmark that fits the model."""
    spec = importlib.util.spec_from_file_location("fitting", ROOT / "benchmarks" / "latency.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fitting"] = module
    spec.loader.exec_module(module)
    return module


def golden(fitting: ModuleType) -> tuple[list[object], dict[str, Counts]]:
    """Return the measured rows and the counts of their networks."""
    data = json.loads((ROOT / "tests" / "golden" / "latency.json").read_text(encoding="utf-8"))
    rows = [fitting.Row(**row) for row in data["rows"]]
    return rows, {name: Counts(**row) for name, row in data["networks"].items()}


# Counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "macs", "units"),
    [("DS-CNN", 2_656_768, 4_578_982.4), ("autoencoder", 264_192, 475_545.6)],
)
def test_the_counts_of_defined_networks(network: str, macs: int, units: float) -> None:
    """MLPerf Tiny's networks by their definitions; the units as a second hand counted them."""
    found = counts(profile(latency_networks.DEFINED[network]()))
    assert found.macs == macs
    assert found.units(ROUNDED) == pytest.approx(units)


@pytest.mark.parametrize(
    ("network", "units"),
    [
        ("ResNet-8", 13_972_608.0),
        ("MobileNetV1 0.25 96", 12_850_444.8),
        ("MobileNetV1 0.25 96 live", 8_064_438.3),
        ("MobileNetV2 0.35 128", 45_320_499.2),
    ],
)
def test_the_golden_counts(fitting: ModuleType, network: str, units: float) -> None:
    """Those of networks whose files are not here, against the same second hand."""
    assert golden(fitting)[1][network].units(ROUNDED) == pytest.approx(units)


def test_each_count_by_hand() -> None:
    """A pool counts its input, an addition its result, a clamp nothing."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 4, 3, (3, 3), pads=[1, 1, 1, 1])
    other = pad.conv8(value, 4, 4, (3, 3), group=4, pads=[1, 1, 1, 1])
    value = pad.quantized(pad.add("Add", [value, other]))
    value = pad.quantized(pad.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2]))
    value = pad.dense8(pad.quantized(pad.add("Flatten", [value])), 10, 64)
    assert counts(profile(pad.model(value))) == Counts(
        macs=64 * 4 * 27 + 64 * 4 * 9 + 640,
        depthwise=64 * 4 * 9,
        dense=640,
        outputs=64 * 4,
        moved=64 * 4 + 64 * 4,
    )


# The fit ------------------------------------------------------------------------------------------


def test_the_error_on_networks_left_out(fitting: ModuleType) -> None:
    """Median at most 9 %, 90th percentile at most 20 %; a constant a MAC errs thrice as far."""
    rows, figures = golden(fitting)
    errors = [e for row, e in fitting.left_out(rows, figures) if row.network != fitting.DENSE]
    median, high, worst = fitting.summary(errors)
    assert len(errors) > 140
    assert median <= 0.09
    assert high <= 0.20
    assert worst <= 0.30
    cnns = [row for row in rows if row.network != fitting.DENSE]  # type: ignore[attr-defined]  # a Row
    assert fitting.summary(fitting.left_out_by_macs(cnns, figures))[1] > 2 * high


def test_what_ships_is_what_was_fitted(fitting: ModuleType) -> None:
    """``latency.json`` is the benchmark's own output for the golden rows."""
    rows, figures = golden(fitting)
    shape, cells = fitting.fit(rows, figures)
    shipped = json.loads(
        (ROOT / "edgebench" / "footprint" / "latency.json").read_text(encoding="utf-8")
    )
    assert list(shipped["shape"].values()) == pytest.approx(shape[1:], abs=0.006)
    for scale in scales():
        cell = (scale.core, scale.tool, scale.version)
        assert scale.cycles == pytest.approx(cells[cell], abs=6e-4)
        assert scale.networks >= 2
        assert 0.15 < scale.error < 0.35


def test_every_measured_row_of_a_tool_lies_in_its_interval_or_is_counted(
    fitting: ModuleType,
) -> None:
    """The stated interval holds for 9 of 10 rows that a board and convention can ask for."""
    rows, figures = golden(fitting)
    known = {(one.core, one.tool, one.version): one for one in scales()}
    asked = {tool for tools in TOOLS.values() for tool in tools}
    inside = []
    for row, error in fitting.left_out(rows, figures):
        scale = known.get(row.cell)
        if scale is not None and row.cell[1:] in asked and row.network != fitting.DENSE:
            inside.append(abs(error) <= scale.error)
    assert len(inside) > 50
    assert np.mean(inside) >= 0.9


# Estimates ----------------------------------------------------------------------------------------


def network(width: int = 16, size: int = 32, op: str = "Relu") -> onnx.ModelProto:
    """Return an int8 CNN of two convolutions and a dense layer."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), width, 3, (3, 3), pads=[1, 1, 1, 1])
    value = pad.conv8(value, width, width, (3, 3), pads=[1, 1, 1, 1])
    if op != "Relu":
        value = pad.quantized(pad.add(op, [value]))
    value = pad.quantized(pad.add("GlobalAveragePool", [value]))
    value = pad.dense8(pad.quantized(pad.add("Flatten", [value])), 10, width)
    return pad.model(value, shape=("N", 3, size, size))


M7 = TARGETS["stm32h747i-disco"]


def test_an_estimate_names_what_it_rests_on() -> None:
    """Milliseconds by the formula, an interval, tool, core, clock and the networks behind it."""
    found = profile(network())
    latency = estimate(found, M7, "st")
    assert isinstance(latency, Latency)
    [scale] = [one for one in scales() if (one.core, one.version) == ("Cortex-M7", "10.0")]
    assert latency.ms == pytest.approx(scale.cycles * work_units(found) / 480_000)
    assert latency.low_ms == pytest.approx(latency.ms / (1 + scale.error))
    assert latency.high_ms == pytest.approx(latency.ms / (1 - scale.error))
    assert latency.provenance.startswith(
        f"estimated (Cube.AI 10.0 on a Cortex-M7 at 480 MHz; {scale.networks} networks measured, "
        "9 of 10 within "
    )


def test_a_footprint_carries_it_where_a_target_is_named() -> None:
    """As the attribute and keys of its JSON object; without a target there is none."""
    found = profile(network())
    footprint = measure(found, target=M7)
    latency = estimate(found, M7, "st")
    assert isinstance(latency, Latency)
    assert footprint.latency == latency
    assert footprint.latency_ms == latency.ms
    row = footprint.as_dict()
    assert row["latency_ms"] == latency.ms
    assert row["latency_interval_ms"] == (latency.low_ms, latency.high_ms)
    assert row["latency_provenance"] == latency.provenance
    assert measure(found).latency_ms is None
    refused = measure(found, "tflm", target=M7).as_dict()
    assert (refused["latency_ms"], refused["latency_interval_ms"]) == (None, None)
    assert refused["latency_provenance"].startswith("no estimate: the convention 'tflm'")


def test_time_goes_with_the_clock() -> None:
    """Half the clock, twice the time."""
    found = profile(network())
    slow = dataclasses.replace(M7, clock_mhz=240)
    fast_ms, slow_ms = (estimate(found, board, "st") for board in (M7, slow))
    assert isinstance(fast_ms, Latency)
    assert isinstance(slow_ms, Latency)
    assert slow_ms.ms == pytest.approx(2 * fast_ms.ms)


@pytest.mark.parametrize(
    ("model", "board", "convention", "reason"),
    [
        (network(), M7, "tflm", "the convention 'tflm' describes no tool whose speed"),
        (network(), M7, "bound", "the convention 'bound' describes no tool whose speed"),
        (latency_networks.ds_cnn(), M7, "st", "too few float networks were measured"),
        (network(2, 8), M7, "st", "networks under 250,000 multiply-accumulates"),
        (
            network(),
            dataclasses.replace(M7, core="Cortex-M0+"),
            "st",
            "no network has been measured on Cortex-M0+ with a tool that 'st' describes",
        ),
        (
            network(),
            dataclasses.replace(M7, core="Cortex-M4F"),
            "st-core3",
            "no network has been measured on Cortex-M4F",
        ),
        (network(), dataclasses.replace(M7, clock_mhz=0), "st", "the clock of stm32h747i-disco"),
    ],
    ids=["tflm", "bound", "float", "small", "M0+", "no row", "clock"],
)
def test_no_estimate_where_none_is_honest(
    model: onnx.ModelProto, board: Target, convention: str, reason: str
) -> None:
    """Each refusal says what is missing."""
    found = estimate(profile(model), board, convention)
    assert isinstance(found, NoLatency)
    assert found.reason.startswith(reason)


def test_a_dense_network_has_no_estimate() -> None:
    """More than half of the multiply-accumulates in dense layers."""
    pad = QuantizedPad()
    value = pad.quantized(pad.add("Flatten", [pad.quantized("input")]))
    value = pad.dense8(value, 200, 3 * 64 * 64)
    found = estimate(profile(pad.model(value, shape=("N", 3, 64, 64))), M7, "st")
    assert isinstance(found, NoLatency)
    assert "multiply-accumulates are dense" in found.reason


def test_gates_widen_the_interval() -> None:
    """The one measured network with them was read 20 % low, and the line says so."""
    latency = estimate(profile(network(op="Sigmoid")), M7, "st")
    assert isinstance(latency, Latency)
    assert latency.high_ms == pytest.approx(latency.ms / 0.7)
    assert "networks with gates read 20 % low" in latency.provenance


def test_the_core_of_a_board() -> None:
    """The first that it names, its FPU left out."""
    assert core_of(M7) == "Cortex-M7"
    assert core_of(TARGETS["nucleo-f401re"]) == "Cortex-M4"
    assert core_of(TARGETS["raspberry-pi-pico"]) == "Cortex-M0+"
    assert core_of(TARGETS["raspberry-pi-pico-2"]) == "Cortex-M33"
    assert core_of(TARGETS["esp32-s3-devkitc-1"]) == "2x Xtensa LX7"


def test_energy_and_battery_are_arithmetic() -> None:
    """At a power that the user states: 20 ms at 40 mW are 800 uJ; a duty of 1/50 for a year."""
    latency = Latency(20.0, 17.0, 24.0, "")
    assert latency.energy_uj(40.0) == pytest.approx(800.0)
    days = latency.battery_days(
        power_mw=40.0, sleep_mw=0.1, inferences_a_second=1.0, battery_mwh=3000.0
    )
    assert days == pytest.approx(3000 / (0.02 * 40 + 0.98 * 0.1) / 24)
