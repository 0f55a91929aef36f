"""Where nothing was measured: kernels that no report shows, and operators without a rule.

A false "fits" is the one error that must not happen, so what is not known widens the upper figure,
or takes it away. Expected bytes are the tensors' own, added by hand.
"""

from __future__ import annotations

import pytest
from onnx import ModelProto
from onnx_graphs import QuantizedPad, Sketchpad
from vendor_networks import NETWORKS, Network, complete, rebuild

from edgebench.footprint import TARGETS, measure, require_known
from edgebench.limits import Verdict
from edgebench.profiling import profile

VENDOR = ("st-7.3", "st-8.1", "st", "st-core3")


def upsampling(op: str, *, integer: bool) -> ModelProto:
    """Return a convolution, 16 x 16 x 8 doubled to 32 x 32 x 8 by ``op``, and a convolution."""
    pad = QuantizedPad()

    def conv(value: str) -> str:
        if integer:
            return pad.conv8(pad.quantized(value), 8, 8, (1, 1))
        return pad.conv(value, 8, 8, 1)

    value = conv("input")
    if op == "ConvTranspose":
        weight = pad.integers("w", 8, 8, 2, 2) if integer else pad.weight("w", 8, 8, 2, 2)
        value = pad.add(op, [value, weight], strides=[2, 2])
    else:
        sizes = pad.data("sizes", [1, 8, 32, 32])
        value = pad.add("Resize", [value, "", "", sizes], mode=op)
    value = conv(value)
    return pad.model(value, shape=("N", 8, 16, 16))


@pytest.mark.parametrize("name", VENDOR)
@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("op", ["ConvTranspose", "linear"])
def test_a_kernel_that_no_report_shows_widens_the_upper_figure(
    op: str, integer: bool, name: str
) -> None:
    """It may work on floats beside its tensors: 4 B for each of 2,048 and 8,192 elements."""
    element = 1 if integer else 4
    tensors = element * (2_048 + 8_192)
    found = measure(profile(upsampling(op, integer=integer)), name)
    assert found.activations_upper_bytes is not None
    assert found.activations_upper_bytes >= tensors + 4 * (2_048 + 8_192)
    assert found.activations_bytes < tensors + 4 * (2_048 + 8_192)


def test_a_kernel_that_reports_show_does_not() -> None:
    """Nearest neighbours are seen: the upper figure is the float margin of 2 %."""
    found = measure(profile(upsampling("nearest", integer=False)))
    assert found.activations_upper_bytes == -(-found.activations_bytes * 102 // 100)


def test_a_transposed_convolution_may_spread_its_input() -> None:
    """A 9 x 9 kernel over 64 channels: zeros in between make (32 + 8)^2 x 64 of 16 x 16 x 64."""
    pad = Sketchpad()
    weight = pad.weight("w", 64, 1, 9, 9)
    spread = {"strides": [2, 2], "pads": [4, 4, 4, 4], "output_padding": [1, 1]}
    out = pad.add("ConvTranspose", [pad.conv("input", 64, 3, 1), weight], **spread)
    found = measure(profile(pad.model(out, shape=("N", 3, 16, 16))))
    tensors = 4 * (64 * 16 * 16 + 32 * 32)
    assert found.activations_upper_bytes is not None
    assert found.activations_upper_bytes >= tensors + 4 * 64 * (32 + 8) ** 2


def test_the_interpreter_keeps_sums_of_a_transposed_convolution() -> None:
    """32 bits for each of 8,192 outputs, beside 2,048 B and 8,192 B; none for floats."""
    found = measure(profile(upsampling("ConvTranspose", integer=True)), "tflm")
    row = next(row for row in found.layers if row.op == "ConvTranspose")
    assert (row.scratch_bytes, found.activations_bytes) == (4 * 8_192, 2_048 + 5 * 8_192)
    floats = measure(profile(upsampling("ConvTranspose", integer=False)), "tflm")
    assert not any(row.scratch_bytes for row in floats.layers)


def test_the_interpreter_keeps_a_turned_factor() -> None:
    """A product of two tensors has one of 64 x 32 floats transposed in the tail: 8,192 B."""
    pad = Sketchpad()
    rows = pad.add("Reshape", [pad.conv("input", 64, 3, 1), pad.data("rows", [1, 64, 32])])
    turned = pad.add("Transpose", [rows], perm=[0, 2, 1])
    product = profile(pad.model(pad.add("MatMul", [turned, rows], "product"), shape=("N", 3, 4, 8)))
    plain = profile(pad.model(turned, shape=("N", 3, 4, 8)))
    more = measure(product, "tflm").runtime_ram_bytes - measure(plain, "tflm").runtime_ram_bytes
    assert more == 218 + 4 * 64 * 32


def test_a_linear_resize_weighs_two_inputs_an_axis() -> None:
    """Four an output element of an image; the provenance says that this is assumed."""
    found = measure(profile(upsampling("linear", integer=False)))
    require_known(found)
    assert next(row.macc for row in found.layers if row.op == "Resize") == 4 * 8_192
    assert "operations assumed for Resize" in found.provenance
    assert "Resize" not in measure(profile(upsampling("nearest", integer=False))).provenance


@pytest.mark.parametrize("name", [*VENDOR, "tflm", "static-c"])
def test_an_operator_without_a_rule_promises_nothing(name: str) -> None:
    """With an LSTM the figures are lower bounds, and no board is sure to hold the model."""
    pad = Sketchpad()
    parts = [pad.weight("w", 1, 32, 6), pad.weight("r", 1, 32, 8)]
    out = pad.add("LSTM", ["input", *parts], hidden_size=8)
    flat = pad.add("Flatten", [out], axis=0)
    found = measure(profile(pad.model(pad.dense(flat, 4, 400), shape=(50, 1, 6))), name)
    assert found.unknown
    assert (found.rom_upper_bytes, found.ram_upper_bytes) == (None, None)
    verdicts = {board.check(found).verdict for board in TARGETS.values()}
    assert Verdict.MAY_FIT in verdicts
    assert Verdict.FITS not in verdicts


def test_the_copy_of_a_dilated_convolution() -> None:
    """SAME with a dilation of 3 adds 3 (kernel - 1) rows: 16 -> 22."""
    pad = QuantizedPad()
    how = {"auto_pad": "SAME_UPPER", "dilations": [3, 3]}
    value = pad.conv8(pad.quantized("input"), 16, 16, (3, 3), **how)
    found = measure(profile(pad.model(value, shape=("N", 16, 16, 16))))
    assert [row.output_shape for row in found.layers if row.op == "Pad"] == [(1, 16, 22, 22)]


def test_branches_of_floats_have_the_margin_of_joins() -> None:
    """Float chains are equal to every print; one float network with joins was seen, so 12 %."""
    pad = Sketchpad()
    conv = pad.conv("input", 8, 3, pads=[1, 1, 1, 1])
    chain = measure(profile(pad.model(conv)))
    joined = measure(profile(pad.model(pad.add("Add", [conv, pad.conv(conv, 8, 8, 1)]))))
    assert chain.activations_upper_bytes == -(-chain.activations_bytes * 102 // 100)
    assert joined.activations_upper_bytes == -(-joined.activations_bytes * 112 // 100)


def lite(*, integer_input: bool, tool: str) -> ModelProto:
    """Return an integer layer of 2 x 96 x 96 x 4 as ``tool`` writes it, its input in floats."""
    pad = QuantizedPad()
    value = "input" if integer_input else pad.quantized("input")
    model = pad.model(pad.conv8(value, 4, 4, (1, 1)), shape=("N", 4, 96, 96))
    model.producer_name = tool
    return model


@pytest.mark.parametrize("name", VENDOR)
def test_a_tflite_file_keeps_the_types_of_its_edges(name: str) -> None:
    """Its float image lies beside the integers that it becomes; in ONNX both are integers."""
    image = 4 * 96 * 96
    plain = measure(profile(lite(integer_input=False, tool="pytorch")), name)
    kept = measure(profile(lite(integer_input=False, tool="tf2onnx")), name)
    assert plain.activations_bytes < 3 * image
    assert 4 * image <= kept.activations_bytes <= 4 * image + 4
    assert kept.layers[0].op == "QuantizeLinear"


def test_a_float_output_may_be_converted() -> None:
    """Behind the last layer: 4 B an element beside the integers, in the upper figure."""
    pad = QuantizedPad()
    out = pad.conv8(pad.quantized("input"), 64, 3, (1, 1))
    found = measure(profile(pad.model(out, shape=("N", 3, 32, 32))))
    assert found.activations_upper_bytes is not None
    assert found.activations_bytes < 4 * 64 * 32 * 32 < found.activations_upper_bytes


def squeezing(size: int) -> ModelProto:
    """Return SqueezeNet 1.1 up to its second fire module, whose join sets the peak."""
    pad = QuantizedPad()
    value = pad.conv8(pad.quantized("input"), 64, 3, (3, 3), strides=[2, 2])
    value = pad.quantized(pad.add("MaxPool", [value], kernel_shape=[3, 3], strides=[2, 2]))
    channels = 64
    for _ in range(2):
        value = pad.conv8(value, 16, channels, (1, 1))
        wide = pad.conv8(value, 64, 16, (3, 3), pads=[1, 1, 1, 1])
        value = pad.quantized(pad.add("Concat", [pad.conv8(value, 64, 16, (1, 1)), wide], axis=1))
        channels = 128
    return pad.model(pad.conv8(value, 16, channels, (1, 1)), shape=("N", 3, size, size))


@pytest.mark.parametrize(
    ("convention", "size", "printed"),
    [("st-8.1", 128, 248_003), ("st-8.1", 224, 862_269), ("st", 128, 278_364)],
)
def test_the_upper_figure_holds_joins(convention: str, size: int, printed: int) -> None:
    """SqueezeNet 1.1 as printed: 242.19 and 842.06 KiB at 8.1, 271.84 at 10.0; no rule is known."""
    found = measure(profile(squeezing(size)), convention)
    assert found.activations_upper_bytes is not None
    assert found.activations_bytes < printed <= found.activations_upper_bytes


def _convention(tool: str) -> str:
    return {"3": "st-core3", "4": "st-core3", "7": "st-7.3", "8": "st-8.1"}.get(tool[0], "st")


@pytest.mark.parametrize(
    "network",
    [one for one in NETWORKS if complete(one) and "XDU" not in one["repo"]],
    ids=lambda one: one["path"][-30:],
)
def test_no_report_exceeds_an_upper_figure(network: Network) -> None:
    """Arena, runtime and code of every network that was built locally, 9.0 to Core 4."""
    found = measure(profile(rebuild(network)), _convention(network["tool"]))
    pairs = [
        (network["activations"], found.activations_upper_bytes),
        (network["kernel_ram"] or 0, found.runtime_ram_upper_bytes),
        ((network["kernel_flash"] or 0) + (network["toolchain_flash"] or 0),
         found.code_upper_bytes),
    ]  # fmt: skip
    assert all(upper is not None and theirs <= upper for theirs, upper in pairs), pairs
