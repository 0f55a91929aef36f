"""The plan of the firmware: layouts, rings of rows, chains, and the arena that holds them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_graphs import Sketchpad

from edgebench.errors import EdgebenchError
from edgebench.export import untrained_graph, untrained_int8_graph
from edgebench.footprint import (
    Layout,
    Target,
    firmware_plan,
    firmware_rom,
    measure,
)
from edgebench.footprint.rows.rings import rings
from edgebench.footprint.rows.rom import constants
from edgebench.footprint.rows.stages import network
from edgebench.models import MODELS
from edgebench.profiling import Profile, profile
from edgebench.registry import bind

SHAPES = st.lists(st.integers(1, 3), min_size=1, max_size=4)


def family(name: str, int8: bool = False, **options: object) -> Profile:
    """Return the operators of a family on 3x32x32."""
    network = MODELS[name]((3, 32, 32), 10, **bind(MODELS[name], options))
    graph = untrained_graph(network, (3, 32, 32))
    return profile(untrained_int8_graph(graph) if int8 else graph)


@given(SHAPES.flatmap(lambda s: st.tuples(st.just(tuple(s)), st.permutations(range(len(s))))))
def test_a_layout_is_a_transposition(drawn: tuple[tuple[int, ...], list[int]]) -> None:
    """Positions and strides are those of numpy's own transposition."""
    layout = Layout(drawn[0], tuple(drawn[1]))
    elements = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    memory = elements.transpose(layout.order).reshape(-1)
    assert layout.positions().tolist() == memory.tolist()
    for place in itertools.product(*(range(size) for size in layout.shape)):
        offset = sum(a * b for a, b in zip(place, layout.strides, strict=True))
        assert memory[offset] == elements[place]


@given(SHAPES.flatmap(lambda s: st.tuples(st.just(tuple(s)), st.permutations(range(len(s))))),
       SHAPES.flatmap(lambda s: st.permutations(range(len(s)))))  # fmt: skip
def test_layouts_are_the_same_where_the_elements_are(
    drawn: tuple[tuple[int, ...], list[int]], other: list[int]
) -> None:
    """`same` and `reshaped` agree with the order of the elements in memory."""
    layout = Layout(drawn[0], tuple(drawn[1]))
    if len(other) == len(layout.shape):
        second = Layout(layout.shape, tuple(other))
        alike = layout.positions().tolist() == second.positions().tolist()
        assert layout.same(second) is alike
    for shape in ((1, *layout.shape), (*layout.shape, 1), (int(np.prod(layout.shape)),)):
        found = layout.reshaped(shape)
        assert found.positions().tolist() == layout.positions().tolist()


def chain(*layers: dict[str, object], residual: bool = False) -> Profile:
    """Return convolutions of 4 channels with these windows, the last one added to the first."""
    pad = Sketchpad()
    value = first = pad.conv("input", 4, 3, kernel=1)
    for layer in layers:
        more = dict(layer)
        value = pad.conv(value, 4, 4, kernel=int(more.pop("kernel", 3)), **more)
    if residual:
        value = pad.add("Add", [first, value])
    return profile(pad.model(pad.add("GlobalAveragePool", [value]), shape=("N", 3, 16, 16)))


SAME = {"pads": [1, 1, 1, 1]}


@pytest.mark.parametrize(
    ("layers", "residual", "expected"),
    [
        ((SAME,), False, [3, 1]),  # a 3x3 window reads three rows, the mean one
        (({"kernel": 5, "pads": [2, 2, 2, 2]},), False, [5, 1]),
        (({**SAME, "strides": [2, 2]},), False, [3, 1]),
        (({**SAME, "dilations": [2, 2], "pads": [2, 2, 2, 2]},), False, [5, 1]),
        # Row r of the sum needs row r + 3 of the skip, behind three windows: rows r to r + 3.
        ((SAME, SAME, SAME), True, [4, 3, 3, 1, 1]),
    ],
)
def test_rings_hold_what_is_still_read(
    layers: tuple[dict[str, object], ...], residual: bool, expected: list[int]
) -> None:
    """As many rows as the window spans; a residual as many as the branch beside it lags."""
    found = network(chain(*layers, residual=residual))
    assert list(rings(found, 0, len(found.stages)).values()) == expected


@pytest.mark.parametrize(
    ("name", "int8", "style", "elements"),
    [
        # Input, 3 rows of 16x64, 3 rows of 8x128, one row of 4x256, the sums of 256 channels.
        ("gap", False, "streaming", 4 * (3072 + 3 * 1024 + 3 * 1024 + 1024 + 256)),
        ("gap", True, "streaming", 3072 + 3 * 1024 + 3 * 1024 + 1024 + 4 * 256),
        ("vgg", False, "streaming", 4 * (3072 + 3 * 1024 + 3 * 1024 + 4096)),
        ("vgg", True, "streaming", 3072 + 3 * 1024 + 3 * 1024 + 4096),
        ("gap", False, "layerwise", 4 * (16384 + 8192)),  # the first two results, pools inside
        ("vgg", True, "layerwise", 16384 + 8192),
    ],
)
def test_the_reference_networks(name: str, int8: bool, style: str, elements: int) -> None:
    """By hand, from the sizes of their tensors."""
    assert firmware_plan(family(name, int8), style).arena.peak == elements


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_no_two_living_tensors_share_memory(name: str, int8: bool) -> None:
    """Except one that is computed where its input lay; streaming never needs more."""
    found = family(name, int8)
    peaks = {}
    for style in ("layerwise", "streaming"):
        plan = firmware_plan(found, style)
        peaks[style] = plan.arena.peak
        stages = {stage.target: stage for stage in plan.network.stages}
        for one, other in itertools.combinations(plan.arena.buffers, 2):
            start, second = plan.arena.offsets[one.name], plan.arena.offsets[other.name]
            apart = start + one.size <= second or second + other.size <= start
            if apart or not one.meets(other):
                continue
            early, late = sorted((one, other), key=lambda b: b.first)
            assert stages[late.name].in_place
            assert (early.name, early.last) == (stages[late.name].sources[0], late.first)
            assert start == second
    assert peaks["streaming"] <= peaks["layerwise"]


def test_the_convention_is_the_plan() -> None:
    """`profile --convention edgebench` has the arena of the streaming plan, and its layers."""
    found = family("resnet", int8=True)
    plan = firmware_plan(found, "streaming")
    footprint = measure(found, "edgebench")
    assert footprint.ram_bytes == plan.arena.peak
    assert len(footprint.layers) == len(plan.network.stages)
    assert footprint.macs == found.macs
    assert footprint.weights_bytes == found.weights_bytes


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_constants_are_counted_as_they_are_packed(int8: bool) -> None:
    """By hand: GAP of two blocks, whose layers fill no block of channels but the last's do.

    Convolutions 3 -> 5 and 5 -> 10, a dense layer 10 -> 10.
    """
    found = family("gap", int8, width=5, blocks=2)
    if int8:
        # Channels in pairs, inputs in eights, results of the dense layer in fours; eight bytes of
        # bias and factor for each; what the kernels are called with; zero points beside images.
        weights = 6 * 32 + 10 * 48 + 12 * 10
        expected = weights + 8 * (6 + 10 + 12) + 112 + 112 + 36 + (4 + 8)
    else:
        weights = 8 * 27 + 12 * 45 + 10 * 10
        expected = 4 * (weights + 8 + 12 + 10) + 96 + 96 + 4 * 5
    plan = firmware_plan(found, "streaming")
    assert constants(plan) == expected
    assert firmware_rom(plan) > expected


def test_it_fits_where_the_upper_figures_do() -> None:
    """RAM is exact; ROM may fit up to its upper figure."""
    found = family("gap", int8=True)
    footprint = measure(found, "edgebench")
    assert footprint.ram_upper_bytes == footprint.ram_bytes
    assert footprint.rom_upper_bytes is not None
    verdicts = []
    for flash, ram in (
        (footprint.rom_upper_bytes, footprint.ram_bytes - 1),
        (footprint.rom_upper_bytes - 1, footprint.ram_bytes),
        (footprint.rom_upper_bytes, footprint.ram_bytes),
    ):
        board = Target("a-board", flash, ram, reserve_flash_bytes=0, reserve_ram_bytes=0)
        fit = measure(found, "edgebench", target=board).target
        assert fit is not None
        verdicts.append(fit.verdict)
    assert verdicts == ["does not fit", "may fit", "fits"]


def test_an_unknown_plan() -> None:
    """The message names the nearest."""
    with pytest.raises(EdgebenchError, match="unknown plan 'stream'; did you mean 'streaming'"):
        firmware_plan(family("gap"), "stream")
