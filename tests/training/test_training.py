"""Training: repeatable, honest about its split, and clear about its failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebench import data
from edgebench.data import Dataset, Split
from edgebench.errors import EdgebenchError
from edgebench.models import MODELS
from edgebench.training import loop as training
from edgebench.training.augmentation import normaliser, shifted, training_batches
from edgebench.training.recipe import Recipe

CPU = torch.device("cpu")
PLAIN: Any = {"augmentation": "none", "padding": 1, "border": "zeros"}
RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=3e-3)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return the made images with a known answer."""
    return data.load("synthetic")


def fit(
    dataset: Dataset, recipe: Recipe = RECIPE, seed: int = 0
) -> tuple[training.Training, torch.nn.Module, list[tuple[int, Mapping[str, float]]]]:
    """Train a small network and return what it was told on the way."""
    torch.manual_seed(seed)
    model = MODELS["gap"](dataset.input_shape, len(dataset.classes), width=8, blocks=2)
    told: list[tuple[int, Mapping[str, float]]] = []
    result = training.train(
        model,
        dataset,
        recipe,
        device=CPU,
        seed=seed,
        on_epoch=lambda number, metrics: told.append((number, metrics)),
    )
    return result, model, told


def test_the_same_seed_gives_the_same_weights(dataset: Dataset) -> None:
    """Bit for bit on one device; another seed gives other weights."""
    weights = []
    for seed in (3, 3, 4):
        _, model, _ = fit(dataset, seed=seed)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=4, batch_size=32, learning_rate=3e-3),
        Recipe(epochs=6, batch_size=32, optimizer="sgd", learning_rate=0.05, schedule="one_cycle"),
        Recipe(epochs=4, batch_size=32, learning_rate=3e-3, schedule="constant",
               label_smoothing=0.1, decayed="weights", precision="float32"),
    ],
    ids=["reference", "sgd", "smoothed"],
)  # fmt: skip
def test_every_recipe_learns_what_can_be_learned(dataset: Dataset, recipe: Recipe) -> None:
    """The brighter quarter is found by all but a few."""
    result, _, told = fit(dataset, recipe)
    assert result.best_accuracy > 0.9
    assert [number for number, _ in told] == list(range(1, recipe.epochs + 1))
    assert [dict(metrics) for _, metrics in told] == list(result.curve)


def test_the_model_holds_the_best_epochs_weights(dataset: Dataset) -> None:
    """What was reported as best is what the model answers afterwards."""
    result, model, _ = fit(dataset, Recipe(epochs=4, batch_size=32, learning_rate=0.05))
    normalise = normaliser(dataset.mean, dataset.std, CPU)
    _, accuracy = training.evaluate(model, dataset.validation, normalise)
    assert accuracy == max(epoch["val/accuracy"] for epoch in result.curve) == result.best_accuracy


def test_evaluation_agrees_with_numpy(dataset: Dataset) -> None:
    """Loss and accuracy by hand, from the definition of cross-entropy."""
    _, model, _ = fit(dataset)
    split = dataset.validation
    loss, accuracy = training.evaluate(model, split, normaliser(dataset.mean, dataset.std, CPU))
    images = split.images.numpy() / 255.0
    mean, std = (np.array(v).reshape(1, -1, 1, 1) for v in (dataset.mean, dataset.std))
    with torch.no_grad():
        logits = (
            model(torch.from_numpy(((images - mean) / std).astype(np.float32))).double().numpy()
        )
    log_odds = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = split.labels.numpy()
    assert loss == pytest.approx(-log_odds[np.arange(len(labels)), labels].mean(), rel=1e-4)
    assert accuracy == (logits.argmax(1) == labels).mean()


def test_a_loss_that_is_not_finite_ends_the_trial(dataset: Dataset) -> None:
    """The reason names the epoch and the learning rate."""
    with pytest.raises(
        training.TrainingFailed, match=r"^the training loss became (nan|inf) in epoch 1 "
    ):
        fit(dataset, Recipe(epochs=2, batch_size=32, optimizer="sgd", learning_rate=1e30,
                            schedule="constant"))  # fmt: skip


def test_running_out_of_memory_is_a_reason(dataset: Dataset) -> None:
    """The CPU's allocator refuses a petabyte; the reason says so."""

    class Greedy(torch.nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.new_empty(2**48)

    with pytest.raises(training.TrainingFailed, match=r"^out of memory: "):
        training.train(Greedy(1, 1), dataset, RECIPE, device=CPU, seed=0, on_epoch=lambda *_: None)


def test_precision_asks_the_hardware() -> None:
    """``auto`` follows what the processor says it computes; an explicit wish is obeyed."""
    able = training.computes_bfloat16(CPU)
    flags = torch.cpu.get_capabilities()
    assert able == any(flags.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert training.resolve_precision("auto", CPU) == ("bfloat16" if able else "float32")
    assert training.resolve_precision("float32", CPU) == "float32"


def test_a_missing_gpu_is_the_users_mistake() -> None:
    """``--device cuda`` where there is none."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert training.choose_device("auto") == CPU
    with pytest.raises(EdgebenchError, match="--device cuda: PyTorch sees no CUDA device here"):
        training.choose_device("cuda")


@settings(deadline=None)
@given(
    height=st.integers(4, 6),
    width=st.integers(4, 6),
    padding=st.integers(1, 3),
    border=st.sampled_from(["zeros", "reflect"]),
    data=st.data(),
)
def test_a_crop_is_a_shift_into_the_border(
    height: int, width: int, padding: int, border: Any, data: st.DataObject
) -> None:
    """Against slicing by hand, image by image."""
    count = 4
    offsets = st.lists(st.integers(0, 2 * padding), min_size=count, max_size=count)
    down, right = (torch.tensor(data.draw(offsets)) for _ in range(2))
    images = torch.randint(0, 256, (count, 2, height, width), dtype=torch.uint8)
    around = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    mode: Any = "reflect" if border == "reflect" else "constant"
    padded = np.pad(images.numpy(), around, mode=mode)
    result = shifted(images, down, right, padding, border).numpy()
    for index in range(count):
        top, left = int(down[index]), int(right[index])
        expected = padded[index, :, top : top + height, left : left + width]
        assert np.array_equal(result[index], expected)


def test_a_border_that_cannot_be_mirrored_fails_the_trial(dataset: Dataset) -> None:
    """16 pixels hold at most 15 others to mirror."""
    with pytest.raises(training.TrainingFailed) as caught:
        fit(dataset, Recipe(epochs=1, crop_padding=16, augmentation="crop"))
    assert str(caught.value) == (
        "train.crop_padding: 16 pixels cannot be mirrored in images of 16x16; the nearest valid "
        "value is 15"
    )


def test_an_epoch_shows_every_image_at_most_once() -> None:
    """Shuffled, without repetition; what does not fill a batch waits for another epoch."""
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    split = Split(images, torch.arange(10))
    generator = torch.Generator().manual_seed(0)
    batches = list(training_batches(split, 4, generator=generator, **PLAIN))
    seen = torch.cat([labels for _, labels in batches]).tolist()
    assert [len(labels) for _, labels in batches] == [4, 4]
    assert len(set(seen)) == 8
    for shown, labels in batches:
        assert torch.equal(shown.flatten().long(), labels)
    [(_, labels)] = training_batches(split, 64, generator=generator, **PLAIN)
    assert sorted(labels.tolist()) == list(range(10))


def test_about_half_of_the_images_are_mirrored() -> None:
    """Each image is itself or its mirror image; both happen."""
    images = torch.arange(3, dtype=torch.uint8).view(1, 1, 1, 3).repeat(400, 1, 1, 1)
    split = Split(images, torch.zeros(400, dtype=torch.long))
    wanted: Any = PLAIN | {"augmentation": "flip+crop"}
    batches = training_batches(split, 400, generator=torch.Generator().manual_seed(0), **wanted)
    [(shown, _)] = batches
    straight = (shown[:, 0, 0, 1] == 1) & (shown[:, 0, 0, 0] <= shown[:, 0, 0, 2])
    assert 0 < int(straight.sum()) < 400


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_weight_decay_is_what_a_step_takes_off_whatever_the_rate(rate: float) -> None:
    """As in AdamW's paper: without a gradient a step leaves 1 - decay, then less by the cosine."""
    recipe = Recipe(epochs=2, learning_rate=rate, weight_decay=0.01)
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    optimizer, scheduler = training._optimizer(layer, recipe, 1)
    for expected in (0.99, 0.99 * (1 - 0.01 * 0.5)):
        for parameter in layer.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        scheduler.step()
        torch.testing.assert_close(layer.weight.detach(), before * expected)


@pytest.mark.parametrize(
    ("which", "norm", "expected"),
    [
        ("all", "batch", 3 * 3 + 2 * 2),
        ("weights", "batch", 3 + 2),
        ("felt", "batch", 2),
        ("felt", "none", 3 + 2),
    ],
)
def test_what_is_decayed(which: str, norm: str, expected: int) -> None:
    """VGG-style: three convolutions, each with a norm of two vectors, and two dense layers."""
    model = MODELS["vgg"]((3, 8, 8), 10, width=2, hidden=4, norm=norm)
    recipe = Recipe(decayed=which, weight_decay=0.1)  # type: ignore[arg-type]  # parametrised
    optimizer, _ = training._optimizer(model, recipe, 1)
    sizes = {group["weight_decay"] > 0: len(group["params"]) for group in optimizer.param_groups}
    assert sizes[True] == expected
    assert sum(sizes.values()) == len(list(model.parameters()))


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_schedules_end_where_they_say(schedule: str) -> None:
    """Cosine: lr/2 (1 + cos(pi t/T)); one cycle: up for a fifth, then down; constant: level."""
    recipe = Recipe(epochs=2, learning_rate=0.1, schedule=schedule)  # type: ignore[arg-type]  # parametrised
    optimizer, scheduler = training._optimizer(torch.nn.Linear(1, 1), recipe, 50)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    if schedule == "cosine":
        expected = [0.05 * (1 + math.cos(math.pi * t / 100)) for t in range(100)]
        assert rates == pytest.approx(expected)
    elif schedule == "one_cycle":
        assert max(rates) == pytest.approx(0.1, rel=0.06)
        assert rates.index(max(rates)) in {19, 20}
        assert rates[-1] == pytest.approx(0.1 / 80)
    else:
        assert set(rates) == {0.1}
