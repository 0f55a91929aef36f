"""Export: every family leaves as one portable file with the outputs of the network."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from export_cases import (
    CLASSES,
    PREPROCESSING,
    SHAPE,
    Case,
    build,
    cases,
    exported,
    images_of,
    label,
    normalized,
    pixels,
    shape_of,
)
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from edgebench.errors import EdgebenchError
from edgebench.export import (
    OPSETS,
    Preprocessing,
    difference,
    onnx_logits,
    parity,
    save,
    serialize,
    session,
    to_onnx,
    torch_logits,
)

GAP: Case = ("gap", ())
VGG: Case = ("vgg", ())


def operators(model: onnx.ModelProto) -> list[str]:
    """Return the operator types of ``model`` in order."""
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("case", cases(), ids=label)
def test_every_family_and_choice_has_the_logits_of_pytorch(case: Case) -> None:
    """The largest difference of a logit stays at rounding level and no class changes."""
    model, graph = exported(case)
    images = torch.from_numpy(images_of(case, 300))
    proof = parity(model, graph, images)
    assert proof.images == 300
    assert proof.max_abs_diff < 1e-4 * max(1, proof.max_abs_logit)
    assert 0 <= proof.mean_abs_diff <= proof.max_abs_diff
    assert proof.top1_agreement == 1.0


@pytest.mark.parametrize("case", cases(), ids=label)
def test_every_family_leaves_no_shape_arithmetic(case: Case) -> None:
    """What a device would compute again for each image is written down."""
    graph = exported(case)[1].graph
    integers = {value.name for value in graph.value_info if value.type.tensor_type.elem_type != 1}
    assert "Shape" not in operators(exported(case)[1])
    assert not integers


@pytest.mark.parametrize("family", ["gap", "vgg"])
def test_batch_norms_are_folded_and_nothing_is_reshaped(family: str) -> None:
    """The reference's networks are plain chains, and each convolution has its norm as a bias."""
    graph = exported((family, ()))[1].graph
    assert {node.op_type for node in graph.node} <= {
        "Conv", "Relu", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm",
    }  # fmt: skip
    assert all(len(node.input) == 3 for node in graph.node if node.op_type == "Conv")


@pytest.mark.parametrize("opset", [opset for opset in OPSETS if opset > 18])
@pytest.mark.parametrize("case", [("vgg", (("activation", "gelu"),)), GAP], ids=label)
def test_every_opset_is_honoured_and_gives_the_same(case: Case, opset: int) -> None:
    """The file states the asked opset, passes the checker and keeps parity."""
    model, graph = exported(case, opset)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", opset)]
    onnx.checker.check_model(graph, full_check=True)
    images = torch.from_numpy(images_of(case, 40))
    assert parity(model, graph, images).max_abs_diff < 1e-5


@pytest.mark.parametrize(("opset", "nearest"), [(17, 18), (23, 22), (0, 18)])
def test_an_opset_out_of_range_names_the_nearest(opset: int, nearest: int) -> None:
    """The exporter would fall back in silence; edgebench refuses."""
    with pytest.raises(EdgebenchError) as caught:
        to_onnx(build(GAP), shape_of(GAP), opset=opset)
    assert str(caught.value) == f"opset {opset} is not one of 18 to 22; the nearest is {nearest}"


def test_the_reference_networks_have_the_published_parameters() -> None:
    """Untrained, with all biases still zero, the constants count 4,576,394 and 373,386."""
    from edgebench.models import MODELS

    for family, parameters in (("vgg", 4_576_394), ("gap", 373_386)):
        graph = to_onnx(MODELS[family]((3, 32, 32), 10), (3, 32, 32)).graph
        counted = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
        assert counted == parameters


def test_a_layer_without_a_bias_stays_without() -> None:
    """Only biases that the network has, or that a folded norm makes, are written."""
    bare = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3))
    nn.init.zeros_(bare[2].bias)  # type: ignore[arg-type]  # Sequential hides the type
    model = nn.Sequential(*bare, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    convolutions = [n for n in to_onnx(model, SHAPE).graph.node if n.op_type == "Conv"]
    assert [len(node.input) for node in convolutions] == [2, 3]


def test_any_batch_runs() -> None:
    """Batch 1 and batch 7 give the rows that a batch of 7 gives."""
    _, graph = exported(GAP)
    images = images_of(GAP, 7)
    running = session(graph)
    assert running.get_inputs()[0].shape == ["batch", *shape_of(GAP)]
    assert running.get_outputs()[0].shape == ["batch", CLASSES]
    together = running.run(None, {"input": images})[0]
    alone = np.concatenate([running.run(None, {"input": row[None]})[0] for row in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_softmax_gives_probabilities() -> None:
    """The output is named for what it is and equals the softmax of the logits."""
    model, graph = exported(GAP)
    probable = to_onnx(model, shape_of(GAP), softmax=True)
    assert [value.name for value in probable.graph.output] == ["probabilities"]
    images = images_of(GAP, 20)
    logits = torch.from_numpy(onnx_logits(graph, images))
    expected = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(onnx_logits(probable, images), expected, atol=1e-6)


@pytest.mark.parametrize("keepdims", [True, False])
def test_a_mean_over_the_picture_becomes_global_average_pooling(keepdims: bool) -> None:
    """However the mean is written, the graph holds the operator that int8 kernels exist for."""

    class Mean(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3), keepdim=keepdims).flatten(1)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Mean(), nn.Linear(4, CLASSES))
    graph = to_onnx(model, SHAPE)
    assert operators(graph) == ["Conv", "GlobalAveragePool", "Flatten", "Gemm"]
    assert parity(model, graph, torch.from_numpy(normalized(pixels(9)))).max_abs_diff < 1e-5


def test_the_keys_of_attention_are_transposed_once() -> None:
    """What the exporter spreads over three reshapes and shape arithmetic is one Transpose."""

    class Attends(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            mixed: torch.Tensor = functional.scaled_dot_product_attention(images, images, images)
            return mixed.flatten(1)

    graph = to_onnx(nn.Sequential(nn.Conv2d(3, 4, 3), Attends()), SHAPE)
    assert operators(graph) == [
        "Conv", "Transpose", "Mul", "Mul", "MatMul", "Softmax", "MatMul", "Flatten",
    ]  # fmt: skip
    turned = next(node for node in graph.graph.node if node.op_type == "Transpose")
    assert list(turned.attribute[0].ints) == [0, 1, 3, 2]
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Attends())
    images = torch.from_numpy(normalized(pixels(9)))
    assert parity(model, to_onnx(model, SHAPE), images).max_abs_diff < 1e-5


def test_a_transpose_between_other_reshapes_is_left_alone() -> None:
    """Heads that are put apart are no exchange of the last two dimensions."""

    class Apart(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            count, channels, height, width = images.shape
            rows = images.reshape(count, channels * height, width).transpose(1, 2)
            return (2 * rows.reshape(count, channels, width, height)).flatten(1)

    model = Apart()
    graph = to_onnx(model, SHAPE)
    assert operators(graph) == ["Reshape", "Transpose", "Reshape", "Mul", "Flatten"]
    images = torch.from_numpy(normalized(pixels(9)))
    assert parity(model, graph, images).max_abs_diff == 0


@pytest.mark.parametrize("groups", [1, 4])
def test_a_group_norm_has_no_shape_arithmetic(groups: int) -> None:
    """The shape that is taken from its input is known but for the batch."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(groups, 4))
    graph = to_onnx(model, SHAPE)
    assert operators(graph) == ["Conv", "Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    assert held["1/Reshape_2.constant1"].tolist() == [-1, 4, 14, 14]
    images = torch.from_numpy(normalized(pixels(9)))
    assert parity(model, graph, images).max_abs_diff < 1e-5


def test_other_means_and_reshapes_are_left_alone() -> None:
    """A mean over tokens and a reshape that mixes the batch are no pooling and no flatten."""

    class Tokens(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            rows = images.reshape(-1, 16)  # [N * 3 * 16, 16]
            return rows.reshape(-1, 48, 16).mean(1)

    graph = to_onnx(Tokens(), SHAPE)
    assert {"Reshape", "ReduceMean"} <= set(operators(graph))
    assert not {"Flatten", "GlobalAveragePool"} & set(operators(graph))


def test_operators_are_named_after_their_modules() -> None:
    """A message can say which layer it means."""
    _, graph = exported(GAP)
    names = [node.name for node in graph.graph.node]
    assert names[:3] == ["0.1/Conv", "0.2/Relu", "0.3/MaxPool"]
    assert len(set(names)) == len(names)


def test_the_users_model_is_neither_changed_nor_moved() -> None:
    """Mode, memory layout, values, gradients' leaves and the random state stay as they were."""
    model = build(VGG).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 4-D weights only
    before = copy.deepcopy(model.state_dict())
    strides = [parameter.stride() for parameter in model.parameters()]
    state = torch.get_rng_state()
    to_onnx(model, shape_of(VGG))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert [parameter.stride() for parameter in model.parameters()] == strides
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_export_is_silent(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is printed, logged or warned about."""
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        to_onnx(build(GAP), shape_of(GAP))
    assert capfd.readouterr() == ("", "")
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert loud == []


def test_bytes_are_canonical_across_layouts_processes_and_folders(tmp_path: Path) -> None:
    """Another process in another folder, from a channels_last twin, writes the same bytes."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from export_cases import *; import torch\n"
        "from edgebench.export import *\n"
        "model = build(('gap', ())).to(memory_format=torch.channels_last)\n"
        "graph = to_onnx(model, shape_of(('gap', ())), metadata=PREPROCESSING.metadata())\n"
        "sys.stdout.buffer.write(serialize(graph))\n"
    )
    here = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script, here], cwd=tmp_path, capture_output=True, check=True
    )
    content = serialize(exported(GAP)[1])
    assert done.stdout == content
    for path in (here, str(Path(sys.prefix)), str(Path.home()), ".py", "site-packages"):
        assert path.encode() not in content


def test_preprocessing_travels_inside_the_file(tmp_path: Path) -> None:
    """Mean, deviation, layout and class names come back, and ONNX Runtime sees them."""
    save(exported(GAP)[1], tmp_path / "model.onnx")
    assert Preprocessing.of(onnx.load(tmp_path / "model.onnx")) == PREPROCESSING
    seen = ort.InferenceSession(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert seen["edgebench.mean"] == "[0.4, 0.5, 0.6]"
    assert seen["edgebench.layout"] == '"NCHW"'
    assert seen["edgebench.formula"] == '"(pixel / 255 - mean) / std"'
    assert Preprocessing.of(to_onnx(build(GAP), shape_of(GAP))) is None


def test_pixels_are_normalized_by_the_formula() -> None:
    """A hand-written formula gives the same numbers."""
    images = pixels(3)
    np.testing.assert_array_equal(PREPROCESSING.apply(images.numpy()), normalized(images))


def test_a_model_that_cannot_be_exported_is_named() -> None:
    """The message holds the input shape and the first line of the reason."""

    class Depends(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.sum() > 0:
                return images.flatten(1)
            return -images.flatten(1)

    with pytest.raises(EdgebenchError, match=r"^the model cannot be exported for input 3x16x16: "):
        to_onnx(Depends(), SHAPE)


def test_difference_by_hand() -> None:
    """Two rows, written out."""
    reference = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    candidate = np.array([[1.5, 0.0], [2.0, 1.0]], np.float32)
    found = difference(reference, candidate)
    assert (found.max_abs_diff, found.mean_abs_diff) == (2.0, 2.5 / 4)
    assert (found.top1_agreement, found.images) == (0.5, 2)
    candidate[0, 0] = np.nan
    assert np.isnan(difference(reference, candidate).max_abs_diff)


def test_parity_needs_an_image() -> None:
    """No image proves nothing."""
    model, graph = exported(GAP)
    with pytest.raises(EdgebenchError, match=r"^parity needs at least 1 image, but got 0$"):
        parity(model, graph, torch.zeros(0, *SHAPE))


def test_logits_do_not_depend_on_the_batches() -> None:
    """More images than one batch holds give the rows that PyTorch gives."""
    model, graph = exported(GAP)
    images = images_of(GAP, 600)
    np.testing.assert_allclose(
        onnx_logits(graph, images), torch_logits(model, torch.from_numpy(images)), atol=1e-5
    )


def test_save_leaves_the_old_file_or_the_whole_new_one(tmp_path: Path) -> None:
    """A refused write leaves no temporary file and one clear message."""
    graph = exported(GAP)[1]
    save(graph, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == serialize(graph)
    with pytest.raises(EdgebenchError, match=r"^cannot write '.*missing/model.onnx': No such file"):
        save(graph, tmp_path / "missing" / "model.onnx")
    (tmp_path / "taken.onnx").mkdir()
    with pytest.raises(EdgebenchError, match=r"^cannot write '.*taken.onnx': Is a directory"):
        save(graph, tmp_path / "taken.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "taken.onnx"]
