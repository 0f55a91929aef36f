"""Any file gives figures or one message: no other exception, no hang, no memory without end."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import hostile_onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import Sketchpad
from stopwatch import at_most

from edgebench.errors import EdgebenchError
from edgebench.footprint import measure
from edgebench.profiling import profile


def refused(model: Any, **more: Any) -> str:
    """Return the one message with which ``model`` is refused."""
    with pytest.raises(EdgebenchError) as caught:
        profile(model, **more)
    assert caught.value.exit_code == 2
    return str(caught.value)


def conv(**attributes: Any) -> onnx.ModelProto:
    """Return a convolution of 4 channels, an 8x8 image and attributes of its own."""
    pad = Sketchpad()
    pad.add("Conv", ["input", pad.weight("conv.w", 8, 4, 3, 3)], "conv", **attributes)
    return pad.model("conv", shape=("N", 4, 8, 8))


def test_changed_files() -> None:
    """400 seeded files; the long run is `benchmarks/attacks/onnx_files.py`."""
    outcomes: Counter[str] = Counter()
    for seed in range(400):
        try:
            found = profile(hostile_onnx.hostile(seed))
        except EdgebenchError:
            outcomes["refused"] += 1
            continue
        outcomes["measured"] += 1
        figures = [found.macs, found.parameters, found.weights_bytes]
        figures += [tensor.bytes for tensor in found.tensors.values()]
        assert min(figures) >= 0, seed
    assert outcomes["measured"] > 20
    assert outcomes["refused"] > 200


def test_the_sound_models_that_they_are_made_from() -> None:
    """Unchanged, each has figures: what is refused above is refused for its change."""
    for write in hostile_onnx.BASES:
        assert measure(profile(write())).macc > 0


# Work out of proportion ---------------------------------------------------------------------------


def test_attacks_by_name_are_answered_at_once() -> None:
    """Loops, ranges, outer products, nested functions: under 5 s and 1 GB for all of them."""
    program = (
        "import pathlib, re, hostile_onnx\n"
        "from edgebench.errors import EdgebenchError\n"
        "from edgebench.profiling import profile\n"
        "for attack in hostile_onnx.NAMED:\n"
        "    try:\n"
        "        profile(attack())\n"
        "    except EdgebenchError:\n"
        "        pass\n"
        # Not getrusage: its maximum is the parent's where that was larger at the fork.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
    )
    with at_most(20):
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                                check=True, cwd=Path(hostile_onnx.__file__).parent)  # fmt: skip
    assert int(result.stdout) < 1_000_000


def test_what_attacks_are_told() -> None:
    """Each message names the figure that is out of reach."""
    assert refused(hostile_onnx.nested_functions()) == (
        "the model has 33,554,432 operators once its functions are inlined; no more than 100,000 "
        "are read"
    )
    assert refused(hostile_onnx.recursive_function()) == "the function 'f' calls itself"
    assert refused(hostile_onnx.enormous_input()) == (
        "the input 'input' has 3,000,000,000,000,000,000 elements [1, 3, 1000000000, 1000000000]; "
        "no device holds more than 2,147,483,648"
    )
    assert refused(hostile_onnx.endless_loop()) == (
        "the shape of 'loop0' is missing: it cannot be inferred from the operator 'Loop' "
        "('loop0'); export with fixed image sizes"
    )


def test_a_reversed_chain_is_sorted() -> None:
    """The last operator first in the file: each comes after the one that it reads."""
    found = profile(hostile_onnx.reversed_chain(50))
    assert found.operators[0].op == "Conv"
    written = set(found.inputs)
    for operator in found.operators:
        assert written.issuperset(operator.inputs)
        written.update(operator.outputs)


def test_operators_that_read_each_other() -> None:
    """A cycle has no order; the message names what is waited for."""
    pad = Sketchpad()
    pad.add("Relu", ["b"], "a")
    pad.add("Relu", ["a"], "b")
    assert refused(pad.model("b")) == ("the operator 'a' reads 'b', which nothing writes before it")


# Impossible attributes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"group": 0}, "'group' of 'conv' (Conv) is 0; at least 1"),
        ({"group": -1}, "'group' of 'conv' (Conv) is -1; at least 1"),
        (
            {"auto_pad": "XX"},
            "'auto_pad' of 'conv' (Conv) is 'XX'; known: NOTSET, SAME_UPPER, SAME_LOWER, VALID",
        ),
        ({"strides": [0, 1]}, "'strides' of 'conv' (Conv) is [0, 1]; at least 1 each"),
        ({"strides": [1]}, "'strides' of 'conv' (Conv) has 1 values; 2 are needed"),
        ({"strides": 2.0}, "'strides' of 'conv' (Conv) is of type FLOAT, not INTS"),
        ({"dilations": [-1, 1]}, "'dilations' of 'conv' (Conv) is [-1, 1]; at least 1 each"),
        ({"pads": [0, 0, 0, -1]}, "'pads' of 'conv' (Conv) is [0, 0, 0, -1]; at least 0 each"),
        (
            {"kernel_shape": [5, 5]},
            "'kernel_shape' of 'conv' (Conv) is [5, 5], its weight is [8, 4, 3, 3]",
        ),
    ],
)
def test_windows(attributes: dict[str, Any], message: str) -> None:
    """What no convolution can have is refused by name."""
    assert refused(conv(**attributes)) == f"the attribute {message}"


def test_windows_of_pools() -> None:
    """An attribute that the opset does not know is read as what it should be, or refused."""
    for attributes, message in (
        ({}, "'kernel_shape' of 'pool' (AveragePool) is missing"),
        (
            {"kernel_shape": [2, 2], "dilations": 0.5},
            "'dilations' of 'pool' (AveragePool) is no list of whole numbers",
        ),
    ):
        pad = Sketchpad()
        pad.add("AveragePool", [pad.conv("input", 4, 3)], "pool", **attributes)
        assert refused(pad.model("pool", opset=11)) == f"the attribute {message}"


def test_bounds_that_do_not_belong_together() -> None:
    """Two starts and one end."""
    pad = Sketchpad()
    names = [pad.conv("input", 4, 3), pad.data("s", [0, 1]), pad.data("e", [3])]
    pad.add("Slice", names, "out")
    assert refused(pad.model("out"))


@pytest.mark.parametrize("group", [3, 7, 2**62])
def test_groups_that_do_not_divide(group: int) -> None:
    """The channels of the input, the weight and the groups must fit together."""
    pad = Sketchpad()
    pad.add("Conv", ["input", pad.weight("w", 8, 2, 3, 3)], "conv", group=group)
    assert refused(pad.model("conv", shape=("N", 4, 8, 8))) == (
        f"the weight [8, 2, 3, 3] of 'conv' (Conv) with group {group} does not fit the 4 channels "
        "of its input"
    )


def test_positions_in_a_single_number() -> None:
    """NonZero of a constant without dimensions: ONNX Runtime reads it as one element."""
    pad = Sketchpad()
    place = pad.add("NonZero", [pad.data("one", 1)])
    axis = pad.add("Reshape", [place, pad.data("shape", [1])])
    pad.add("Unsqueeze", [pad.conv("input", 4, 3, name="conv"), axis], "out")
    [layer] = [one for one in profile(pad.model("out")).operators if one.op == "Conv"]
    assert layer.name == "conv"


def test_a_cast_to_nothing() -> None:
    """Without ``to``, and to a type that does not exist."""
    for attributes, message in (
        ({}, "the operator 'out' (Cast) has no attribute 'to'"),
        ({"to": 99}, "the result of 'out' (Cast) has the element type 99, which is unknown"),
    ):
        pad = Sketchpad()
        pad.add("Cast", [pad.conv("input", 4, 3)], "out", **attributes)
        assert refused(pad.model("out")) == message


# Types, names and shapes --------------------------------------------------------------------------


def test_unknown_element_types() -> None:
    """Of a weight and of the input."""
    model = conv()
    model.graph.initializer[0].data_type = 99
    assert refused(model) == "the constant 'conv.w' has the element type 99, which is unknown"
    model = conv()
    model.graph.input[0].type.tensor_type.elem_type = 77
    assert refused(model) == "the input 'input' has the element type 77, which is unknown"


def test_strings() -> None:
    """No device runs on texts; a text that nothing computes with does no harm."""
    pad = Sketchpad()
    pad.weights.append(helper.make_tensor("labels", TensorProto.STRING, [2], [b"cat", b"dog"]))
    model = pad.model(pad.conv("input", 4, 3))
    assert profile(model).macs > 0
    model.graph.output.add().name = "labels"
    assert refused(model) == "'labels' holds elements of the type string, which no device runs"


def test_negative_dimensions() -> None:
    """A weight of minus three channels has no figures."""
    model = conv()
    model.graph.initializer[0].dims[0] = -3
    assert refused(model) == "the constant 'conv.w' has a negative dimension: [-3, 4, 3, 3]"


def test_names_that_are_not_text() -> None:
    """Bytes that are no UTF-8, where an operator's name should stand."""
    whole = conv().SerializeToString().replace(b"Conv", b"\xff\xfe\xfd\xfc")
    said = "a name in the model is not UTF-8: b'\\xff\\xfe\\xfd\\xfc'"
    assert refused(whole) == said
    model = conv()
    model.graph.node.add(op_type="Add", input=["XXXX", "nobody"], output=["more"])
    assert refused(model.SerializeToString().replace(b"XXXX", b"\xff\xfe\xfd\xfc")) == said


def test_nodes_without_results_and_empty_constants() -> None:
    """The first changes nothing; the second is named."""
    model = conv()
    model.graph.node.append(helper.make_node("Relu", ["conv"], []))
    assert len(profile(model).operators) == 1
    model.graph.node.append(helper.make_node("Constant", [], ["nothing"], name="empty"))
    assert refused(model) == "the constant 'empty' has 0 values"


def test_a_value_that_is_written_twice() -> None:
    """A name means one value."""
    model = conv()
    model.graph.node.append(helper.make_node("Relu", ["input"], ["conv"]))
    assert refused(model) == "the value 'conv' is written twice"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "are in the external file '', which does not lie in the model's folder"),
        ({"location": "../w"}, "'../w', which does not lie in the model's folder"),
        ({"location": "/etc/passwd"}, "'/etc/passwd', which does not lie in the model's folder"),
        ({"location": "w", "offset": "x"}, "begin at byte 'x' and are '0' long, which are no"),
        ({"location": "w", "length": "-4"}, "begin at byte '0' and are '-4' long, which are no"),
        ({"location": "w", "offset": "9" * 30}, "which are no numbers"),
        ({"location": "w", "length": "10"}, "cannot be read"),
    ],
)
def test_broken_external_data(tmp_path: Path, entry: dict[str, str], message: str) -> None:
    """Places outside the folder, figures that are none, data of another size."""
    model = conv()
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entry.items():
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "w").write_bytes(bytes(64))
    if message == "cannot be read":
        assert profile(path).macs > 0  # small and not what its shape says: its dimensions suffice
    else:
        assert message in refused(path)


# Outputs that no operator computes ----------------------------------------------------------------


def test_outputs_that_are_constant() -> None:
    """Anchors, shapes and initializers among the outputs ship; they take no part in the plan."""
    pad = Sketchpad()
    value = pad.conv("input", 4, 3, name="conv")
    pad.add("Shape", [value], "shape")
    pad.data("anchors", np.zeros((10, 4)), np.float32)
    pad.add("Identity", ["anchors"], "boxes")
    pad.add("Tile", ["anchors", pad.data("n", [100, 1])], "large")
    found = profile(pad.model("conv", "shape", "boxes", "large"))
    assert found.outputs == ("conv",)
    assert [one.name for one in found.constant_outputs] == ["shape", "anchors", "large"]
    assert [one.elements for one in found.constant_outputs] == [4, 40, 4_000]
    alone = profile(pad.model("conv"))
    assert measure(found).activations_bytes == measure(alone).activations_bytes
    assert found.weights_bytes == alone.weights_bytes + 4 * 8 + 40 * 4 + 4_000 * 4


def test_an_input_that_is_an_output() -> None:
    """What passes through unchanged needs its memory to the end."""
    pad = Sketchpad()
    pad.conv("input", 4, 3, name="conv")
    pad.add("Identity", ["input"], "same")
    found = profile(pad.model("conv", "same"))
    assert found.outputs == ("conv", "input")
    assert measure(found).activations_bytes >= 4 * (3 * 64 + 4 * 36)


def test_an_output_that_its_operator_does_not_have() -> None:
    """An upsampling with a second one, which no rule gives a shape, is named."""
    assert refused(hostile_onnx.hostile(81851)) == (
        "the tensor 'nobody' has no shape: no operator is known to make it"
    )
