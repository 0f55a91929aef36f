"""Footprints: the reference's table, conventions in their order, targets and their messages."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_graphs import Sketchpad
from stopwatch import at_most

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.footprint import (
    CONVENTIONS,
    TARGETS,
    Footprint,
    Target,
    arena,
    load_target,
    measure,
    require_known,
    smallest_fitting,
)
from edgebench.footprint.conventions import Complexity
from edgebench.footprint.explain import costliest, living_at_peak, peak_layer, timeline
from edgebench.profiling import Profile, profile


def reference(kind: str, *, softmax: bool = True) -> Profile:
    """Return the reference's network: three blocks, then a hidden layer (vgg) or a mean (gap)."""
    pad = Sketchpad()
    value, channels = "input", 3
    for block in range(3):
        filters = 64 * 2**block
        conv = pad.conv(value, filters, channels, name=f"conv{block}", pads=[1, 1, 1, 1])
        value = pad.add("MaxPool", [pad.add("Relu", [conv])], kernel_shape=[2, 2], strides=[2, 2])
        channels = filters
    if kind == "vgg":
        value = pad.dense(pad.add("Flatten", [value]), 1024, 4096)
        value = pad.dense(pad.add("Relu", [value]), 10, 1024)
    else:
        value = pad.dense(pad.add("Flatten", [pad.add("GlobalAveragePool", [value])]), 10, 256)
    if softmax:
        value = pad.add("Softmax", [value], axis=1)
    return profile(pad.model(value, shape=("N", 3, 32, 32)))


# The reference's Table 1 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "counts", "rom", "ram"),
    [
        ("vgg", (43_722_752, 43_954_784, 4_576_394, 18_305_576), "18.32", 97_280),
        ("gap", (39_520_768, 39_754_848, 373_386, 1_493_544), "1.51", 97_020),
    ],
)
def test_table_1(kind: str, counts: tuple[int, ...], rom: str, ram: int) -> None:
    """MACs, MACC, parameters and weights exact, ROM to the printed digits, RAM within 0.5 %."""
    found = measure(reference(kind))
    assert (found.macs, found.macc, found.parameters, found.weights_bytes) == counts
    assert f"{found.rom_bytes / 1e6:.2f}" == rom
    assert found.ram_bytes == pytest.approx(ram, rel=0.005)
    assert found.activations_bytes == 94_316
    assert measure(reference(kind, softmax=False)).macc == counts[1] - 150


def test_table_1_layer_by_layer() -> None:
    """The fused blocks as the rules of the reports count them."""
    rows = [row.macc for row in measure(reference("vgg")).layers]
    assert rows == [1_900_608, 18_940_032, 18_907_392, 4_195_328, 1_024, 10_250, 150]
    assert sum(row.macs for row in measure(reference("vgg")).layers) == 43_722_752


def test_runtime_memory_of_table_1() -> None:
    """420 + 76 an array + 60 a flattened tensor + the nodes' own, by hand."""
    nodes_vgg, nodes_gap = 3 * 204 + 2 * 96 + 96 + 100, 3 * 204 + 136 + 96 + 100
    assert measure(reference("vgg")).runtime_ram_bytes == 420 + 76 * 24 + 60 + nodes_vgg == 3_304
    assert measure(reference("gap")).runtime_ram_bytes == 420 + 76 * 21 + nodes_gap == 2_960


@pytest.mark.parametrize(
    ("convention", "activations"),
    [
        ("st", 94_316),  # ST's rules, by hand: 12,288 + 65,536 + 108 + 16,384
        ("st-core3", 274_540),  # not fused: 12,288 + 262,144 + 108
        ("tflm", 327_680),  # the head of TensorFlow Lite Micro's arena, as its interpreter says
        ("static-c", 524_288),  # .bss of the C that onnx2c generates
        ("bound", 65_536),  # the pooled output of the first block
    ],
)
def test_every_convention_on_table_1(convention: str, activations: int) -> None:
    """Each planner against what its tool measured, or a sum by hand."""
    for kind in ("vgg", "gap"):
        assert measure(reference(kind), convention).activations_bytes == activations


def test_an_unknown_convention_is_named() -> None:
    """The message has the nearest name."""
    with pytest.raises(EdgebenchError, match="unknown convention 'tfml'; did you mean 'tflm'"):
        measure(reference("gap"), "tfml")


def test_the_json_fields() -> None:
    """The object of the command line, in the order of the contract."""
    found = json.loads(json.dumps(measure(reference("gap"), model="gap.onnx").as_dict()))
    assert list(found) == [
        "model", "dtype", "convention", "macs", "macc", "parameters", "weights_bytes",
        "code_bytes", "rom_bytes", "activations_bytes", "runtime_ram_bytes", "ram_bytes",
        "rom_upper_bytes", "ram_upper_bytes", "latency_ms", "latency_interval_ms",
        "latency_provenance", "provenance", "layers", "target",
    ]  # fmt: skip
    assert (found["model"], found["latency_ms"], found["target"]) == ("gap.onnx", None, None)
    assert found["rom_bytes"] == found["weights_bytes"] + found["code_bytes"]
    assert found["ram_bytes"] == found["activations_bytes"] + found["runtime_ram_bytes"]
    assert list(found["layers"][0]) == [
        "name", "op", "input_shapes", "output_shape", "parameters", "macs", "macc",
        "scratch_bytes",
    ]  # fmt: skip
    assert found["layers"][0]["op"] == "Conv+Relu+MaxPool"
    assert found["layers"][0]["output_shape"] == [1, 64, 16, 16]
    assert found["macc"] == sum(row["macc"] for row in found["layers"])
    assert found["provenance"].startswith("estimated (st")


def test_the_metrics() -> None:
    """The names under which a run records a footprint."""
    found = measure(reference("gap"))
    assert found.metrics("_int8")["footprint/macc_int8"] == found.macc
    assert list(found.metrics()) == [
        f"footprint/{name}"
        for name in (
            "macs", "macc", "parameters", "rom_bytes", "rom_upper_bytes", "ram_bytes",
            "ram_upper_bytes", "activations_bytes",
        )
    ]  # fmt: skip


def test_a_footprint_is_compared_with_its_target() -> None:
    """The object says which board, what it has, and what is left of it."""
    board = TARGETS["stm32f746g-disco"]
    found = measure(reference("vgg"), target=board)
    assert found.target == board.check(found)
    assert found.as_dict()["target"]["name"] == "stm32f746g-disco"
    assert not found.as_dict()["target"]["fits"]


def test_a_model_is_called_as_its_graph_unless_told() -> None:
    """The name of the graph, which an exporter chose."""
    assert measure(reference("gap")).model == reference("gap").name


# The registry of conventions ------------------------------------------------------------------


def test_the_conventions() -> None:
    """Each is registered under its own name and says what it counts and how it errs."""
    assert set(CONVENTIONS) >= {"st", "st-core3", "tflm", "static-c", "bound"}
    for name, convention in CONVENTIONS.items():
        assert convention.name == name
        assert convention.title
        assert convention.counts
        assert convention.errs


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_figure_names_its_convention_and_tool(name: str) -> None:
    """The provenance has both, so that a number that is copied can be traced."""
    found = measure(reference("gap"), name)
    assert found.convention == name
    assert found.provenance.startswith(f"estimated ({name}: {CONVENTIONS[name].title})")


def test_a_convention_is_one_value() -> None:
    """One with a complexity of its own counts by it; nothing else is edited."""
    base = CONVENTIONS["st"]
    halved = Complexity(lambda *where: where[-1].macs // 2, lambda operator: True)  # noqa: ARG005 - all of them
    CONVENTIONS.add("dummy", replace(base, name="dummy", title="a tool 1.0", complexity=halved))
    try:
        found = measure(reference("gap"), "dummy")
    finally:
        CONVENTIONS.remove("dummy")
    assert found.macc == found.macs // 2
    assert found.ram_bytes == measure(reference("gap")).ram_bytes
    assert found.provenance.startswith("estimated (dummy: a tool 1.0); operations assumed for")


# Conventions on any graph ---------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> Profile:
    """Draw a small network of convolutions, pools, residual adds and concats."""
    pad = Sketchpad()
    value, channels, size = pad.conv("input", 4, 3, pads=[1, 1, 1, 1]), 4, 8
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["conv", "relu", "pool", "residual", "concat", "depthwise"]))
        if kind == "conv":
            filters = draw(st.sampled_from([2, 4, 8]))
            value = pad.conv(value, filters, channels, pads=[1, 1, 1, 1])
            channels = filters
        elif kind == "depthwise":
            value = pad.conv(value, channels, channels, pads=[1, 1, 1, 1], group=channels)
        elif kind == "relu":
            value = pad.add("Relu", [value])
        elif kind == "pool" and size > 1:
            value = pad.add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
            size //= 2
        elif kind == "residual":
            inner = pad.conv(pad.add("Relu", [value]), channels, channels, pads=[1, 1, 1, 1])
            value = pad.add("Add", [value, inner])
        else:
            inner = pad.conv(value, 2, channels, kernel=1)
            value = pad.add("Concat", [value, inner], axis=1)
            channels += 2
    pad.dense(pad.add("Flatten", [value]), 5, channels * size * size, name="out")
    return profile(pad.model("out"))


@given(networks())
@settings(deadline=None, max_examples=60)
def test_no_convention_goes_below_the_bound(found: Profile) -> None:
    """The bound is the least for whole tensors; the counts do not depend on the convention."""
    bound = measure(found, "bound")
    assert bound.exact
    for name in CONVENTIONS:
        other = measure(found, name)
        assert CONVENTIONS[name].in_rows or other.activations_bytes >= bound.activations_bytes
        assert (other.macc, other.parameters) == (bound.macc, bound.parameters)


@given(networks())
@settings(deadline=None, max_examples=60)
def test_the_vendor_plan_overlaps_only_as_its_rule_allows(found: Profile) -> None:
    """Two buffers that both live are apart, or an output begins its distance below its input."""
    plan = measure(found).plan
    assert plan is not None
    for one in plan.buffers:
        for other in plan.buffers:
            if one is other or not one.meets(other):
                continue
            gap = plan.offsets[other.name] - plan.offsets[one.name]
            apart = gap >= plan.overlaps.get((one.name, other.name), one.size)
            assert apart or -gap >= plan.overlaps.get((other.name, one.name), other.size)


@st.composite
def chains(draw: st.DrawFn) -> list[arena._Stage]:
    """Draw a chain of steps: sizes, scratch, and the distance at which each may overlap."""
    sizes = draw(st.lists(st.integers(0, 25), min_size=2, max_size=7))
    stages = []
    for index, (taken, out) in enumerate(itertools.pairwise(sizes)):
        stage = arena._Stage({f"t{index}": 4 * taken}, {f"t{index + 1}": 4 * out}, 0)
        stage.scratch = 4 * draw(st.integers(0, 5))
        stage.distance = 4 * draw(st.integers(0, 10))
        stage.consumed = f"t{index}" if draw(st.booleans()) else None
        stages.append(stage)
    return stages


def by_trying(stages: list[arena._Stage]) -> int:
    """Return the least peak over every choice of overlaps."""
    peaks = []
    for chosen in itertools.product((False, True), repeat=len(stages)):
        room, peak = arena._Room(), 0
        for stage, overlaps in reversed(list(zip(stages, chosen, strict=True))):
            apart, together = arena._costs(stage, room)
            grows = overlaps and stage.consumed is not None
            peak = max(peak, together if grows else apart)
            room = room.under(stage.distance) if grows else arena._Room()
        peaks.append(peak)
    return min(peaks)


@given(chains())
@settings(deadline=None)
def test_the_choice_of_overlaps_is_the_best(stages: list[arena._Stage]) -> None:
    """Bisection with a greedy walk finds what trying every combination finds."""
    peak, chosen, _ = arena._choose(stages)
    assert peak == by_trying(stages)
    assert len(chosen) == len(stages)


@functools.cache
def residual(operators: int) -> Profile:
    """Return a residual network of about so many operators."""
    pad = Sketchpad()
    value = pad.conv("input", 8, 3, pads=[1, 1, 1, 1])
    for _ in range(operators // 4):
        inner = pad.add("Relu", [pad.conv(value, 8, 8, pads=[1, 1, 1, 1])])
        value = pad.add("Add", [value, pad.conv(inner, 8, 8, pads=[1, 1, 1, 1])])
    return profile(pad.model(value))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_time_grows_with_the_operators(name: str) -> None:
    """Ten times the operators take no hundred times as long: nothing is quadratic.

    The limit leaves room for a machine that does other things as well.
    """
    found = residual(10_000)
    assert len(found.operators) == 10_001
    with at_most(8):
        measure(found, name)


def test_thousands_of_branches_are_planned_in_time() -> None:
    """2,000 chains that a concatenation joins: most tensors live beside thousands of others."""
    pad = Sketchpad()
    ends = []
    for _ in range(2_000):
        value = pad.conv("input", 8, 3)
        for _ in range(3):
            value = pad.conv(value, 8, 8, kernel=1)
        ends.append(value)
    found = profile(pad.model(pad.add("Concat", ends, axis=1)))
    with at_most(8):
        measured = measure(found)
    assert measured.activations_bytes == 2 * 2_000 * 8 * 6 * 6 * 4


# Explanations -------------------------------------------------------------------------------------


def test_the_peak_explained() -> None:
    """The first block is the peak: its input, its scratch and its pooled output."""
    found = measure(reference("gap"))
    peak = peak_layer(found)
    assert peak is not None
    assert peak.name == "conv0"
    assert sorted(one.size for one in living_at_peak(found)) == [12_288, 16_492, 65_536]
    assert [layer.name for layer, _ in costliest(found)["ROM"]] == ["conv2", "conv1", "dense11"]
    lines = list(timeline(found))
    assert lines[0].endswith("|########################################|  <- peak")
    assert len(lines) == len(found.layers)


def test_a_bound_has_no_peak_to_show() -> None:
    """Without a plan there is neither a peak nor a timeline."""
    found = measure(reference("gap"), "bound")
    assert peak_layer(found) is None
    assert list(timeline(found)) == []


# Unknown operators --------------------------------------------------------------------------------


def test_unknown_operators_fail_the_check() -> None:
    """Exit 1, each operator named, and the way out."""
    pad = Sketchpad()
    conv = pad.conv("input", 4, 3, name="conv")
    pad.data("sizes", [1, 4, 12, 12])
    pad.add("Resize", [conv, "", "", "sizes"], "big", mode="cubic")
    found = measure(profile(pad.model("big")))
    with pytest.raises(CheckFailed) as caught:
        require_known(found)
    assert caught.value.exit_code == 1
    assert caught.value.mistakes == (
        "no rule counts the operator Resize (big)",
        "the figures would be a lower bound; accept that with --allow-unknown",
    )


def test_assumed_factors_are_declared() -> None:
    """No report shows an error function; whoever reads the figure is told."""
    pad = Sketchpad()
    pad.add("Erf", [pad.conv("input", 4, 3)], "out")
    assert "operations assumed for Erf" in measure(profile(pad.model("out"))).provenance


# Targets ------------------------------------------------------------------------------------------


def footprint(rom: int, ram: int, more: int | None = 0) -> Footprint:
    """Return a footprint of these bytes, whose upper figures are ``more`` bytes above them."""
    upper = {
        "code_upper_bytes": more,
        "activations_upper_bytes": None if more is None else ram + more,
        "runtime_ram_upper_bytes": 0,
    }
    return Footprint(
        dtype="float32", convention="st", macs=1, macc=1, parameters=1, weights_bytes=rom,
        code_bytes=0, activations_bytes=ram, runtime_ram_bytes=0, provenance="", layers=(),
        plan=None, **upper,
    )  # fmt: skip


def test_the_boards() -> None:
    """Sixteen, each with flash, RAM and a source; names are what one types."""
    assert len(TARGETS) == 16
    for name, board in TARGETS.items():
        assert name == board.name == name.lower()
        assert board.source
        assert board.ram_bytes <= board.ram_total_bytes
    assert TARGETS["stm32f746g-disco"].flash_bytes == 1_048_576
    assert TARGETS["nucleo-h743zi2"].ram_bytes == 524_288
    assert TARGETS["arduino-nano-33-ble"].ram_bytes == 262_144


def test_flash_is_the_first_limit() -> None:
    """The message has the figure, what is free, why, and by how much it is missed."""
    fit = TARGETS["stm32f746g-disco"].check(footprint(18_322_326, 400_000))
    assert (fit.fits, fit.limit) == (False, "flash")
    assert fit.reason == (
        "ROM 18,322,326 B is over 1,032,192 B of stm32f746g-disco (1,048,576 B less 16,384 B "
        "reserved) by 17,290,134 B"
    )
    assert fit.rom_margin_percent == -1675.09


def test_memory_is_the_second_limit() -> None:
    """Without a reserve the message is shorter."""
    board = Target("tiny", 1000, 500, reserve_flash_bytes=0, reserve_ram_bytes=0)
    fit = board.check(footprint(1000, 501))
    assert (fit.limit, fit.reason) == ("ram", "RAM 501 B is over 500 B of tiny by 1 B")
    assert board.check(footprint(1000, 500)).fits


def test_the_upper_figure_decides() -> None:
    """Fits, may fit, does not: the figure under the limit promises nothing, the upper one does."""
    board = Target("tiny", 1000, 500, reserve_flash_bytes=0, reserve_ram_bytes=0)
    fits, may, not_ = (board.check(footprint(900, ram, 50)) for ram in (450, 451, 501))
    assert [one.verdict.value for one in (fits, may, not_)] == ["fits", "may fit", "does not fit"]
    assert [one.fits for one in (fits, may, not_)] == [True, False, False]
    assert fits.reason == "fits tiny: 50 B of flash and 0 B of RAM are left"
    assert may.reason == (
        "may fit: RAM 451 B is under 500 B of tiny, but may be up to 501 B, 1 B over"
    )
    assert (may.ram_margin_bytes, may.ram_upper_margin_bytes, may.limit) == (49, -1, "ram")
    assert not_.reason == "RAM 501 B is over 500 B of tiny by 1 B"


def test_a_memory_that_is_over_outweighs_one_that_may_be() -> None:
    """Flash that may be over is not the reason where RAM is over for certain."""
    board = Target("tiny", 1000, 500, reserve_flash_bytes=0, reserve_ram_bytes=0)
    fit = board.check(footprint(960, 501, 50))
    assert (fit.verdict.value, fit.limit) == ("does not fit", "ram")


def test_a_bound_promises_nothing() -> None:
    """Without an upper figure a model may fit at best."""
    board = Target("tiny", 1000, 500, reserve_flash_bytes=0, reserve_ram_bytes=0)
    fit = board.check(footprint(900, 400, None))
    assert (fit.verdict.value, fit.ram_upper_margin_bytes) == ("may fit", None)
    assert fit.reason == "may fit: ROM is at least 900 B, under 1,000 B of tiny"


@pytest.mark.parametrize("name", CONVENTIONS)
def test_no_upper_figure_is_below_its_figure(name: str) -> None:
    """Where there is one; what has none promises nothing, on however large a board."""
    found = measure(reference("gap"), name)
    pairs = [(found.rom_bytes, found.rom_upper_bytes), (found.ram_bytes, found.ram_upper_bytes)]
    assert all(upper is None or figure <= upper for figure, upper in pairs)
    promised = all(upper is not None for _, upper in pairs)
    verdict = Target("huge", 10**9, 10**9).check(found).verdict
    assert verdict.value == ("fits" if promised else "may fit")
    assert promised or name in ("bound", "edgebench")


@given(st.integers(0, 10**7), st.integers(0, 10**6))
def test_the_smallest_board_that_fits(rom: int, ram: int) -> None:
    """It fits, and no board with less memory does."""
    found = footprint(rom, ram)
    best = smallest_fitting(found)
    fitting = [board for board in TARGETS.values() if board.check(found).fits]
    if best is None:
        assert not fitting
    else:
        least = min(board.flash_bytes + board.ram_bytes for board in fitting)
        assert best.flash_bytes + best.ram_bytes == least


def test_a_board_of_ones_own(tmp_path: Path) -> None:
    """A YAML file; its name is the file's unless it says another."""
    path = tmp_path / "mine.yaml"
    path.write_text("flash_bytes: 262144\nram_bytes: 65536\nreserve_ram_bytes: 0\n")
    board = load_target(path)
    assert (board.name, board.free_ram_bytes, board.free_flash_bytes) == ("mine", 65536, 245760)


def test_mistakes_in_a_board_are_all_named(tmp_path: Path) -> None:
    """One message each, with the nearest key."""
    path = tmp_path / "mine.yaml"
    path.write_text("flash_byte: 1\nram_bytes: 64k\n")
    with pytest.raises(EdgebenchError) as caught:
        load_target(path)
    assert caught.value.mistakes == (
        f"{path}: unknown key 'flash_byte'; did you mean 'flash_bytes'?",
        f"{path}: flash_bytes is missing",
        f"{path}: ram_bytes must be a whole number of bytes, not '64k'",
    )


def test_an_unknown_board() -> None:
    """The nearest name, and that a file would do."""
    with pytest.raises(EdgebenchError) as caught:
        load_target("stm32f746g-disko")
    assert str(caught.value) == (
        "unknown target 'stm32f746g-disko'; did you mean 'stm32f746g-disco'?; or give a .yaml file"
    )


# Integers -----------------------------------------------------------------------------------------


def test_an_integer_residual_network_by_hand() -> None:
    """A residual block of 16 channels on 32x32: the arena where nothing overlaps beside it.

    The waiting input 16,384, the padded input 34 x 34 x 16, the output 16,384 and the scratch of
    the spatial kernel, 4 x 144 + 14 x 16 + 2 x 144 x 16.
    """
    pad = Sketchpad()

    def conv(source: str, inputs: int) -> str:
        name = f"c{len(pad.nodes)}"
        pad.weight(f"{name}.w", 16, inputs, 3, 3, code=TensorProto.INT8)
        pad.weight(f"{name}.b", 16, code=TensorProto.INT32)
        parts = [pad.quantized(f"{name}.w"), pad.quantized(f"{name}.b", TensorProto.INT32)]
        out = pad.add("Relu", [pad.add("Conv", [source, *parts], name, pads=[1, 1, 1, 1])])
        return pad.quantized(out)

    stem = conv(pad.quantized("input"), 3)
    body = conv(conv(stem, 16), 16)
    pad.quantized(pad.add("Add", [stem, body], "sum"))
    found = measure(profile(pad.model("sum.dq", shape=("N", 3, 32, 32))))
    assert found.activations_bytes == 16_384 + 34 * 34 * 16 + 16_384 + 5_408
