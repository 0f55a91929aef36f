"""Contracts that every registered family keeps; a new family is under test by existing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from family_instances import build, lower_bound, smallest
from torch import nn
from torch.nn import functional

from edgebench.errors import EdgebenchError
from edgebench.export import audit, count_macs
from edgebench.models import MODELS
from edgebench.models.vit import Attention
from edgebench.registry import bind, options, resolved

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 33, 20), (1, 1, 2), (3, 5, 64)])
def test_an_image_gives_logits_or_a_reason(family: str, shape: tuple[int, int, int]) -> None:
    """Grey or colour, square or not: [N, C, H, W] in, [N, classes] out, or the user's mistake.

    A family that cannot take an image says so when it is built, not when it is fed.
    """
    try:
        model = MODELS[family](shape, 10)
    except EdgebenchError as error:
        assert str(error).startswith("model.")  # noqa: PT017 - either outcome is right
        return
    assert model.eval()(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("family", MODELS)
def test_common_images_are_taken_at_the_defaults(family: str) -> None:
    """Grey and colour, 28 and 32 pixels: no family refuses the data sets of this project."""
    for shape in ((1, 28, 28), (1, 32, 32), (3, 32, 32)):
        assert MODELS[family](shape, 10).eval()(torch.zeros(1, *shape)).shape == (1, 10)


@pytest.mark.parametrize("family", MODELS)
def test_every_choice_and_bound_of_every_option_builds(family: str) -> None:
    """Each named choice, each least number, and all least numbers together."""
    least = smallest(family)
    cases: list[dict[str, Any]] = [least]
    for name, option in options(MODELS[family]).items():
        cases += [{name: choice} for choice in option.choices()]
        bound = lower_bound(option)
        cases += [] if bound is None else [{name: type(option.default)(bound)}]
    for given in cases:
        try:
            model, shape = build(family, given)
        except EdgebenchError as error:  # two options need not suit each other: then it says so
            assert str(error).startswith("model.")  # noqa: PT017 - either outcome is right
            continue
        assert model.eval()(torch.zeros(1, *shape)).shape == (1, 10), given


@pytest.mark.parametrize("family", MODELS)
def test_one_batch_can_be_learned(family: str) -> None:
    """Gradients reach what must change: the loss of one batch falls to a tenth."""
    torch.manual_seed(0)
    model, shape = build(family, {})
    images, labels = torch.randn(10, *shape), torch.arange(10)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] < losses[0] / 10:
            break
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize("family", MODELS)
def test_a_seed_decides_the_weights(family: str) -> None:
    """The same seed gives the same network, another seed another one."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model, _ = build(family, {})
        states.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("family", MODELS)
def test_images_do_not_know_of_each_other(family: str) -> None:
    """In evaluation an image's logits do not depend on what else is in the batch."""
    torch.manual_seed(0)
    model, shape = build(family, {})
    images = torch.randn(3, *shape)
    with torch.no_grad():
        together = model.eval()(images)
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", MODELS)
def test_a_family_says_what_it_is(family: str) -> None:
    """A docstring, defaults for all options, each of them allowed by its own bounds."""
    assert (MODELS[family].__doc__ or "").strip()
    for name, option in options(MODELS[family]).items():
        assert option.mistake(option.default) is None, name
    assert set(options(MODELS[family])) <= set(resolved(MODELS[family]))


@pytest.mark.parametrize(
    ("family", "macs", "parameters"),
    [
        # Convolutions: 9 x (3x64x1024 + 64x128x256 + 128x256x64) = 39,518,208.
        # vgg adds 4096x1024 + 1024x10, gap adds 256x10.
        ("vgg", 39_518_208 + 4_204_544, 4_576_394 + 448),
        ("gap", 39_518_208 + 2_560, 373_386 + 448),
    ],
)
def test_the_defaults_are_the_references_networks(family: str, macs: int, parameters: int) -> None:
    """Counted by hand and by fvcore; training parameters have one more vector of 448 (the norm's).

    A batch norm trains scale and shift per channel; folded, a bias per channel is left.
    """
    model = MODELS[family](SHAPE, 10)
    assert audit.count_macs(model, SHAPE) == macs
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("family", "shape", "given", "parameters"),
    [
        # 25 x 6 + 6, 150 x 16 + 16, 256 x 120 + 120, 120 x 84 + 84, 84 x 10 + 10.
        ("lenet5", (1, 28, 28), {}, 156 + 2_416 + 30_840 + 10_164 + 850),
        # 75 x 32 + 32, 800 x 64 + 64, 1600 x 64 + 64, 1024 x 1000 + 1000, 1000 x 10 + 10.
        ("alexnet", (3, 32, 32), {}, 2_432 + 51_264 + 102_464 + 1_025_000 + 10_010),
        # R5's dense network 10 -> 50 -> 3.
        ("mlp", (10, 1, 1), {"layers": "50", "classes": 3}, 550 + 153),
        ("mlp", (3, 32, 32), {"layers": "50-30-20"}, 153_650 + 1_530 + 620 + 210),
        # torchvision's vgg11 has 9,220,480 in its convolutions; 2,752 biases became norms.
        ("vgg_net", (3, 32, 32), {}, 9_220_480 + 2_752 + 2 * (512 * 512 + 512) + 5_130),
        ("vgg_net", (3, 32, 32), {"norm": "none", "configuration": "D"},
         14_714_688 + 2 * (512 * 512 + 512) + 5_130),  # torchvision's vgg16
        # The paper's 0.27 M, and 1x1 convolutions (16x32 + 32x64) with norms instead of zeros.
        ("resnet", (3, 32, 32), {}, 269_722 + 512 + 2_048 + 2 * (32 + 64)),
        # torchvision's mobilenet_v2 with 10 classes: strides do not count.
        ("mobilenet_v2", (3, 32, 32), {}, 2_236_682),
        # The paper's 4.2 M less the difference of 1,000 and 10 classes: 1025 x 990.
        ("mobilenet", (3, 32, 32), {}, 4_231_976 - 1_014_750),
        # Patches, places, six blocks (attention and network with their norms), norm, head.
        ("vit", (3, 32, 32), {}, 3_136 + 4_096 + 6 * (16_768 + 16_704) + 128 + 650),
        ("vit", (3, 32, 32), {"position_embedding": False}, 3_136 + 6 * 33_472 + 128 + 650),
    ],
)  # fmt: skip
def test_networks_have_their_published_size(
    family: str, shape: tuple[int, int, int], given: dict[str, Any], parameters: int
) -> None:
    """Trained parameters by hand or from the paper."""
    classes = given.pop("classes", 10)
    model = MODELS[family](shape, classes, **bind(MODELS[family], given))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("family", "shape", "given", "message"),
    [
        ("lenet5", (1, 15, 28), {},
         "model.family: lenet5 takes images of at least 16x16 pixels, not 15x28"),
        ("alexnet", (1, 8, 7), {},
         "model.family: alexnet takes images of at least 8x8 pixels, not 8x7"),
        ("mlp", (1, 8, 8), {"layers": "50-x"},
         "model.layers: '50-x' should be sizes joined by dashes, as in 50-30-20"),
        ("vit", (1, 30, 20), {"patch": 4},
         "model.patch: 4 does not divide 30x20 pixels; the nearest valid value is 5"),
        ("vit", (1, 32, 32), {"dim": 60, "heads": 8},
         "model.heads: 8 does not divide 60 features; the nearest valid value is 6"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_the_users_mistake(
    family: str, shape: tuple[int, int, int], given: dict[str, Any], message: str
) -> None:
    """The message names the option, the rule and what would work."""
    with pytest.raises(EdgebenchError) as caught:
        MODELS[family](shape, 10, **bind(MODELS[family], given))
    assert str(caught.value) == message


def test_a_plain_network_has_no_shortcuts() -> None:
    """Without residuals a block is its branch: no gradient goes round it."""
    torch.manual_seed(0)
    given = {"depth": 8, "width": 4, "residual": False}
    model = MODELS["resnet"]((3, 16, 16), 10, **bind(MODELS["resnet"], given))
    assert model.eval()(torch.zeros(1, 3, 16, 16)).shape == (1, 10)
    assert not any("shortcut" in name for name, _ in model.named_parameters())


def test_attention_is_pytorchs() -> None:
    """The same weights give what PyTorch's own attention gives."""
    torch.manual_seed(0)
    ours, theirs = (
        Attention(24, 3).double(),
        nn.MultiheadAttention(24, 3, batch_first=True).double(),
    )
    tokens = torch.randn(2, 5, 24, dtype=torch.double)
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
        expected, _ = theirs(tokens, tokens, tokens, need_weights=False)
        torch.testing.assert_close(ours(tokens), expected)


@pytest.mark.parametrize("family", ["vgg", "gap"])
def test_too_deep_for_the_input_is_the_users_mistake(family: str) -> None:
    """The message names the option, the rule and the deepest that works."""
    with pytest.raises(EdgebenchError) as caught:
        MODELS[family]((3, 8, 8), 10, blocks=4)
    assert str(caught.value) == (
        "model.blocks: 4 blocks halve the input 4 times, but 8x8 pixels can be halved 3 times; "
        "the nearest valid value is 3"
    )


@pytest.mark.parametrize(
    "family", [name for name, family in MODELS.items() if "dropout" in options(family)]
)
def test_dropout_is_only_in_training(family: str) -> None:
    """In evaluation the same image gets the same answer, in training it does not."""
    torch.manual_seed(0)
    model, shape = build(family, {"dropout": 0.5})
    images = torch.randn(4, *shape)
    assert torch.equal(model.eval()(images), model.eval()(images))
    assert not torch.equal(model.train()(images), model.train()(images))


@pytest.mark.parametrize("name", ["vgg", "gap"])
@pytest.mark.parametrize("width", [4, 64, 256])
def test_no_dense_layer_is_moved_far_by_the_first_step(name: str, width: int) -> None:
    """An Adam step moves an output by rate x sum of inputs: at 1e-3 by 256e-3, however wide.

    The inputs are normal values, rectified and pooled: the largest of four is 1.03 on average.
    """
    torch.manual_seed(0)
    model = MODELS[name](SHAPE, 10, width=width)
    read: list[torch.Tensor] = []
    dense = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
    dense.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.no_grad():
        model(torch.randn(16, *SHAPE))
    step = 1e-3 * float(read[0].sum(1).mean())
    assert 0 < step < 0.3
    plain = MODELS[name](SHAPE, 10, width=width, last_norm_scale="one")
    norms = [layer for layer in plain.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert math.isclose(float(norms[-1].weight.detach()[0]), 1.0)


@pytest.mark.parametrize("family", ["vgg", "gap"])
def test_a_larger_kernel_keeps_the_images_size(family: str) -> None:
    """A first layer of 7x7 has 7 * 7 / (3 * 3) times the MACs, and the same maps follow."""
    small, large = (
        MODELS[family]((3, 16, 16), 10, width=4, blocks=1, kernel=kernel) for kernel in (3, 7)
    )
    counts = [count_macs(model, (3, 16, 16)) for model in (small, large)]
    assert counts[1] - counts[0] == 16 * 16 * 4 * 3 * (49 - 9)
