"""The vendor's tools by version: kernel rules, whole networks of its tables, upper figures.

Expected bytes are the vendor's prints (its model zoo's tables, KiB with two decimals) or sums by
hand of the rules in `edgebench.footprint.st`, written out in each test.
"""

from __future__ import annotations

from typing import Any

import pytest
from onnx import ModelProto, TensorProto
from onnx_graphs import QuantizedPad, Sketchpad

from edgebench.footprint import CONVENTIONS, Footprint, measure
from edgebench.footprint.st import CORE_2, CUBE_7_3, CUBE_8_1, scratch
from edgebench.profiling import Profile, profile

VENDOR = ("st-7.3", "st-8.1", "st", "st-core3")
SAME = {"auto_pad": "SAME_UPPER"}


class Chain(QuantizedPad):
    """A chain of integer layers, written as (filters, stride) of depthwise + pointwise pairs."""

    def network(
        self, size: int, stem: int, pairs: list[tuple[int, int]], **padding: Any
    ) -> ModelProto:
        """Return stem, pairs, global mean, dense and softmax on ``size`` x ``size`` x 3 images."""
        value = self.conv8(self.quantized("input"), stem, 3, (3, 3), strides=[2, 2], **SAME)
        channels = stem
        for outputs, stride in pairs:
            value = self.depthwise(value, channels, stride, padding)
            value, channels = self.conv8(value, outputs, channels, (1, 1)), outputs
        mean = self.add("ReduceMean", [value, self.data("sides", [2, 3])], keepdims=0)
        value = self.dense8(self.quantized(mean), 5, channels)
        out = self.quantized(self.add("Softmax", [value], axis=1))
        return self.model(out, shape=("N", 3, size, size))

    def depthwise(self, value: str, channels: int, stride: int, padding: dict[str, Any]) -> str:
        """Add a depthwise layer, padded as Keras' MobileNet does where ``padding`` is explicit."""
        explicit = stride == 2 and padding.get("explicit")
        if explicit:
            name = f"pad{len(self.nodes)}"
            sides = self.data(f"{name}.sides", [0, 0, 0, 0, 0, 0, 1, 1])
            value = self.quantized(self.add("Pad", [value, sides], name))
        how = {} if explicit else SAME
        strides = [stride, stride]
        return self.conv8(value, channels, channels, (3, 3), strides=strides, group=channels, **how)


def fd_mobilenet(size: int) -> Profile:
    """Return FD-MobileNet 0.25: eleven pairs, strided early, SAME padding."""
    pairs = [(16, 2), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 4, (256, 1)]
    return profile(Chain().network(size, 8, pairs))


def mobilenet(size: int, width: int) -> Profile:
    """Return MobileNetV1 with ``width`` filters first, Keras' explicit pads before strides."""
    steps = [(2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1)]
    pairs = [(width * times, stride) for times, stride in steps]
    return profile(Chain().network(size, width, pairs, explicit=True))


# Kernels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "outputs", "patches"),
    [(3, 8, 2 * 27 * 8), (16, 16, 2 * 144 * 16), (16, 32, 5_120), (64, 64, 5_120)],
)
def test_scratch_of_a_spatial_integer_kernel(inputs: int, outputs: int, patches: int) -> None:
    """4 K + 14 C + min(2 K C, 5120) from 8.1 on; up to 8.0 ten bytes a channel."""
    pad = Chain()
    out = pad.conv8(pad.quantized("input"), outputs, inputs, (3, 3))
    found = profile(pad.model(out, shape=("N", inputs, 8, 8)))
    kernel = CONVENTIONS["st"].lower(found).kernels[0]
    assert scratch(found, kernel, CORE_2) == 4 * 9 * inputs + 14 * outputs + patches
    assert scratch(found, kernel, CUBE_8_1) == scratch(found, kernel, CORE_2)
    assert scratch(found, kernel, CUBE_7_3) == 4 * 9 * inputs + 10 * outputs + patches


def padded_side(**padding: Any) -> int:
    """Return the side of the padded copy that a strided integer kernel reads on 64 x 64."""
    found = profile(Chain().network(128, 8, [(16, 2)], **padding))
    shapes = [row.output_shape for row in measure(found).layers if row.op == "Pad"]
    return shapes[0][2]


def test_same_padding_and_an_explicit_pad_differ() -> None:
    """SAME adds kernel - 1 in all, 64 -> 66; ZeroPadding (0, 1) is what it says, 64 -> 65."""
    assert padded_side() == 66
    assert padded_side(explicit=True) == 65


def test_a_convolution_that_a_converter_padded_is_same() -> None:
    """End pads that exceed the start pads, with no Pad operator before, stand for SAME."""
    pad = Chain()
    value = pad.conv8(pad.quantized("input"), 16, 16, (3, 3), pads=[0, 0, 1, 1], strides=[2, 2])
    found = measure(profile(pad.model(value, shape=("N", 16, 64, 64))))
    assert [row.output_shape for row in found.layers if row.op == "Pad"] == [(1, 16, 66, 66)]


# Whole networks of the tables ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "size", "printed"),
    [("st-8.1", 128, 51.18), ("st-8.1", 224, 152.05), ("st-7.3", 128, 51.1)],
)
def test_fd_mobilenet_of_the_tables(convention: str, size: int, printed: float) -> None:
    """A chain of overlaps from the input on: equal to the print of two sizes at 8.1."""
    found = measure(fd_mobilenet(size), convention)
    assert found.activations_bytes / 1024 == pytest.approx(printed, abs=0.051)


@pytest.mark.parametrize(
    ("convention", "size", "width", "bytes_"),
    [
        ("st-8.1", 96, 8, 51_405),  # printed 50.2 KiB: the chain is not cut
        ("st-7.3", 96, 8, 39_568),  # printed 39.56, of 1,000 B: it is
        ("st-7.3", 224, 16, 413_983),  # printed 404.28 KiB
    ],
)
def test_mobilenet_of_the_tables(convention: str, size: int, width: int, bytes_: int) -> None:
    """MobileNetV1 within the print's rounding."""
    found = measure(mobilenet(size, width), convention)
    assert found.activations_bytes == pytest.approx(bytes_, abs=6)


@pytest.mark.parametrize(
    ("network", "printed"),
    [(fd_mobilenet(128), 57_508), (fd_mobilenet(224), 160_799), (mobilenet(96, 8), 68_567),
     (mobilenet(224, 8), 279_511), (mobilenet(224, 16), 460_370), (mobilenet(224, 32), 1_363_077)],
    ids=["fd-128", "fd-224", "v1-0.25-96", "v1-0.25-224", "v1-0.5-224", "v1-1.0-224"],
)  # fmt: skip
def test_the_upper_figure_holds_the_tables_of_10_0(network: Profile, printed: int) -> None:
    """The figure is the least arena and reads low against 10.0; the upper figure never does."""
    found = measure(network)
    assert found.activations_upper_bytes is not None
    assert found.activations_bytes < printed <= found.activations_upper_bytes


def expanding(times: int) -> Footprint:
    """Return a pointwise convolution that expands its 8 channels, under 8.1."""
    pad = Chain()
    value = pad.conv8(pad.quantized("input"), 8, 8, (1, 1))
    value = pad.conv8(value, 8 * times, 8, (1, 1))
    value = pad.conv8(value, 8, 8 * times, (1, 1))
    return measure(profile(pad.model(value, shape=("N", 8, 16, 16))), "st-8.1")


def test_a_wide_expansion_does_not_grow_into_its_input() -> None:
    """Up to 9.0: three times the input lies apart, with its scratch; twice may overlap."""
    assert expanding(3).activations_bytes == 2_048 + 3 * 2_048 + 4 * 8 + 10 * 24
    assert expanding(2).activations_bytes < 2_048 + 2 * 2_048


def pooled() -> Profile:
    """Return a float convolution with a pool behind it: 8x8x2 -> 6x6x8 -> 3x3x8."""
    pad = Sketchpad()
    conv = pad.add("Relu", [pad.conv("input", 8, 2)])
    value = pad.add("MaxPool", [conv], kernel_shape=[2, 2], strides=[2, 2])
    value = pad.dense(pad.add("Flatten", [value]), 4, 72, name="out")
    return profile(pad.model(value, shape=("N", 2, 8, 8)))


@pytest.mark.parametrize(
    ("convention", "kernel", "patch", "printed"),
    [
        ("st-7.3", "Conv+Relu+MaxPool", 0, 1_024),
        ("st-8.1", "Conv", 0, 1_597),
        ("st", "Conv+Relu+MaxPool", 72, 1_096),
        ("st-core3", "Conv", 72, 1_669),
    ],
)
def test_float_pools_and_patches_by_version(
    convention: str, kernel: str, patch: int, printed: int
) -> None:
    """The hand-posture network's block, at each version as the tables print it."""
    found = measure(pooled(), convention)
    first = found.layers[0]
    assert (first.op, first.scratch_bytes - 4 * 2 * 6 * 8 * ("Pool" in kernel)) == (kernel, patch)
    assert found.activations_bytes == pytest.approx(printed, abs=5)


# What the importer does ---------------------------------------------------------------------------


def test_an_integer_dense_layer_ships_a_bias() -> None:
    """Without one of its own it has one of zeros, 4 B an output, under the vendor's tools alone."""
    pad = Chain()
    weight = pad.integers("w", 12, 216)
    out = pad.quantized(pad.add("Gemm", [pad.quantized("input"), weight], "out", transB=1))
    found = profile(pad.model(out, shape=("N", 216)))
    assert found.weights_bytes == 12 * 216
    for name in CONVENTIONS:
        more = 4 * 12 if name in VENDOR else 0
        assert measure(found, name).weights_bytes == 12 * 216 + more


def test_a_bias_that_two_scales_read_is_two_arrays() -> None:
    """A converter wrote the zero biases of two convolutions once: 64 x 4 B come back.

    So it was with MiniResNetV2. Where both read them with one scale they are one tensor.
    """
    for scales, more in (("first", "first"), 0), (("first", "second"), 4 * 64):
        pad = Chain()
        bias = pad.weight("b", 64, code=TensorProto.INT32)
        zero = pad.weight("b.z", 64, code=TensorProto.INT32)
        value = pad.quantized("input")
        for scale in dict.fromkeys(scales):
            pad.weight(f"{scale}.s", 64)
        for index, scale in enumerate(scales):
            weight = pad.integers(f"w{index}", 64, 64, 1, 1)
            read = pad.add("DequantizeLinear", [bias, f"{scale}.s", zero], axis=0)
            value = pad.quantized(pad.add("Conv", [value, weight, read]))
        found = profile(pad.model(value, shape=("N", 64, 4, 4)))
        assert found.weights_bytes == 2 * 64 * 64 + 4 * 64
        for name in VENDOR:
            assert measure(found, name).weights_bytes == 2 * 64 * 64 + 4 * 64 + more


def normed(**padding: Any) -> Profile:
    """Return a batch norm of one channel and a convolution behind it."""
    pad = Sketchpad()
    parts = [pad.weight(f"n{index}", 1) for index in range(4)]
    norm = pad.add("BatchNormalization", ["input", *parts])
    return profile(pad.model(pad.conv(norm, 16, 1, name="out", **padding), shape=("N", 1, 8, 8)))


def test_a_norm_folds_into_an_unpadded_convolution() -> None:
    """Its 8 B go and its kernel too; before a padded convolution both stay."""
    folded, kept = measure(normed()), measure(normed(pads=[1, 1, 1, 1]))
    assert (folded.weights_bytes, len(folded.layers)) == (4 * (16 * 9 + 16), 1)
    assert (kept.weights_bytes, len(kept.layers)) == (4 * (16 * 9 + 16) + 8, 2)


def test_an_integer_sigmoid_is_a_table() -> None:
    """One look-up an element; a float one costs ten operations."""
    plain, pad = Sketchpad(), Chain()
    plain.add("Sigmoid", [plain.conv("input", 4, 3)], "out")
    conv = pad.conv8(pad.quantized("input"), 4, 3, (3, 3))
    out = pad.quantized(pad.add("Sigmoid", [conv], "out"))
    assert measure(profile(plain.model("out"))).layers[-1].macc == 10 * 4 * 36
    assert measure(profile(pad.model(out))).layers[-1].macc == 4 * 36


# Code and runtime ---------------------------------------------------------------------------------


def joined(adds: int, concats: int) -> Footprint:
    """Return an integer network that joins branches so often, under Core 3."""
    pad = Chain()
    value, channels = pad.conv8(pad.quantized("input"), 8, 3, (1, 1)), 8
    for _ in range(adds):
        other = pad.conv8(value, channels, channels, (1, 1))
        value = pad.quantized(pad.add("Add", [value, other]))
    for _ in range(concats):
        other = pad.conv8(value, 8, channels, (1, 1))
        value = pad.quantized(pad.add("Concat", [value, other], axis=1))
        channels += 8
    return measure(profile(pad.model(value)), "st-core3")


@pytest.mark.parametrize(
    ("adds", "concats", "printed"),
    [(0, 0, 307), (3, 0, 1_290), (2, 0, 1_106), (0, 8, 3_809)],
    ids=["FD-MobileNet", "ResNet-8", "MiniResNet", "SqueezeNet"],
)
def test_runtime_memory_of_core_3(adds: int, concats: int, printed: int) -> None:
    """Four rows of 3.0: a chain has next to nothing, each join of branches brings objects back."""
    assert joined(adds, concats).runtime_ram_bytes == pytest.approx(printed, abs=6)


def test_runtime_memory_of_a_float_network_of_core_3() -> None:
    """0.28 KiB in every row."""
    assert measure(pooled(), "st-core3").runtime_ram_bytes == 287


@pytest.mark.parametrize(
    ("convention", "network", "printed"),
    [
        ("st", fd_mobilenet(128), 59_556),
        ("st", mobilenet(224, 16), 83_415),
        ("st", mobilenet(96, 8), 69_632),
        ("st-8.1", mobilenet(96, 8), 75_653),
        ("st-7.3", mobilenet(224, 16), 91_136),
        ("st-core3", fd_mobilenet(128), 30_669),
    ],
)
def test_code_grows_with_kernels_and_channels(
    convention: str, network: Profile, printed: int
) -> None:
    """Within a fifth of the print, and the upper figure above it."""
    found = measure(network, convention)
    assert found.code_bytes == pytest.approx(printed, rel=0.2)
    assert found.code_upper_bytes is not None
    assert found.code_upper_bytes >= printed


def test_wider_networks_have_more_code() -> None:
    """Scales and shifts of each channel are in flash, though not among the weights."""
    narrow, wide = measure(mobilenet(96, 8)), measure(mobilenet(96, 16))
    assert len(narrow.layers) == len(wide.layers)
    more = sum(row.output_shape[1] for row in wide.layers if "Conv" in row.op) // 2
    assert wide.code_bytes - narrow.code_bytes == 8 * more


# What is stated -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVENTIONS)
def test_stated_errors_are_whole(name: str) -> None:
    """Each has rows behind it, and its median lies within its extremes."""
    for one in CONVENTIONS[name].errors:
        assert one.rows > 0
        assert one.lowest <= one.highest
        assert one.median <= max(abs(one.lowest), abs(one.highest))


@pytest.mark.parametrize("name", VENDOR)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_vendors_conventions_state_every_error(name: str, dtype: str) -> None:
    """Activations, runtime and code were each compared with a table."""
    stated = [one.figure for one in CONVENTIONS[name].errors if one.dtype == dtype]
    assert stated == ["activations", "runtime", "code"]


def test_a_provenance_states_the_errors_of_its_precision() -> None:
    """Of the rows that are as this network is, and of no others."""
    text = measure(fd_mobilenet(128)).provenance
    assert text.startswith("estimated (st: ST Edge AI Core 1.0-2.2 (STM32Cube.AI 9-10)); errors: ")
    assert "activations 10.7 % in the median, -42.0 to +0.0 %, of 10 int8 networks" in text
    assert "float32" not in text


def test_upper_figures_hold_the_figures_of_integer_networks() -> None:
    """Whatever the version, and for each part: code, runtime, arena."""
    for name in VENDOR:
        found = measure(mobilenet(96, 8), name)
        assert found.code_bytes <= (found.code_upper_bytes or 0)
        assert found.runtime_ram_bytes <= (found.runtime_ram_upper_bytes or 0)
        assert found.activations_bytes <= (found.activations_upper_bytes or 0)


def test_a_bias_of_integers_is_no_weight_of_eight_bits() -> None:
    """The row's weights: int8 filters and a bias of 32 bits a channel."""
    pad = Chain()
    value = pad.conv8(pad.quantized("input"), 4, 3, (3, 3))
    row = measure(profile(pad.model(value))).layers[0]
    assert row.weights_bytes == 4 * 27 + 4 * 4
