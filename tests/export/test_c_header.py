"""The golden vectors as C: the same numbers as in the files for Python, and it compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from export_cases import PREPROCESSING
from handover_case import bundle

from edgebench.export.handover.c_header import IMAGES, NAME, c_header
from edgebench.export.handover.edges import edges

HEADER = bundle().files()[NAME].decode()
VECTORS = bundle().vectors


def array(name: str, text: str = HEADER) -> npt.NDArray[Any]:
    """Return an array of the header."""
    found = re.search(
        rf"^static const (\w+) {name}[^=]+= {{(.*?)^}};", text, re.DOTALL | re.MULTILINE
    )
    assert found, name
    numbers = re.findall(r"-?[\d.]+(?:e-?\d+)?", found[2])
    dtype = {"float": np.float32}.get(found[1], found[1].removesuffix("_t"))
    return np.array(numbers, np.float64).astype(dtype)


def test_the_arrays_are_the_vectors() -> None:
    """Pixels, labels and logits of the first images, every float to its last bit."""
    np.testing.assert_array_equal(array("golden_pixels"), VECTORS.pixels[:IMAGES].ravel())
    np.testing.assert_array_equal(array("golden_labels"), VECTORS.labels[:IMAGES])
    for name, values in (("float32", VECTORS.onnx), ("int8", VECTORS.int8)):
        np.testing.assert_array_equal(array(f"golden_logits_{name}"), values[:IMAGES].ravel())


def test_the_integers_are_those_that_the_graph_makes_of_the_inputs() -> None:
    """As ONNX Runtime quantizes them."""
    model = bundle().int8_model
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    assert first.input[0] == model.graph.input[0].name
    result = onnx.helper.make_tensor_value_info(first.output[0], onnx.TensorProto.INT8, None)
    constants = [one for one in model.graph.initializer if one.name in first.input]
    graph = onnx.helper.make_graph([first], "first", model.graph.input, [result], constants)
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    alone.ir_version = model.ir_version
    running = ort.InferenceSession(alone.SerializeToString())
    expected = running.run(None, {"input": VECTORS.inputs[:IMAGES]})[0]
    np.testing.assert_array_equal(array("golden_inputs"), expected.ravel())


def test_both_ends_say_how_they_are_held() -> None:
    """Scale and zero point are the graph's own; the buffers' bytes are counted by hand."""
    found = edges(bundle().int8_model)
    assert (found["input"]["shape"], found["input"]["buffer_bytes"]) == ([1, 16, 16], 4 * 256)
    assert found["input"]["quantized"]["buffer_bytes"] == 256
    assert (found["output"]["shape"], found["output"]["buffer_bytes"]) == ([10], 40)
    for end in found.values():
        rule = end["quantized"]
        assert rule["dtype"] == "int8"
        assert rule["scale"] > 0
        assert -128 <= rule["zero_point"] <= 127
    plain = edges(bundle().float_model)
    assert "quantized" not in plain["input"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    """C99, names of classes in other letters, quotes and trigraphs among them."""
    classes = [*PREPROCESSING.classes, 'a "b"', "??/", "c\\", "*/", ""]
    proof = {**bundle().proof["preprocessing"], "classes": classes}
    text = c_header(VECTORS, proof, edges(bundle().int8_model))
    lines = (
        '#include <stdio.h>\n#include "g.h"\n'
        "int main(void) {\n"
        "  for (int i = 0; i < GOLDEN_CLASSES; i++) puts(golden_classes[i]);\n"
        '  printf("%d %g\\n", golden_inputs[1][7], (double)golden_logits_int8[2][3]);\n'
        "  return golden_pixels[0][0] != golden_pixels[0][0];\n}\n"
    )
    (tmp_path / "g.h").write_text(text)
    (tmp_path / "main.c").write_text(lines)
    words = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "main.c", "-o", "main"]
    subprocess.run(words, cwd=tmp_path, check=True)
    shown = subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True)
    *names, last = shown.stdout.decode().splitlines()
    assert names == classes
    whole, logit = last.split()
    assert int(whole) == array("golden_inputs").reshape(IMAGES, -1)[1, 7]
    assert float(logit) == pytest.approx(float(VECTORS.int8[2, 3]), rel=1e-5)


def test_the_edges_of_a_graph_without_quantization_are_floats() -> None:
    """A model whose first operator is no QuantizeLinear has no rule for integers."""
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3, 2, 2])
        for name in ("input", "logits")
    ]
    node = onnx.helper.make_node("Identity", ["input"], ["logits"])
    graph = onnx.helper.make_graph([node], "made", ends[:1], ends[1:])
    found = edges(onnx.helper.make_model(graph))
    assert found["input"] == {
        "name": "input", "shape": [3, 2, 2], "dtype": "float32", "buffer_bytes": 48
    }  # fmt: skip
